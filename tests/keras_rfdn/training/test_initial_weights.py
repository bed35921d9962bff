import dataclasses

import numpy as np
import pytest

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig, variant
from keras_rfdn.training import initial_weights

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=2, scale=2)
LARGER = dataclasses.replace(TINY, channels=12, num_blocks=3)


@pytest.fixture
def load(tmp_path):
    """load(source, its config, config) -> network of config that starts from source's weights."""

    def load(source, source_config, config):
        checkpoint.save(source, source_config, tmp_path / "start.h5")
        model = models.build_for_training(config)
        initial_weights.load(model, config, tmp_path / "start.h5")
        return model

    return load


def lr():
    return np.random.default_rng(0).uniform(0, 255, (1, 16, 17, 3)).astype(np.float32)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_another_scale(load, scale):
    source = models.build(TINY)
    model = load(source, TINY, dataclasses.replace(TINY, scale=scale))
    layers = [layer for layer in model.layers if layer.weights]
    equal = {layer.name: same(layer.get_weights(), source.get_layer(layer.name).get_weights()) for layer in layers[:-1]}
    assert set(equal.values()) == {True}
    last = layers[-1]
    assert last.name == "upsampler.0"
    assert same(last.get_weights(), source.get_layer(last.name).get_weights()) == (scale == 2)
    ours, theirs = (m(lr()).numpy().reshape(1, 16, s, 17, s, 3) for m, s in ((model, scale), (source, 2)))
    np.testing.assert_allclose(ours.mean((2, 4)), theirs.mean((2, 4)), atol=1e-3)
    if scale == 4:
        np.testing.assert_allclose(ours, theirs.repeat(2, axis=2).repeat(2, axis=4), atol=1e-3)
    if scale == 3:  # corners lie in one pixel of the other's, the middle in all
        np.testing.assert_allclose(ours[:, :, ::2, :, ::2], theirs, atol=1e-3)
        np.testing.assert_allclose(ours[:, :, 1, :, 1], theirs.mean((2, 4)), atol=1e-3)


def test_a_layer_that_the_other_scale_lacks_starts_fresh(load, caplog):
    """MSRResNet upscales by one step at x2 and by two at x4."""
    start = ModelConfig("residual", 8, 1, distillation_rate=0, activation="relu", network="msrresnet", scale=2)
    source = models.build(start)
    with caplog.at_level("INFO", logger="absl"):
        model = load(source, start, dataclasses.replace(start, scale=4))
    assert "start.h5, all but 2 of 7 layers: upconv2, conv_last" in caplog.text
    for layer in model.layers:
        if layer.weights and layer.name not in ("conv_last", "upconv2"):
            assert same(layer.get_weights(), source.get_layer(layer.name).get_weights())
    assert not same(model.get_layer("conv_last").get_weights(), source.get_layer("conv_last").get_weights())


@pytest.mark.parametrize("attention", ["cca", "esa"])
def test_a_larger_network_computes_the_same_and_a_smaller_one_is_its_first_channels(load, attention):
    small, large = (dataclasses.replace(config, attention=attention) for config in (TINY, LARGER))
    source = models.build(small)
    grown = load(source, small, large)
    np.testing.assert_allclose(grown(lr()), source(lr()), atol=1e-3)
    fresh = [w for layer in grown.layers if layer.name.startswith("B3.") for w in layer.get_weights() if w.ndim == 4]
    assert fresh
    assert all(w.any() for w in fresh)  # so that they can learn
    assert same(load(grown, large, small).get_weights(), source.get_weights())


def test_another_scale_and_size_at_once(load):
    source = models.build(TINY)
    model = load(source, TINY, dataclasses.replace(LARGER, scale=4))
    np.testing.assert_allclose(model(lr()), source(lr()).numpy().repeat(2, axis=1).repeat(2, axis=2), atol=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "last"), [("esa", "cca", "B1.esa.conv4"), ("cca", "esa", "B1.cca.conv_du.2")]
)
def test_attention_of_another_kind_starts_as_the_mean_gate(load, before, after, last):
    start = dataclasses.replace(TINY, attention=before)
    source = models.build(start)
    kernel, bias = source.get_layer(last).get_weights()
    gates = np.linspace(-2, 2, len(bias), dtype=np.float32)  # of any sizes, but the same for all images
    source.get_layer(last).set_weights([np.zeros_like(kernel), gates])
    model = load(source, start, dataclasses.replace(start, attention=after))
    np.testing.assert_allclose(model(lr()), source(lr()), atol=1e-2)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (dataclasses.replace(LARGER, distillation_rate=0.25), r"distillation_rate=0\.25.*distillation_rate=0\.5"),
        (dataclasses.replace(LARGER, activation="relu"), r"activation='relu'.*activation='lrelu'"),
        (variant("fsrcnn", 2), r"ZooConfig\(network='fsrcnn', scale=2\).*ModelConfig"),
    ],
)
def test_any_other_network_is_refused(load, config, said):
    with pytest.raises(ValueError, match=rf"start\.h5 is of another network: .*{said}"):
        load(models.build(config), config, TINY)


def test_only_rfdbs_change_their_size(load):
    """An IMDB splits its channels in two: the first of them mean something else in a wider one."""
    start = ModelConfig("imdb", channels=8, num_blocks=1, attention="cca", reduction=2, distillation_rate=0.25, scale=2)
    with pytest.raises(ValueError, match=r"is of another network: .*channels=8.*channels=12"):
        load(models.build(start), start, dataclasses.replace(start, channels=12))
