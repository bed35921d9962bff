import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import litert, reshaping

LR = sample.dead_leaves(96, seed=6)


def file(path):
    with open(path, "rb") as opened:
        return opened.read()


@pytest.mark.parametrize("name", ["e-rfdn-x4", "rfdn-x4", "rfdn-mobile-x2"])
def test_a_pretrained_file_gives_the_same_whatever_it_was_before(name):
    content = file(pretrained.int8(name))
    direct = litert.Model(reshaping.reshape(content, 40, 64))
    again = litert.Model(reshaping.reshape(reshaping.reshape(content, 30, 50), 40, 64))
    back = litert.Model(reshaping.reshape(reshaping.reshape(content, 40, 64), 180, 320))
    lr, large = LR[:40, :64], sample.dead_leaves(320, seed=7)[:180]
    assert direct.input_shape == (1, 40, 64, 3)
    assert direct.output_shape == (1, 40 * direct.scale, 64 * direct.scale, 3)
    np.testing.assert_array_equal(direct.upscale(lr), again.upscale(lr))
    np.testing.assert_array_equal(back.upscale(large), litert.Model(content).upscale(large))


def test_an_open_file_of_floats_and_a_fixed_one_equal_keras(tiny_upscale, open_tflite, fixed_tflite):
    for path in (open_tflite, fixed_tflite):
        for size in [(50, 60), (15, 33)]:
            lr = LR[: size[0], : size[1]]
            model = litert.Model(reshaping.reshape(file(path), *size))
            assert np.abs(model.upscale(lr).astype(int) - tiny_upscale(lr)).max() <= 1


def test_nothing_of_the_old_size_is_left(open_tflite):
    """Neither open dimensions nor operators on sizes, which compilers refuse."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(reshaping.reshape(file(open_tflite), 32, 40)))
    graph = model.subgraphs[0]
    names = {flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) for operator in graph.operators}
    assert "RESIZE_BILINEAR" in names
    assert names.isdisjoint({"SHAPE", "SLICE", "STRIDED_SLICE"})
    assert all(tensor.shapeSignature is None and min(tensor.shape, default=1) > 0 for tensor in graph.tensors)
    sizes = [list(graph.tensors[index].shape) for op in graph.operators for index in op.outputs]
    assert [1, 32, 40, 8] in sizes


def test_a_size_held_otherwise_is_refused(to_tflite):
    lr = keras.Input((32, 40, 3), 1)
    x = keras.layers.Conv2D(3, 3, padding="same")(keras.layers.Reshape((40, 32, 3))(lr))
    path = to_tflite(keras.Model(lr, keras.layers.UpSampling2D(2)(keras.layers.Reshape((32, 40, 3))(x))), "reshaped")
    with pytest.raises(ValueError, match="holds its size in its graph"):
        reshaping.reshape(file(path), 50, 50)


def test_a_resize_that_is_no_multiple_is_refused(to_tflite):
    lr = keras.Input((32, 40, 3), 1)
    x = keras.layers.Resizing(48, 60)(lr)
    with pytest.raises(ValueError, match="no multiple"):
        reshaping.reshape(file(to_tflite(keras.Model(lr, x), "half")), 50, 50)
