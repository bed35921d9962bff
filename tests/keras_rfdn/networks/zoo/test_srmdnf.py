import numpy as np
import pytest
import tensorflow as tf

from keras_rfdn.networks import complexity
from keras_rfdn.networks.zoo.srmdnf import NO_BLUR, DegradationMaps


@pytest.mark.parametrize(
    ("scale", "parameters", "giga"), [(2, 1_510_540, "347.7"), (3, 1_527_835, "156.3"), (4, 1_552_048, "89.3")]
)
def test_published_counts(scale, parameters, giga):
    """1511, 1528 and 1552K."""
    h, w = complexity.hd_input(scale)
    c = complexity.of_variant("srmdnf", scale, h, w)
    assert c.parameters == parameters
    hd = c.convolution_multiply_adds * 1280 * 720 / (h * w * scale**2)  # not 1281 columns at x3
    assert f"{hd / 1e9:.1f}" == giga


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_degradation_maps_are_planes_after_the_image(dtype, rng):
    x = rng.uniform(0, 1, (2, 4, 5, 3)).astype(dtype)
    layer = DegradationMaps(NO_BLUR, dtype=dtype)
    y = layer(x)
    assert (y.dtype, y.shape, layer.compute_output_shape(x.shape)) == (tf.as_dtype(dtype), (2, 4, 5, 18), y.shape)
    np.testing.assert_array_equal(y[..., :3], x)
    np.testing.assert_array_equal(y[..., 3:], np.broadcast_to(np.array(NO_BLUR, dtype), (2, 4, 5, 15)))
    np.testing.assert_array_equal(DegradationMaps.from_config(layer.get_config())(x), y)
