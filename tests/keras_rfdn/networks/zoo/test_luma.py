import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.data.images import bicubic
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.zoo import luma


@pytest.fixture
def lr(rng):
    return rng.integers(60, 180, (15, 16, 3), dtype=np.uint8)


def upscale(lr, network):
    """float grey levels [2h, 2w, 3] of network(x: RGB in 0..1)."""
    x = keras.Input((None, None, 3))
    return 255 * keras.Model(x, network(x))(lr[None] / np.float32(255))[0].numpy()


def test_luma_is_replaced_and_colours_stay(lr):
    """A luma network whose answer is half the bicubic luma: so is the result's luma, and its chroma is bicubic's."""

    def network(x):
        colours = luma.bicubic(x, 2)
        return luma.with_luma(colours, keras.layers.Rescaling(0.5)(luma.luma(colours)))

    sr, enlarged = upscale(lr, network), upscale(lr, lambda x: luma.bicubic(x, 2))
    np.testing.assert_allclose(metrics.luma(sr), metrics.luma(enlarged) / 2, atol=1e-2)
    chroma = [image - image.mean(-1, keepdims=True) for image in (sr, enlarged)]
    np.testing.assert_allclose(*chroma, atol=1e-3)
    assert np.abs(enlarged - bicubic.upscale(lr, 2)).max() < 1.2  # which rounds twice


def test_a_residual_of_one_level_is_one_level_of_luma(lr):
    def network(x):
        colours = luma.bicubic(x, 2)
        one = keras.layers.Rescaling(0.0, offset=1 / 255)(luma.luma(colours))
        return luma.with_residual(colours, one)

    change = metrics.luma(upscale(lr, network)) - metrics.luma(upscale(lr, lambda x: luma.bicubic(x, 2)))
    np.testing.assert_allclose(change, 1, atol=1e-2)
