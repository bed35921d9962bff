"""Every network of the zoo goes through folding, int8 and the file."""

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ZOO, variant
from keras_rfdn.tflite.conversion.converter import convert_quantized
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.simulator import simulate
from keras_rfdn.upscaling import litert

IMAGES = [sample.dead_leaves(24, seed=seed) for seed in range(2)]
FAST = "srcnn", "fsrcnn", "vdsr", "lapsrn", "lapsrn-tf", "srmdnf", "idn", "carn", "span"


@pytest.fixture
def network(request, rng):
    """A network of the zoo at x2, of random weights, its output 128 give or take 40 in the mean."""
    keras.utils.set_random_seed(0)
    model = models.build(variant(request.param, 2))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([w * rng.uniform(0.9, 1.1, w.shape) for w in layer.get_weights()])
    sr = model(IMAGES[0][None].astype(np.float32)).numpy()
    gain = 40 / sr.std()
    tamed = keras.layers.Rescaling(gain, 128 - gain * sr.mean())(model.output)
    return keras.Model(model.input, tamed, name=request.param)


def of_zoo(fast):
    return pytest.mark.parametrize(
        "network", [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in ZOO], indirect=True
    )


@of_zoo(FAST)
def test_folding_keeps_the_function(network, rng):
    lr = rng.integers(0, 256, (1, 16, 17, 3)).astype(np.float32)
    wanted = network(lr).numpy()
    np.testing.assert_allclose(fold_value_range(network)(lr), wanted, atol=1e-4 * wanted.std())


def test_lapsrn_at_x3_is_x4_made_smaller():
    model = models.build(variant("lapsrn", 3))
    wanted = model(IMAGES[0][None].astype(np.float32)).numpy()
    folded = fold_value_range(model)(IMAGES[0][None].astype(np.float32))
    np.testing.assert_allclose(folded, wanted, atol=1e-4 * wanted.std())


@of_zoo(("fsrcnn",))
def test_the_int8_file_computes_what_is_simulated_and_nearly_the_network(network):
    quantized = quantize(fold_value_range(network, batch=None), IMAGES)
    content = convert_quantized(quantized, height=24, width=24)
    assert description.describe(content).float_operators == {}
    lr = np.stack(IMAGES)
    file = litert.Model(content)
    sr = np.stack([file.upscale(image) for image in lr])
    simulated = simulate(quantized)(lr.astype(np.float32)).numpy()
    assert np.mean(sr == simulated) > 0.999
    wanted = network(lr.astype(np.float32)).numpy().clip(0, 255)
    assert np.abs(sr - wanted).mean() < 2
