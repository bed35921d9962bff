import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS

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


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.UpSampling2D(2, name="up"), r"no counterpart of up \(UpSampling2D\)"),
        (keras.layers.Conv2D(3, 3, 2, "same", name="c"), "c: TensorFlow pads a strided convolution"),
        (keras.layers.Activation("tanh", name="a"), "a: of the activations"),
        (keras.layers.MaxPooling2D(2, padding="same", name="p"), "p: pooling"),
    ],
)
def test_refuses_what_it_would_compute_otherwise(layer, message):
    lr = keras.Input((31, 36, 3))
    with pytest.raises(ValueError, match=message):
        to_torch.TorchNetwork(keras.Model(lr, layer(lr)))
