import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.tflite import convert, reshape
from keras_rfdn.tflite.conversion import converter, npu
from keras_rfdn.tflite.inspection import description
from keras_rfdn.upscaling import litert, reshaping

RESOLVERS = {"XNNPACK": OpResolverType.AUTO, "kernels": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def shipped(name, height=32, width=44):
    return reshaping.reshape(litert.read_bytes(pretrained.int8(name)), height, width)


def run(content, x, resolver):
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("resolver", RESOLVERS.values(), ids=RESOLVERS)
@pytest.mark.parametrize("name", pretrained.names())
def test_gives_the_bytes_of_the_file_that_it_came_from(name, resolver, rng):
    content = shipped(name)
    noise = rng.integers(0, 256, (1, 32, 44, 3), np.uint8)  # reaches levels that photographs do not
    for x in (noise, sample.dead_leaves(64, seed=5)[None, :32, :44]):
        np.testing.assert_array_equal(run(content, x, resolver), run(npu.for_npu(content), x, resolver))


@pytest.mark.parametrize("name", ["e-rfdn-x3", "rfdn-x4", "rfdn-mobile-x4"])
def test_compiled_model_gives_them_too(name):
    content = npu.for_npu(shipped(name))
    lr = sample.dead_leaves(64, seed=5)[:32, :44]
    wanted = litert.Model(shipped(name)).upscale(lr)
    model = CompiledModel.from_buffer(content)
    lr_buffer = model.create_input_buffer_by_name("upscale", "lr")
    sr_buffer = model.create_output_buffer_by_name("upscale", "sr")
    lr_buffer.write(lr[None])
    model.run_by_name("upscale", {"lr": lr_buffer}, {"sr": sr_buffer})
    np.testing.assert_array_equal(np.asarray(sr_buffer.read(wanted.size, np.uint8)).reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("e-rfdn-x3", {"DEPTH_TO_SPACE": -1, "SPLIT": 1, "RESHAPE": 4, "CONCATENATION": 1}),
        ("rfdn-mobile-x4", {"DEPTH_TO_SPACE": -1, "SPLIT": 1, "RESHAPE": 5, "CONCATENATION": 1}),
        (
            "rfdn-x4",  # six square roots
            {"DEPTH_TO_SPACE": -1, "SPLIT": 1, "RESHAPE": 17, "CONCATENATION": 1, "SQRT": -6, "CONV_2D": 12},
        ),
    ],
)
def test_changes_these_operators_alone(name, more):
    content = shipped(name)
    plain, rewritten = (description.describe(c).operators for c in (content, npu.for_npu(content)))
    found = {key: rewritten.get(key, 0) - plain.get(key, 0) for key in plain | rewritten}
    assert {key: count for key, count in found.items() if count} == more


def test_a_rewritten_file_can_be_rewritten_again():
    content = npu.for_npu(shipped("rfdn-x4"))
    assert description.describe(npu.for_npu(content)).operators == description.describe(content).operators


def test_signature_and_metadata_stay():
    content = shipped("rfdn-mobile-x4")
    plain, rewritten = (description.parse(c, b"") for c in (content, npu.for_npu(content)))

    def kept(model):
        signatures = [
            (s.signatureKey, [(i.name, i.tensorIndex) for i in (*s.inputs, *s.outputs)]) for s in model.signatureDefs
        ]
        return signatures, [(m.name, bytes(model.buffers[m.buffer].data)) for m in model.metadata]

    assert kept(rewritten) == kept(plain)


def test_operators_that_are_gone_are_gone_from_the_list_too():
    codes = description.parse(npu.for_npu(shipped("rfdn-x4")), b"").operatorCodes
    found = {max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes}
    assert found.isdisjoint({npu.BuiltinOperator.SQRT, npu.BuiltinOperator.DEPTH_TO_SPACE})


@pytest.mark.parametrize("scale", [0.004, 0.09, 0.0003])
def test_levels_of_a_table_are_roots(scale):
    x, y = npu.schema.TensorT(), npu.schema.TensorT()
    x.quantization, y.quantization = npu._quantization(scale, -128), npu._quantization(0.00416, -128)
    roots = np.sqrt(scale * np.arange(256)) / 0.00416 - 128
    assert np.abs(npu._levels(x, y) - roots.clip(-128, 127)).max() < 1  # LiteRT rounds some down


def test_a_root_that_no_table_holds_stays():
    """Negative levels have none, and a table is laid along the width of one pixel."""
    model = description.parse(shipped("rfdn-x4"), b"")
    graph = model.subgraphs[0]
    roots = [op for op in graph.operators if npu.flatbuffer_utils.opcode_to_name(model, op.opcodeIndex) == "SQRT"]
    graph.tensors[roots[0].inputs[0]].quantization.zeroPoint = np.array([-100])
    graph.tensors[roots[1].inputs[0]].shape = [1, 2, 1, 24]
    content = bytes(npu.flatbuffer_utils.convert_object_to_bytearray(model))
    assert description.describe(npu.for_npu(content)).operators["SQRT"] == 2


def test_refuses_what_it_cannot_keep_exact(open_tflite, fixed_tflite):
    with pytest.raises(ValueError, match=r"fixed size, got \[-1, -1, -1, 3\].*reshape"):
        npu.for_npu(litert.read_bytes(open_tflite))
    with pytest.raises(ValueError, match="need an int8 model, got DEPTH_TO_SPACE of float32"):
        npu.for_npu(litert.read_bytes(fixed_tflite))


def test_convert_writes_it(tiny_weights, tmp_path, monkeypatch, capsys):
    content = shipped("e-rfdn-x2", 32, 40)
    monkeypatch.setattr(converter, "convert", lambda *_, **__: content)
    monkeypatch.chdir(tmp_path)
    out = convert.main(convert.ConvertConfig(weights=tiny_weights, shape="1,32,40,3", int8=True, npu=True))
    assert out.name == "rfdb_x2_int8_npu_32x40.tflite"
    assert description.describe(out).operators == description.describe(npu.for_npu(content)).operators
    assert "4 RESIZE_BILINEAR: by" in capsys.readouterr().out  # named: what Ethos-U leaves to the CPU


def test_convert_refuses_what_contradicts_npu():
    for changes, message in [
        ({"int8": False}, "--npu is for int8, not for float32"),
        ({"max_drop_db": 0.1}, "--max_drop_db keeps operations in float"),
        ({"shape": "dynamic"}, "--npu needs a fixed size"),
    ]:
        with pytest.raises(ValueError, match=message):
            convert.main(convert.ConvertConfig(**{"int8": True, "npu": True} | changes))


def test_reshape_writes_it(tmp_path):
    out = tmp_path / "npu.tflite"
    reshape.main(reshape.ReshapeConfig(str(pretrained.int8("rfdn-mobile-x2")), "1,32,44,3", str(out), npu=True))
    lr = sample.dead_leaves(64, seed=5)[:32, :44]
    np.testing.assert_array_equal(litert.Model(out).upscale(lr), litert.Model(shipped("rfdn-mobile-x2")).upscale(lr))
    assert "DEPTH_TO_SPACE" not in description.describe(out).operators
