import datetime
import types

import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.tflite.conversion import npu
from keras_rfdn.tflite.inspection import description, targets, vela
from keras_rfdn.upscaling import litert, reshaping


def shipped(name):
    return reshaping.reshape(litert.read_bytes(pretrained.int8(name)), 180, 320)


def test_lists_are_of_known_operators_with_a_source_and_a_date():
    known = {name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    for target in targets.load():
        assert {*(target.accepts or ()), *(target.refuses or ())} <= known, target.name
        assert (target.accepts is None) != (target.refuses is None), target.name
        assert target.source.startswith("https://"), target.name
        assert datetime.date.fromisoformat(target.date) <= datetime.date(2026, 11, 28)
        assert set(target.constraints) <= targets.CONSTRAINTS.keys()
        assert target.note


# Operators left to the CPU by the plain file and by its NPU variant.
LEFT = {
    "e-rfdn-x4": {
        "LiteRT GPU": ({}, {}),
        "Qualcomm": ({}, {}),
        "MediaTek": ({"DEPTH_TO_SPACE": 1}, {}),
        "Samsung": ({"DEPTH_TO_SPACE": 1}, {}),
        "Google Tensor": ({}, {}),
        "Ethos-U55, U65": ({"DEPTH_TO_SPACE": 1, "RESIZE_BILINEAR": 4}, {"RESIZE_BILINEAR": 4}),
        "Ethos-U85": ({"DEPTH_TO_SPACE": 1, "RESIZE_BILINEAR": 4}, {"RESIZE_BILINEAR": 4}),
        "Edge TPU": ({"DEPTH_TO_SPACE": 1, "LEAKY_RELU": 29}, {"LEAKY_RELU": 29}),
    },
    "rfdn-x4": {
        "LiteRT GPU": ({}, {}),
        "MediaTek": ({"DEPTH_TO_SPACE": 1}, {}),
        "Ethos-U55, U65": ({"DEPTH_TO_SPACE": 1, "SQRT": 6}, {}),
        "Ethos-U85": ({"DEPTH_TO_SPACE": 1, "SQRT": 6}, {}),
    },
    "rfdn-mobile-x4": {
        "Qualcomm": ({}, {}),
        "Samsung": ({"DEPTH_TO_SPACE": 1}, {}),
        "Ethos-U55, U65": ({"DEPTH_TO_SPACE": 1}, {}),
        "Edge TPU": ({"DEPTH_TO_SPACE": 1}, {}),
    },
}


def count(refusals):
    found = {}
    for refusal in refusals:
        found[refusal.operator] = found.get(refusal.operator, 0) + 1
    return found


@pytest.mark.parametrize("name", LEFT)
def test_shipped_networks(name):
    content = shipped(name)
    found = [{v.target: v for v in targets.verdicts(c)} for c in (content, npu.for_npu(content))]
    for target, wanted in LEFT[name].items():
        assert tuple(count(of_file[target].refusals) for of_file in found) == wanted, target
    total = sum(description.describe(content).operators.values())
    assert found[0]["MediaTek"].accepted == total - 1
    assert found[0]["Core ML delegate"].accepted == 0  # int8
    assert found[0]["NNAPI"].ended


@pytest.mark.skipif(vela.find() is None, reason="needs Vela: pip install ethos-u-vela")
@pytest.mark.parametrize("variant", [bytes, npu.for_npu], ids=["plain", "npu"])
@pytest.mark.parametrize("name", pretrained.names())
def test_vela_itself_says_the_same_of_every_shipped_network(name, variant):
    content = variant(shipped(name))
    ours = targets.operators(content)
    compared = [(target, accelerator) for target in targets.load() for accelerator in target.vela]
    assert len(compared) == 3
    for target, accelerator in compared:
        found, wanted = targets.verdict(target, ours), vela.verdict(content, accelerator)
        assert found.total == wanted.total
        assert {(r.operator, r.result) for r in found.refusals} == {(r.operator, r.result) for r in wanted.refusals}


def operator(name, before, after, version=1, dtype="int8", **options):
    tensors = [(description.Tensor(f"{name}{i}", dtype, shape, 1.0, 0),) for i, shape in enumerate((before, after))]
    return targets.Operator(name, version, types.SimpleNamespace(**options), *tensors)


def resize(height, width, *, half=True, corners=False):
    return operator(
        "RESIZE_BILINEAR", (1, 10, 20, 8), (1, height, width, 8), halfPixelCenters=half, alignCorners=corners
    )


def reason(target, op):
    by_name = {target.name: target for target in targets.load()}
    (*found,) = targets.verdict(by_name[target], [op]).refusals
    return found[0].reason if found else None


def test_resizes_by_hand():
    for op, u55, u85 in [
        (resize(20, 40), True, True),
        (resize(40, 80), False, True),  # half pixel centers: 2 alone on U55
        (resize(40, 80, half=False), True, True),
        (resize(20, 80, half=False), False, True),  # 2 by 4
        (resize(30, 60), False, False),
        (resize(19, 39, half=False, corners=True), True, True),  # (19 - 1) / (10 - 1) is 2
        (resize(10, 20), True, True),
    ]:
        assert (reason("Ethos-U55, U65", op) is None) == u55, op
        assert (reason("Ethos-U85", op) is None) == u85, op
    assert reason("Ethos-U55, U65", resize(30, 60)) == "by 3 x 3, takes 2 on both sides"


def test_strides_types_versions_and_open_sizes_by_hand():
    three = operator("TRANSPOSE_CONV", (1, 4, 4, 9), (1, 12, 12, 1), strideH=3, strideW=3)
    assert reason("Ethos-U55, U65", three) == "stride 3 x 3, takes 2 at most"
    assert reason("Ethos-U85", three) is None
    floats = operator("ADD", (1, 4, 4, 9), (1, 4, 4, 9), dtype="float32")
    assert reason("Ethos-U85", floats).startswith("float32, takes int8")
    assert reason("Core ML delegate", floats) is None
    newer = operator("ADD", (1, 4, 4, 9), (1, 4, 4, 9), dtype="float32", version=2)
    assert reason("Core ML delegate", newer) == "version 2 of the operator, takes 1"
    assert reason("Samsung", operator("ADD", (1, -1, 4, 9), (1, -1, 4, 9))).startswith("open size")
    assert reason("Google Tensor", operator("SHAPE", (1, 4), (2,))) == "in the list of what is refused"


def test_open_files_are_refused(open_tflite):
    found = {verdict.target: verdict for verdict in targets.verdicts(open_tflite)}
    convolutions = description.describe(open_tflite).operators["CONV_2D"]
    for target in ("LiteRT GPU", "Qualcomm", "MediaTek"):
        reasons = [r.reason for r in found[target].refusals if r.operator == "CONV_2D"]
        assert len(reasons) == convolutions
        assert {reason[:9] for reason in reasons} == {"open size"}


def test_table_tells_shared_refusals_once():
    left = tuple(targets.Refusal(name, "y", "not in the list") for name in ("A", "A", "B", "C", "D"))
    found = [targets.Verdict(target, 10, left) for target in ("one", "two")]
    text = targets.table(["m"], [[*found, targets.Verdict("three", 10, left, ended=True)]])
    assert text.splitlines() == [
        "operators accepted        m",
        "------------------  -------",
        "one                 5 of 10",
        "two                 5 of 10",
        "three                 ended",
        "",
        "m, left to the CPU: one; two",
        "  2 A: not in the list",
        "  1 B: not in the list",
        "  1 C: not in the list",
        "  and 1 more",
    ]
