"""Small networks of every family with random weights, and what int8 makes of their tensors."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.networks.layers import blueprint_separable, conv, depthwise, gelu, prelu, silu, upsample
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma, with_residual
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.merging import fold_residuals
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


def weighted(name):
    """A family's network of weights not as tame as fresh ones: channels differ tenfold."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = models.build(CONFIGS[name])
    for layer in graph.convolutions(model):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * rng.lognormal(0.3, 0.8, bias.shape), bias + rng.normal(0, 0.05, bias.shape)])
    return fold_value_range(model, batch=None)


@pytest.fixture(scope="session")
def built():
    """What `kept` has built so far, each with its weights."""
    return {}


@pytest.fixture
def kept(built):
    """Function: (kind, name, what builds it) -> a network that earlier tests may have had, with its first weights.

    Building takes seconds. The second of a name within one test is another one than the first.
    """
    asked = collections.Counter()

    def get(kind, name, build):
        asked[kind, name] += 1
        key = kind, name, asked[kind, name]
        if key not in built:
            model = build()
            built[key] = model, model.get_weights()
        model, weights = built[key]
        model.set_weights(weights)
        return model

    return get


@pytest.fixture
def network(kept):
    """Function: name of a family -> a network of it, of open size, without its Rescaling layers."""
    return lambda name: kept("network", name, lambda: weighted(name))


@pytest.fixture
def lowered(kept):
    """Function: name of a family -> (lowered network without SRBs' sums, its Scheme), as if fresh each time."""

    def build(name):
        model = kept("lowered", name, lambda: lower_to_int8_ops(fold_residuals(weighted(name))))
        return model, Scheme.of(model)

    return build


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.slow if name in ("cca", "imdn") else ()) for name in CONFIGS],
)
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


def enlarged_first(x):
    """VDSR's parts: a network on the luma of the bicubic image, one layer called three times, a residual."""
    colours = bicubic(x, 2)
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    y = layers.Conv2D(4, 3, padding="same", name="first")(luma(colours))
    for _ in range(3):
        y = shared(y)
    return with_residual(colours, conv(y, 1, 3, name="last"))


def enlarged_last(x):
    """FSRCNN's parts: a network on luma, PReLU, a transposed convolution; colours from the bicubic image."""
    y = prelu(conv(luma(x), 4, 5, name="first"), name="prelu")
    return with_luma(bicubic(x, 2), layers.Conv2DTranspose(1, 9, 2, padding="same", name="last")(y))


def separable(x):
    """LKDN's and BSRN's parts: separable and dilated convolutions, GELU, layer normalization."""
    first = y = blueprint_separable(layers.Concatenate()([x] * 4), 8, name="first")
    for i in range(2):
        z = gelu(depthwise(y, 5, name=f"dilated{i}", dilation_rate=3))
        y = layers.Add()([layers.LayerNormalization(name=f"norm{i}")(conv(z, 8, 1, name=f"c{i}")), y])
    return upsample(layers.Add()([blueprint_separable(y, 8, name="deep"), first]), 2)


def odd_gates(x):
    """SPAN's and CARN-M's parts: pixels without their mean, SiLU, gates from -0.5 to 0.5, groups, a mean added."""
    x = layers.Rescaling(255, [-114.4, -111.5, -103.0])(x)
    y = silu(conv(x, 8, 3, name="first"))
    y = layers.Conv2D(8, 3, padding="same", groups=2, name="groups")(y)
    gate = layers.Rescaling(1, -0.5)(layers.Activation("sigmoid")(y))
    y = layers.Multiply()([layers.Subtract()([y, conv(y, 8, 1, name="c")]), gate])
    return layers.Rescaling(1, [0.4488, 0.4371, 0.4040])(upsample(layers.BatchNormalization()(y), 2))


PARTS = {parts.__name__: parts for parts in (enlarged_first, enlarged_last, separable, odd_gates)}


@pytest.fixture(params=PARTS)
def parts(request, rng):
    """A network of one of PARTS with random weights: RGB 0..255 -> RGB 0..255, 128 give or take 40 in the mean."""
    keras.utils.set_random_seed(0)
    lr = keras.Input((None, None, 3), name="lr")
    model = keras.Model(lr, layers.Rescaling(255.0)(PARTS[request.param](layers.Rescaling(1 / 255)(lr))))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([w + rng.uniform(0, 0.05, w.shape) for w in layer.get_weights()])
    sr = model(sample.dead_leaves(48, seed=1)[None].astype(np.float32)).numpy()
    tamed = layers.Rescaling(40 / sr.std(), 128 - 40 / sr.std() * sr.mean())(model.output)
    return keras.Model(lr, tamed)
