import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import variant
from keras_rfdn.networks.zoo.carn import GroupedPixelShuffle


@pytest.mark.parametrize(("name", "giga"), [("carn", ("222.8", "118.8", "90.9")), ("carn-m", ("91.2", "46.1", "32.5"))])
def test_published_mult_adds(name, giga):
    for scale, published in zip((2, 3, 4), giga, strict=True):
        h, w = complexity.hd_input(scale)
        counted = complexity.of_variant(name, scale, h, w).convolution_multiply_adds
        hd = counted * 1280 * 720 / (h * w * scale**2)  # not 1281 columns at x3
        assert f"{hd / 1e9:.1f}" == published


@pytest.mark.parametrize(("name", "total"), [("carn", 1_591_939), ("carn-m", 414_787)])
def test_published_parameters(name, total):
    """The papers' figures are of one network with the upsampling of all three scales: CARN's 1592K, and CARN-M's 412K,
    which are its weights without 2,755 biases.
    """
    networks = [models.build(variant(name, scale)) for scale in (2, 3, 4)]
    upsampling = [
        sum(layer.count_params() for layer in model.layers if layer.name.startswith("upsample.")) for model in networks
    ]
    trunks = {model.count_params() - own for model, own in zip(networks, upsampling, strict=True)}
    assert len(trunks) == 1
    assert sum(trunks) + sum(upsampling) == total
    if name == "carn-m":
        biases = {layer.name: layer.bias.shape[0] for model in networks for layer in model.layers if layer.weights}
        assert total - sum(biases.values()) == 412_032


def test_carn_m_applies_one_residual_block_three_times():
    model = models.build(variant("carn-m", 2))
    assert len(model.get_layer("b2.b1.body.2").inbound_nodes) == 3
    assert model.get_layer("b2.b1.body.2").groups == 4
    assert len(models.build(variant("carn", 2)).get_layer("b2.b1.body.2").inbound_nodes) == 1


@pytest.mark.parametrize("groups", [1, 4])
def test_grouped_pixel_shuffle_keeps_groups_apart(groups, rng):
    """Each group's channels k * c + j become channel j of the group at sub-pixel k."""
    c, scale = 8 // groups, 2
    x = rng.normal(0, 1, (1, 3, 2, 8 * scale**2)).astype(np.float32)
    layer = GroupedPixelShuffle(scale, groups)
    y = layer(x).numpy()
    np.testing.assert_array_equal(y[0, 2 * 2 + 1, 2 * 1 + 0, -1], x[0, 2, 1, (groups - 1) * c * 4 + 2 * c + c - 1])
    np.testing.assert_array_equal(GroupedPixelShuffle.from_config(layer.get_config())(x), y)
    if groups == 1:
        np.testing.assert_array_equal(y, tf.nn.depth_to_space(x, scale))


def test_colours_are_shifted_by_their_mean(rng):
    """Without any feature the image is the mean colour of DIV2K."""
    model = models.build(variant("carn", 2))
    model.get_layer("exit").set_weights([np.zeros((3, 3, 64, 3)), np.zeros(3)])
    lr = rng.uniform(0, 255, (1, 15, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(model(lr)[0, 3, 4], [0.4488 * 255, 0.4371 * 255, 0.4040 * 255], rtol=1e-6)
    first = keras.Model(model.input, model.get_layer("sub_mean").output)(lr)
    np.testing.assert_allclose(first[0, 3, 4], lr[0, 3, 4] / 255 - [0.4488, 0.4371, 0.4040], atol=1e-6)
