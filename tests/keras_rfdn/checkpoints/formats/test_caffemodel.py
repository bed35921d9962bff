"""Reading Caffe's weight files, encoded here by hand after caffe.proto's numbers of fields."""

import struct

import numpy as np
import pytest

from keras_rfdn.checkpoints import formats
from keras_rfdn.checkpoints.formats import caffemodel

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def varint(number):
    return bytes([number]) if number < 128 else bytes([number % 128 | 128]) + varint(number // 128)


def field(number, content):
    """A field of bytes or text, or of a whole number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values, packed=True):
    values = np.asarray(values, np.float32)
    numbers = [struct.pack("<f", value) for value in values.ravel()]
    data = field(5, b"".join(numbers)) if packed else b"".join(varint(5 << 3 | 5) + number for number in numbers)
    return field(7, data + field(7, field(1, b"".join(map(varint, values.shape)))))


def layer(name, kind, *content):
    return field(100, field(1, name) + field(2, kind) + b"".join(content))


NETWORK = b"".join(
    [
        field(1, "Net"),
        layer("data", "HDF5Data", field(4, "data")),  # with a field that is of no interest
        layer("conv1", "Convolution", blob(KERNEL), blob([1, 2], packed=False)),
        layer("bn", "BatchNorm", blob([2, 4]), blob([6, 8]), blob([2])),
        layer("new", "BatchNorm", blob([2, 4]), blob([6, 8]), blob([0])),
        layer("up", "Deconvolution", blob(KERNEL), field(106, field(4, 17) + field(6, 3))),
    ]
)


def read(tmp_path, content):
    (tmp_path / "n.caffemodel").write_bytes(content)
    return formats.read(tmp_path / "n.caffemodel")


def test_blobs_come_back(tmp_path):
    state = read(tmp_path, NETWORK)
    assert list(state) == ["conv1.0", "conv1.1", "bn.0", "bn.1", "new.0", "new.1", "up.0", "up.stride=3"]
    np.testing.assert_array_equal(state["conv1.0"], KERNEL, strict=True)
    np.testing.assert_array_equal(state["conv1.1"], np.array([1, 2], np.float32), strict=True)
    assert state["up.stride=3"].size == 0


def test_batch_statistics_are_running_sums(tmp_path):
    state = read(tmp_path, NETWORK)
    np.testing.assert_array_equal([state["bn.0"], state["bn.1"]], [[1, 2], [3, 4]])
    np.testing.assert_array_equal([state["new.0"], state["new.1"]], [[2, 4], [6, 8]])


def test_shapes_of_four_numbers_are_read(tmp_path):
    legacy = b"".join(field(i, size) for i, size in enumerate((1, 1, 2, 3), start=1))
    content = field(7, legacy + field(5, np.arange(6, dtype="<f4").tobytes()))
    np.testing.assert_array_equal(
        read(tmp_path, layer("c", "Convolution", content))["c.0"], [[[[0, 1, 2], [3, 4, 5]]]], strict=False
    )


@pytest.mark.parametrize(
    "content",
    [NETWORK[:100], NETWORK[:-2], layer("c", "Convolution", blob([1, 2]).replace(b"\n\x01\x02", b"\n\x01\x03"))],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"n\.caffemodel is not a network as Caffe writes it"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("head", "whether"),
    [
        (NETWORK, True),
        (layer("conv1", "Convolution"), True),  # a network without a name
        (b"\n\x15\n\x01x\x12\x0bPlaceholder", False),  # a graph of TensorFlow
        (b"\n", False),
        (b"", False),
    ],
)
def test_networks_are_recognised(head, whether):
    assert caffemodel.recognises(None, head) is whether
