"""Reading PyTorch's files: on files written here byte by byte, and on PyTorch's own where it is installed."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from keras_rfdn.checkpoints.formats import torch_state_dict

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of torch.save before PyTorch 1.6


def pickled(state, *, legacy, opening=b"ccollections\nOrderedDict\n)R("):
    """The pickle of a state dict in opcodes, for without PyTorch its functions cannot be pickled by name."""
    return b"\x80\x02" + opening + b"".join(_entry(*item, legacy) for item in state.items()) + b"u."


def _entry(key, array, legacy):
    shape = _tuple(array.shape)
    strides = _tuple(s // array.itemsize for s in array.strides)
    view = b"N" if legacy else b""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(f"of {key}") + _text("cpu")
    storage += _int(array.size) + view + b"tQ"
    return _text(key) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _int(0) + shape + strides + b"\x89}tR"


def _text(text):
    return b"X" + struct.pack("<i", len(text)) + text.encode()


def _int(number):
    return b"J" + struct.pack("<i", number)


def _tuple(numbers):
    return b"(" + b"".join(map(_int, numbers)) + b"t"


def write_legacy(path, state, body=None):
    header = [pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, {"little_endian": True})]
    keys = pickle.dumps([f"of {key}" for key in state], 2)
    storages = [struct.pack("<q", a.size) + a.tobytes() for a in state.values()]
    path.write_bytes(b"".join([*header, body or pickled(state, legacy=True), keys, *storages]))


def write_zip(path, state, body=None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some/data.pkl", body or pickled(state, legacy=False))
        archive.writestr("some/byteorder", "little")
        for key, array in state.items():
            archive.writestr(f"some/data/of {key}", array.tobytes())


WRITERS = pytest.mark.parametrize("write", [write_legacy, write_zip])
STATE = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.array([-1.5, 2.5], np.float32),
}


@WRITERS
def test_arrays_come_back(tmp_path, write):
    write(tmp_path / "w.pth", STATE)
    state = torch_state_dict.read(tmp_path / "w.pth")
    assert list(state) == list(STATE)
    for key, array in STATE.items():
        np.testing.assert_array_equal(state[key], array)


@WRITERS
@pytest.mark.parametrize("call", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"cnumpy\nload\n"])
def test_a_pickle_that_calls_something_is_refused(tmp_path, write, call):
    marker = tmp_path / "ran"
    body = b"\x80\x02" + call + b"(" + _text(f"touch {marker}") + b"tR."
    write(tmp_path / "evil.pth", STATE, body)
    with pytest.raises(ValueError, match=f"names {call[1:].decode().split()[0]}"):
        torch_state_dict.read(tmp_path / "evil.pth")
    assert not marker.exists()


@WRITERS
@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ((_tuple((2, 3, 4)), _tuple((2, 3, 5))), "more elements than its storage"),
        ((_tuple((2, 3, 4)) + _tuple((12, 4, 1)), _tuple((2**30, 3, 4)) + _tuple((0, 0, 0))), "more elements than its"),
        ((_tuple((12, 4, 1)), _tuple((12, 4, -1))), "outside its storage"),
        ((_tuple((12, 4, 1)), _tuple((13, 4, 1))), "outside its storage"),
        ((b"FloatStorage", b"QUInt8Storage"), "names torch.QUInt8Storage"),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, write, changed, match):
    body = pickled(STATE, legacy=write is write_legacy)
    assert body.count(changed[0])
    write(tmp_path / "w.pth", STATE, body.replace(*changed))
    with pytest.raises(ValueError, match=match):
        torch_state_dict.read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ((struct.pack("<q", 24), struct.pack("<q", 23)), "has 23 elements, not 24"),
        ((b"NtQ", b"K\x01tQ"), "unknown storage"),  # a view of another storage, as PyTorch 0.1 wrote
        ((pickle.dumps(MAGIC, 2), pickle.dumps(MAGIC + 1, 2)), "PyTorch's mark"),
        ((pickle.dumps({"little_endian": True}, 2), pickle.dumps({"little_endian": False}, 2)), "little-endian"),
    ],
)
def test_what_the_older_format_says_of_itself_is_checked(tmp_path, changed, match):
    write_legacy(tmp_path / "w.pth", STATE)
    content = (tmp_path / "w.pth").read_bytes()
    assert changed[0] in content
    (tmp_path / "w.pth").write_bytes(content.replace(*changed))
    with pytest.raises(ValueError, match=match):
        torch_state_dict.read(tmp_path / "w.pth")


def test_big_endian_numbers_are_refused(tmp_path):
    write_zip(tmp_path / "w.pth", STATE)
    content = (tmp_path / "w.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "big.pth", "w") as archive, zipfile.ZipFile(io.BytesIO(content)) as little:
        for name in little.namelist():
            archive.writestr(name, "big" if name == "some/byteorder" else little.read(name))
    with pytest.raises(ValueError, match="little-endian"):
        torch_state_dict.read(tmp_path / "big.pth")


@pytest.mark.parametrize("left", [0, 30, 200, -3])
def test_a_file_cut_short_is_refused(tmp_path, left):
    write_legacy(tmp_path / "w.pth", STATE)
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:left])
    with pytest.raises(ValueError, match=r"w\.pth is not a state dict"):
        torch_state_dict.read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2], "got list"),
        ({}, "a dictionary of tensors"),
        ({"net": {}}, "got dict at 'net'"),
        ({"params": {}}, "got dict"),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, match):
    write_legacy(tmp_path / "w.pth", STATE, pickle.dumps(content, 2))
    with pytest.raises(ValueError, match=match):
        torch_state_dict.read(tmp_path / "w.pth")


def wrapped(entries, *, legacy):
    """The pickle of a dictionary: {name: state dict, or opcodes of what else a training saves}."""
    body = b"\x80\x02}("
    for name, entry in entries.items():
        body += _text(name) + (entry if isinstance(entry, bytes) else pickled(entry, legacy=legacy)[2:-1])
    return body + b"u."


BESIDE = {
    "epoch": b"K\x07",
    "optimizer": b"ctorch.optim\nAdam\n(K\x01tR}" + _text("lr") + b"K\x02sb",  # an object, with a state
    "loss": b"cnumpy.core.multiarray\nscalar\n(K\x01tR",
}


@WRITERS
@pytest.mark.parametrize(
    ("names", "taken"),
    [(["params"], 0), (["state_dict"], 0), (["params", "params_ema"], 1), (["params_ema", "params"], 0)],
)
def test_the_state_dict_in_a_saved_training_is_read(tmp_path, write, names, taken):
    states = [STATE, {key: array + 1 for key, array in STATE.items()}]
    entries = {"epoch": BESIDE["epoch"], **dict(zip(names, states, strict=False)), **BESIDE}
    stored = {f"{i}{key}": array for i, state in enumerate(states[: len(names)]) for key, array in state.items()}
    body = wrapped(entries, legacy=write is write_legacy)
    # Each state dict's storages have names of their own.
    for i, name in enumerate(names):
        start = body.index(_text(name) + b"ccoll")
        head, tail = body[:start], body[start:]
        for key in STATE:
            tail = tail.replace(_text(f"of {key}"), _text(f"of {i}{key}"), 1)
        body = head + tail
    write(tmp_path / "w.pth", stored, body)
    state = torch_state_dict.read(tmp_path / "w.pth")
    assert list(state) == list(STATE)
    for key, array in states[taken].items():
        np.testing.assert_array_equal(state[key], array)


@WRITERS
def test_what_is_saved_beside_the_weights_does_nothing(tmp_path, write):
    marker = tmp_path / "ran"
    call = b"cos\nsystem\n(" + _text(f"touch {marker}") + b"tR"
    body = wrapped({"hook": call, "params": STATE}, legacy=write is write_legacy)
    write(tmp_path / "w.pth", STATE, body)
    assert list(torch_state_dict.read(tmp_path / "w.pth")) == list(STATE)
    assert not marker.exists()


def test_a_packed_archive_is_refused(tmp_path):
    """Zeros that take a thousandth of their size."""
    write_zip(tmp_path / "w.pth", STATE | {"zeros": np.zeros(10**6, np.float32)})
    with zipfile.ZipFile(tmp_path / "w.pth") as plain, zipfile.ZipFile(tmp_path / "p.pth", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert len(torch_state_dict.read(tmp_path / "w.pth")) == len(STATE) + 1
    with pytest.raises(ValueError, match="it is packed, as torch"):
        torch_state_dict.read(tmp_path / "p.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no file at .*absent\.pth"):
        torch_state_dict.read(tmp_path / "absent.pth")


@pytest.mark.parametrize("new_format", [False, True])
def test_files_of_pytorch(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    whole = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    state = {
        "whole": whole,
        "transposed": whole.permute(2, 0, 1),
        "part": whole[1:, 2],
        "half": whole.half(),
        "double": torch.full((2,), 1 / 3, dtype=torch.float64),
        "count": torch.tensor(7),
        "strided": torch.randn(2, 6, 3, 3).to(memory_format=torch.channels_last),
    }
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    read = torch_state_dict.read(tmp_path / "w.pth")
    assert read.keys() == state.keys()
    for key, tensor in state.items():
        np.testing.assert_array_equal(read[key], tensor.numpy(), strict=True)


@pytest.mark.parametrize("new_format", [False, True])
def test_a_saved_training_of_pytorch(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv2d(2, 3, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3, "optimizer": optimizer.state_dict(), "random": torch.get_rng_state(), "whole": module,
        "bfloat16": torch.ones(3).bfloat16() if new_format else None, "state_dict": dict(module.named_parameters()),
    }  # fmt: skip
    torch.save(saved, tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    state = torch_state_dict.read(tmp_path / "w.pth")
    assert list(state) == ["weight", "bias"]
    np.testing.assert_array_equal(state["weight"], module.weight.detach().numpy())


def test_a_whole_module_of_pytorch_is_refused(tmp_path):
    """torch.save(model) pickles classes and so needs their code; only state dicts are data."""
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"names torch\.nn"):
        torch_state_dict.read(tmp_path / "w.pth")
