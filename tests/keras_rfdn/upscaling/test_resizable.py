import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import litert, resizable
from keras_rfdn.upscaling.tiling import tiled


def image(height, width):
    return sample.dead_leaves(100, seed=1)[:height, :width]


@pytest.mark.parametrize("xnnpack", [True, False])
def test_open_size_equals_keras(tiny_upscale, open_tflite, xnnpack, difference):
    upscale = resizable.ResizableModel(open_tflite, threads=1, xnnpack=xnnpack)
    # Back to a size that was there before, too: LiteRT reallocates in between.
    for size in [(32, 40), (5, 7), (1, 1), (14, 60), (61, 33), (32, 40)]:
        assert difference(upscale(image(*size)), tiny_upscale(image(*size))) <= 1, size


@pytest.mark.parametrize("size", [(32, 40), (5, 7), (20, 90), (100, 95)])
def test_a_file_of_fixed_size_equals_keras_too(tiny_upscale, fixed_tflite, size, difference):
    upscale = resizable.ResizableModel(fixed_tflite, threads=2)
    for lr in (image(*size), image(32, 40)):
        assert difference(upscale(lr), tiny_upscale(lr)) <= 1


@pytest.mark.parametrize("size", [(32, 40), (5, 7), (20, 90), (100, 95)])
def test_a_file_that_holds_its_size_is_run_in_pieces_of_it(to_tflite, size, difference):
    """Two reshapes around a convolution, whose shapes stand in the file."""
    lr = keras.Input((32, 40, 3), 1)
    x = keras.layers.Conv2D(3, 1, kernel_initializer=keras.initializers.Constant(1 / 3))(
        keras.layers.Reshape((40, 32, 3))(lr)
    )
    model = keras.Model(lr, keras.layers.UpSampling2D(2)(keras.layers.Reshape((32, 40, 3))(x)))
    path = to_tflite(model, "holds_its_size")
    in_pieces = tiled(litert.Model(path).upscale, 2, (32, 40))
    assert difference(resizable.ResizableModel(path)(image(*size)), in_pieces(image(*size))) == 0


def test_the_tiny_model_is_worth_comparing(tiny_upscale):
    sr = tiny_upscale(image(60, 60))
    assert sr.std() > 10
    assert np.isin(sr, (0, 255)).mean() < 0.01


def test_large_images_of_open_size_are_tiled(tiny_upscale, open_tflite, difference):
    lr = sample.dead_leaves(300, seed=2)
    tiles = tiled(tiny_upscale, 2, (166, 300))(lr)  # two of them, of no more than 320 * 256 pixels
    assert difference(resizable.ResizableModel(open_tflite)(lr), tiles) <= 1
    assert difference(tiles, tiny_upscale(lr)) > 1  # the network's attention sees the tile only
