import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks.layers import LeakyReLU, ResizeLike
from keras_rfdn.tflite import qat
from keras_rfdn.tflite.quantization import simulation, xnnpack
from keras_rfdn.upscaling import litert

FRAMES = [sample.dead_leaves(64, seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def network():
    """A small network with every operation that XNNPACK computes in whole numbers, and its ranges."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None, None, 3))
    first = keras.layers.Conv2D(16, 3, padding="same")(x)
    total = keras.layers.Add()([first, LeakyReLU(0.05)(keras.layers.Conv2D(16, 3, padding="same")(first))])
    small = keras.layers.Conv2D(16, 3, strides=3)(total)
    mixed = keras.layers.Concatenate()([total, ResizeLike()([small, total])])
    deep = keras.layers.Conv2D(3, 3, padding="same")(mixed)
    model = keras.Model(x, keras.layers.Add()([deep, keras.layers.Conv2D(3, 1)(total)]))
    operations = simulation.operations(model)
    return model, operations, simulation.calibrate(operations, FRAMES, simulation.minmax)


@pytest.fixture(scope="module")
def wanted(network):
    """What LiteRT gives for FRAMES."""
    model, _, ranges = network
    file = litert.Model(qat.to_tflite(model, ranges, height=64, width=64))
    return np.stack([file.upscale(frame) for frame in FRAMES])


@pytest.fixture
def found(network):
    """Function: -> what the twin gives for FRAMES."""
    _, operations, ranges = network

    def run():
        twin = tf.function(simulation.simulate(operations, ranges))
        return twin(tf.constant(np.stack(FRAMES), tf.float32), training=False).numpy()

    return run


def test_a_graph_gives_what_litert_gives(found, wanted):
    assert wanted.std() > 5
    assert np.mean(found() == wanted) > 0.9999


@pytest.mark.parametrize("kind", [simulation.Requantized, ResizeLike])  # sums differ in one value of 100,000
def test_rounding_in_float_would_give_something_else(found, wanted, kind, monkeypatch):
    monkeypatch.delitem(simulation.IN_WHOLES, kind)
    assert np.mean(found() == wanted) < 0.9999


@pytest.mark.parametrize(
    ("layer", "whole", "sides"),
    [
        (keras.layers.Add(), xnnpack.added, (4, 4)),
        (keras.layers.Multiply(), xnnpack.multiplied, (4, 4)),
        (LeakyReLU(0.25), xnnpack.leaky, (4,)),
        (ResizeLike(), xnnpack.resized, (4, 8)),
    ],
)
def test_the_result_is_whole_and_the_gradient_is_the_layer_s(rng, layer, whole, sides):
    inputs = [tf.constant(rng.integers(-100, 100, (1, side, side, 2)).astype(np.float32)) for side in sides]
    inputs = inputs if len(sides) > 1 else inputs[0]
    results = []
    for function in (layer, xnnpack.InWholes(layer, whole, [1.0] * len(sides), 1.0)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            given = function(inputs)
        results.append((given.numpy(), tape.gradient(given, tf.nest.flatten(inputs)[0]).numpy()))
    (smooth, wanted), (rounded, gradient) = results
    np.testing.assert_array_equal(gradient, wanted)
    np.testing.assert_array_equal(rounded, np.floor(smooth + 0.5))


def test_every_sum_of_two_numbers_is_litert_s():
    # With quotients of steps in float64, 2 of the 65,536 sums would be other numbers.
    steps = {"red": 0.009498455561697483, "green": 0.0076472400687634945, "total": 0.010680874809622765}
    x = keras.Input((None, None, 3))
    red, green = (keras.layers.Conv2D(1, 1, name=name)(x) for name in ("red", "green"))
    model = keras.Model(x, keras.layers.Conv2D(3, 1)(keras.layers.Add(name="total")([red, green])))
    model.set_weights(
        [
            np.array([steps["red"], 0, 0]).reshape(1, 1, 3, 1),
            np.zeros(1),
            np.array([0, steps["green"], 0]).reshape(1, 1, 3, 1),
            np.zeros(1),
            np.full((1, 1, 1, 3), 1 / steps["total"]),
            np.zeros(3),
        ]
    )
    operations = simulation.operations(model)
    seen = simulation.calibrate(operations, FRAMES, simulation.minmax)
    ranges = seen | {name: (0.0, 255 * step) for name, step in steps.items()}
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(256)[:, None], np.arange(256)
    file = litert.Model(qat.to_tflite(model, ranges, height=256, width=256))
    twin = simulation.simulate(operations, ranges)
    np.testing.assert_array_equal(twin(image[None].astype(np.float32))[0], file.upscale(image))


def test_halves_of_a_product_go_to_the_even_number():
    product = xnnpack.InWholes(keras.layers.Multiply(), xnnpack.multiplied, [1.0, 1.0], 2.0)
    x = tf.constant([1.0, 3.0, 5.0, 7.0])
    np.testing.assert_array_equal(product([x, tf.ones_like(x)]), [0, 4, 4, 8])


def test_a_kernel_s_limit_leaves_room_for_its_bias():
    kernel, bias = tf.constant([[[[0.5, 1e-9]]]]), tf.constant([3.0, 3.0])
    limits = xnnpack.limit(kernel, bias, 2.0).numpy()
    assert limits[0] == 0.5
    assert 3.0 / (2.0 * limits[1] / 127) == pytest.approx(2**30, rel=1e-6)
