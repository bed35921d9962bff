"""What tells the paper's blocks and networks apart, on weights whose result is known."""

import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.blocks import BLOCKS
from keras_rfdn.networks.config import VARIANTS, ModelConfig


def features(channels=16, seed=0):
    return np.random.default_rng(seed).normal(size=(1, 9, 11, channels)).astype(np.float32)


def block(name, channels=16, **config):
    config = ModelConfig(name, channels=channels, num_blocks=1, **config)
    x = keras.Input((None, None, channels))
    return keras.Model(x, BLOCKS[name](x, config, name="B"))


def randomize(model, seed=1):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.2, w.shape) for w in model.get_weights()])


@pytest.mark.parametrize(("rate", "channels"), [(0.25, 16), (0.5, 16), (0.25, 64)])
def test_imdb_r_is_imdb_with_split_kernels(rate, channels):
    """Equation 3 with the two parts of equation 1's kernels, and so as many parameters."""
    settings = {"channels": channels, "attention": "cca", "reduction": 4, "distillation_rate": rate}
    imdb, imdb_r = block("imdb", **settings), block("imdb-r", **settings)
    randomize(imdb)
    kept = int(rate * channels)
    for layer in imdb.layers:
        if layer.name in ("B.c1", "B.c2", "B.c3"):
            kernel, bias = layer.get_weights()
            imdb_r.get_layer(f"{layer.name}_d").set_weights([kernel[..., :kept], bias[:kept]])
            imdb_r.get_layer(f"{layer.name}_r").set_weights([kernel[..., kept:], bias[kept:]])
        elif layer.weights:
            imdb_r.get_layer(layer.name).set_weights(layer.get_weights())
    assert imdb_r.count_params() == imdb.count_params()
    x = features(channels)
    np.testing.assert_allclose(imdb_r(x), imdb(x), atol=2e-5)


def test_imdb_keeps_its_input_when_its_last_convolution_is_zero():
    imdb = block("imdb", distillation_rate=0.25)
    randomize(imdb)
    imdb.get_layer("B.c5").set_weights([np.zeros((1, 1, 16, 16)), np.zeros(16)])
    np.testing.assert_array_equal(imdb(features()), features())


def test_convolutions_of_imdb():
    """IMDN, Figure 3: 64 channels, of which each step sets 16 aside and convolves 48 on."""
    kernels = {
        layer.name: layer.kernel.shape for layer in block("imdb", 64, distillation_rate=0.25).layers if layer.weights
    }
    assert kernels == {
        "B.c1": (3, 3, 64, 64),
        "B.c2": (3, 3, 48, 64),
        "B.c3": (3, 3, 48, 64),
        "B.c4": (3, 3, 48, 16),
        "B.c5": (1, 1, 64, 64),
    }


@pytest.mark.parametrize(("name", "passes"), [("srb", True), ("base", False), ("rfdb", True), ("fdc", False)])
def test_only_srbs_pass_features_round_their_convolution(name, passes):
    """With their convolutions zero, three SRBs hand a positive x on to c4 as it is; plain convolutions hand on zero."""
    model = block(name, distillation_rate=0 if name in ("srb", "base") else 0.5)
    for layer in model.layers:
        if "_r" in layer.name and layer.weights:
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    into_c4 = keras.Model(model.input, model.get_layer("B.c4").input)
    x = np.abs(features())
    np.testing.assert_allclose(into_c4(x), x if passes else np.zeros_like(x))


@pytest.mark.parametrize(("rate", "kept"), [(0.25, 4), (0.5, 8), (0.75, 12)])
@pytest.mark.parametrize("name", ["rfdb", "fdc"])
def test_the_rate_is_of_the_pointwise_distillations_only(name, rate, kept):
    kernels = {layer.name: layer.kernel.shape for layer in block(name, distillation_rate=rate).layers if layer.weights}
    assert kernels["B.c1_d"] == kernels["B.c2_d"] == kernels["B.c3_d"] == (1, 1, 16, kept)
    assert kernels["B.c4"] == (3, 3, 16, 8)
    assert kernels["B.c5"] == (1, 1, 3 * kept + 8, 16)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet_adds_to_bilinear_interpolation(scale):
    """With zero weights only half-pixel bilinear interpolation is left; of a ramp it is known, but for the edge."""
    config = dataclasses.replace(VARIANTS["msrresnet"], channels=8, num_blocks=2, scale=scale)
    model = models.build(config)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None], (20, 20))
    sr = model(np.stack([ramp, ramp.T, ramp * 0 + 7], axis=-1)[None])[0].numpy()
    # The centre of HR pixel i is at LR coordinate (i + 0.5) / scale - 0.5.
    expected = ((np.arange(20 * scale) + 0.5) / scale - 0.5)[scale:-scale]
    inside = sr[scale:-scale, scale:-scale]
    np.testing.assert_allclose(inside[:, 0, 0], expected, atol=1e-4)
    np.testing.assert_allclose(inside[0, :, 1], expected, atol=1e-4)
    np.testing.assert_allclose(inside[..., 2], 7, atol=1e-4)


def test_residual_block_is_its_input_plus_two_convolutions():
    model = block("residual", 4, distillation_rate=0, activation="relu")
    identity = np.zeros((3, 3, 4, 4))
    identity[1, 1] = np.eye(4)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([2 * identity, np.full(4, -1)])
    x = features(4)
    np.testing.assert_allclose(model(x), x + 2 * np.maximum(2 * x - 1, 0) - 1, atol=1e-5)


def test_chained_network_uses_only_the_last_block():
    fused, chained = (
        models.build(ModelConfig("fdc", channels=8, num_blocks=3, network=network)) for network in ("fused", "chained")
    )
    names = {layer.name for layer in fused.layers if layer.weights}
    assert names - {layer.name for layer in chained.layers if layer.weights} == {"c.0"}
    assert fused.get_layer("c.0").kernel.shape == (1, 1, 24, 8)


@pytest.mark.parametrize("network", ["fused", "chained"])
def test_the_long_skip_goes_round_all_blocks(network):
    """With LR_conv zero nothing of the blocks is left in the result, but the first convolution's features are."""
    model = models.build(ModelConfig("fdc", channels=8, num_blocks=2, network=network))
    randomize(model)
    model.get_layer("LR_conv").set_weights([np.zeros((3, 3, 8, 8)), np.zeros(8)])
    lr = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    short = keras.Sequential([model.get_layer(n) for n in ("to_unit", "fea_conv", "upsampler.0", "upsampler.1")])
    np.testing.assert_allclose(model(lr), 255 * short(lr).numpy(), atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_image_residual_starts_from_each_pixel_repeated(scale):
    model = models.build(dataclasses.replace(VARIANTS["rfdn-mobile"], channels=16, num_blocks=1, scale=scale))
    last = model.get_layer("upsampler.0")
    last.set_weights([0 * weight for weight in last.get_weights()])
    lr = np.random.default_rng(0).integers(0, 256, (1, 15, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(model(lr), lr.repeat(scale, axis=1).repeat(scale, axis=2), atol=1e-3)
