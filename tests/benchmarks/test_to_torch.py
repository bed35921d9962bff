import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, variant

torch = pytest.importorskip("torch")
from benchmarks import to_torch  # noqa: E402


def compute(module, lr):
    with torch.no_grad():
        return module(torch.from_numpy(lr.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["e-rfdn", "rfdn", "imdn", "imdn-r", "table1-srb"])
def test_computes_what_keras_does(name, scale, rng):
    config = dataclasses.replace(VARIANTS[name], channels=16, num_blocks=2, scale=scale)
    model = models.build(config, height=31, width=36)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    images = rng.uniform(0, 255, (2, 31, 36, 3)).astype(np.float32)
    wanted = model(images).numpy()
    np.testing.assert_allclose(compute(to_torch.TorchNetwork(model), images), wanted, atol=1e-5 * np.abs(wanted).max())
    assert wanted.std() > 0.01


@pytest.mark.parametrize("name", ["rlfn", "bsrn", "lkdn", "span", "efdn"])
def test_computes_what_keras_does_in_networks_after_rfdn(name, rng):
    model = models.build(variant(name, 2), height=31, width=36)
    model.set_weights([w * rng.uniform(0.9, 1.1, w.shape) for w in model.get_weights()])
    images = rng.uniform(100, 150, (1, 31, 36, 3)).astype(np.float32)
    wanted = model(images).numpy()
    np.testing.assert_allclose(compute(to_torch.TorchNetwork(model), images), wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_layer_that_is_called_again_has_its_weights_once(rng):
    lr = keras.Input((8, 9, 3))
    again = keras.layers.Conv2D(3, 3, padding="same", name="again")
    model = keras.Model(lr, keras.layers.Subtract()([again(keras.layers.ReLU()(again(lr))), lr]))
    images = rng.uniform(-1, 1, (1, 8, 9, 3)).astype(np.float32)
    network = to_torch.TorchNetwork(model)
    np.testing.assert_allclose(compute(network, images), model(images), atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == model.count_params()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.UpSampling2D(2, name="up"), r"no counterpart of up \(UpSampling2D\)"),
        (keras.layers.Conv2D(3, 3, 2, "same", name="c"), "c: TensorFlow pads a strided convolution"),
        (keras.layers.Activation("tanh", name="a"), "a: of the activations"),
        (keras.layers.MaxPooling2D(2, padding="same", name="p"), "p: pooling"),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="d"), "d: depthwise"),
        (keras.layers.PReLU(name="r"), "r: PReLU"),
        (keras.layers.LayerNormalization([1, 2], name="n"), "n: layer normalization"),
    ],
)
def test_refuses_what_it_would_compute_otherwise(layer, message):
    lr = keras.Input((31, 36, 3))
    with pytest.raises(ValueError, match=message):
        to_torch.TorchNetwork(keras.Model(lr, layer(lr)))
