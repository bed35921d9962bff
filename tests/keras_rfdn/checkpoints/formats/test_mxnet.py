"""Reading MXNet's parameter files, written here as its documentation of the format has it."""

import struct

import numpy as np
import pytest

from keras_rfdn.checkpoints import formats

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4)
BIAS = np.array([0.5, -1], np.float16)


def array(values, dtype, magic=0xF993FAC9, storage=0):
    shape = struct.pack(f"<I{values.ndim}q", values.ndim, *values.shape)
    return struct.pack("<Ii", magic, storage) + shape + struct.pack("<iii", 1, 0, dtype) + values.tobytes()


def params(*arrays, names=("arg:kernel", "arg:bias")):
    texts = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(arrays) + struct.pack("<Q", len(names)) + texts


GOOD = params(array(KERNEL, 0), array(BIAS, 2))


def read(tmp_path, content):
    (tmp_path / "w.params").write_bytes(content)
    return formats.read(tmp_path / "w.params")


def test_arrays_come_back(tmp_path):
    state = read(tmp_path, GOOD)
    assert list(state) == ["arg:kernel", "arg:bias"]
    np.testing.assert_array_equal(state["arg:kernel"], KERNEL, strict=True)
    np.testing.assert_array_equal(state["arg:bias"], BIAS, strict=True)


@pytest.mark.parametrize("left", [16, 20, 30, 60, len(GOOD) - 30, len(GOOD) - 1])
def test_a_file_cut_short_is_refused(tmp_path, left):
    with pytest.raises(ValueError, match=r"w\.params is not a parameter file as MXNet writes it \(it ends before"):
        read(tmp_path, GOOD[:left])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (GOOD + b"x", "more bytes follow"),
        (params(array(KERNEL, 0, magic=0xF993FAC8)), "MXNet 1.0 or later, got mark 0xf993fac8"),
        (params(array(KERNEL, 0, storage=1)), "dense arrays .* storage 1"),
        (params(array(KERNEL, 99)), "out of range"),
        (params(array(KERNEL, 0)), "argument"),  # two names, one array
        (GOOD.replace(struct.pack("<q", 4), struct.pack("<q", 1 << 40)), "it ends before"),
        (GOOD.replace(struct.pack("<q", 4), struct.pack("<q", -4)), "it ends before"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "it ends before"),
    ],
)
def test_what_is_damaged_or_of_another_kind_is_refused(tmp_path, content, what):
    with pytest.raises(ValueError, match=rf"w\.params is not a parameter file as MXNet writes it \(.*{what}"):
        read(tmp_path, content)
