"""Reading frozen graphs, made here by TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from keras_rfdn.checkpoints import formats
from keras_rfdn.checkpoints.formats import tf_graph

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4)


@pytest.fixture
def path(tmp_path):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [1, None, None, 1], "x")
        y = tf.nn.conv2d(x, tf.constant(KERNEL, name="kernel"), 1, "SAME")
        tf.add(y, tf.constant(0.5, shape=[4], name="bias"), name="y")  # stored as one number
    path = tmp_path / "g.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_constants_come_back(path):
    state = formats.read(path)
    assert list(state) == ["kernel", "bias"]
    np.testing.assert_array_equal(state["kernel"], KERNEL, strict=True)
    np.testing.assert_array_equal(state["bias"], np.full(4, 0.5, np.float32), strict=True)


@pytest.mark.parametrize("left", [40, 150, -3])
def test_a_file_cut_short_is_refused(path, left):
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"g\.pb is not a graph as TensorFlow writes it"):
        tf_graph.read(path)


@pytest.mark.parametrize(
    ("name", "size", "match"), [("kernel", 3, "is not a graph"), ("bias", 2**40, "more than 134,217,728 numbers")]
)
def test_a_tensor_of_other_numbers_than_its_own_is_refused(path, name, size, match):
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    tensor = next(node for node in graph.node if node.name == name).attr["value"].tensor
    tensor.tensor_shape.dim[0].size = size
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(ValueError, match=rf"g\.pb .*{match}"):
        tf_graph.read(path)


def test_damaged_files_raise_nothing_else(path, read_damaged):
    read_damaged(tf_graph.read, path, times=200)


@pytest.mark.parametrize(
    ("head", "whether"),
    [
        (b"\n\x15\n\x01x\x12\x0bPlaceholder", True),
        (b"\n\x97\x01\n\x06kernel\x12\x05Const*", True),
        (b"\n\x04Caffe\x15\n\x01x\x12\x04data", False),  # a caffemodel begins with its name
        (b"\x08\x07\x12\x07pytorch", False),  # ONNX
        (b"", False),
    ],
)
def test_graphs_are_recognised(head, whether):
    assert tf_graph.recognises(None, head) is whether
