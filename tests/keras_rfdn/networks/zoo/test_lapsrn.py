import numpy as np
import pytest
import tensorflow as tf

from keras_rfdn.data.images import bicubic
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import variant
from keras_rfdn.networks.zoo.lapsrn import bilinear, doubled, three_quarters


@pytest.mark.parametrize(("scale", "levels"), [(2, 1), (3, 2), (4, 2)])
def test_parameters(scale, levels):
    model = models.build(variant("lapsrn", scale))
    assert model.count_params() == parameters(depth=10, upsampling=3, levels=levels)


def parameters(depth, upsampling, levels):
    """Of LapSRN with so many convolutions a level, and so wide a deconvolution of features."""
    level = depth * (9 * 64 * 64 + 64) + (upsampling**2 * 64 * 64 + 64) + (9 * 64 + 1) + 4 * 4
    return (9 * 64 + 64) + levels * level


def test_what_papers_print():
    assert [parameters(10, 3, levels) for levels in (1, 2)] == [407_441, 814_242]
    biases = 64 + 2 * (11 * 64 + 1)
    assert 814_242 - biases == 812_768  # 812K in MS-LapSRN, 813K in CARN's table
    assert [parameters(5, 4, levels) for levels in (1, 2)] == [251_473, 502_306]  # 251K and 502K in Table 3


def test_published_mult_adds():
    """149.4 G at x4 in CARN's table. Its 29.9 G at x2 are of an output of 640x360."""
    assert giga(4, 180, 320) == "149.4"
    assert giga(2, 180, 320) == "29.9"
    assert giga(2, 360, 640) == "119.6"


def giga(scale, height, width):
    return f"{complexity.of_variant('lapsrn', scale, height, width).convolution_multiply_adds / 1e9:.1f}"


@pytest.mark.parametrize(("kernel_size", "first"), [(3, 0), (4, -1)])
def test_deconvolutions_are_cropped_as_the_authors_do(kernel_size, first):
    """MatConvNet's crop [0 1 0 1] of 3x3, and 1 on all sides of 4x4."""
    taps = np.arange(1.0, kernel_size**2 + 1).reshape(kernel_size, kernel_size)
    x = np.zeros((1, 5, 5, 1), np.float32)
    x[0, 2, 1] = 1
    y = doubled(x, 1, kernel_size, lambda shape, dtype: tf.constant(taps.reshape(shape), dtype), name="up")
    expected = np.zeros((10, 10))
    expected[4 + first : 4 + first + kernel_size, 2 + first : 2 + first + kernel_size] = taps
    np.testing.assert_array_equal(y[0, ..., 0], expected)


def test_the_image_begins_as_bilinear():
    x = np.random.default_rng(0).random((1, 6, 7, 1), np.float32)
    y = doubled(x, 1, 4, bilinear(), name="up")
    expected = tf.image.resize(x, (12, 14), "bilinear")
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-6)


def test_three_quarters_are_those_of_imresize(rng):
    image = rng.integers(60, 180, (24, 32, 1), dtype=np.uint8)
    smaller = three_quarters(image[None].astype(np.float32))[0].numpy()
    assert np.abs(smaller - bicubic.resize(image, (18, 24))).max() < 1.2  # which rounds twice
