"""Small networks of every family with random weights, and what int8 makes of their tensors."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.folding import fold_residuals, fold_value_range
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.simulator import Quantized, simulate_switched

ESA = ModelConfig("rfdb", 8, 2, attention="esa", reduction=4, scale=2)
CONFIGS = {
    "esa": ESA,
    "cca": dataclasses.replace(ESA, attention="cca"),
    "imdn": dataclasses.replace(VARIANTS["imdn"], channels=8, num_blocks=2, reduction=4, scale=2),
    "mobile": dataclasses.replace(VARIANTS["rfdn-mobile"], channels=8, num_blocks=2, scale=2),
    "msrresnet": dataclasses.replace(VARIANTS["msrresnet"], channels=8, num_blocks=2, scale=2),
}


@pytest.fixture(scope="session")
def images():
    """Two images to calibrate on."""
    return [sample.dead_leaves(48, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="session")
def lr():
    """An image that is not among them, as a network takes it."""
    return sample.dead_leaves(40, seed=9)[None].astype(np.float32)


@pytest.fixture(scope="session")
def weighted():
    """Function: name of a family -> (model, config), of weights not as tame as fresh ones: channels differ tenfold."""

    def build(name):
        keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        model = models.build(CONFIGS[name])
        for layer in graph.convolutions(model):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * rng.lognormal(0.3, 0.8, bias.shape), bias + rng.normal(0, 0.05, bias.shape)])
        return model, CONFIGS[name]

    return build


@pytest.fixture(scope="session")
def network(weighted):
    """Function: name of a family -> weighted's model of open size, without its Rescaling layers."""
    return lambda name: fold_value_range(weighted(name)[0], batch=None)


@pytest.fixture(scope="session")
def lowered(network):
    """Function: name of a family -> (lowered network without SRBs' sums, its Scheme), fresh each time."""

    def build(name):
        model = lower_to_int8_ops(fold_residuals(network(name)))
        return model, Scheme.of(model)

    return build


@pytest.fixture(scope="session", params=CONFIGS)
def family(request):
    """Each family's name."""
    return request.param


@pytest.fixture(scope="session")
def round_tensors():
    """Function: (lowered network, ranges, tensors, x) -> its output for x with those tensors, and no other, in int8."""

    def run(model, ranges, tensors, x):
        quantized = Quantized(model, Scheme.of(model), ranges, {})
        simulated, switches = simulate_switched(quantized, [("tensor", name) for name in tensors])
        switches.assign(tf.ones_like(switches))
        return simulated(x).numpy()

    return run


@pytest.fixture(scope="session")
def assert_same_function(lr):
    """Function that compares two networks of one float output, up to float32's rounding."""

    def check(model, wanted):
        difference = np.abs(model(lr) - wanted(lr)).max()
        assert difference < 1e-4 * np.std(wanted(lr)), difference

    return check
