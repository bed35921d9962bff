import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks.layers import LeakyReLU, ResizeLike
from keras_rfdn.tflite.conversion.converter import convert_quantized
from keras_rfdn.tflite.quantization import graph, simulator, xnnpack
from keras_rfdn.tflite.quantization.int8_ops import Requantize, Rsqrt, Sqrt, SquaredDifference, lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate
from keras_rfdn.upscaling import litert

IMAGES = [sample.dead_leaves(64, seed=seed) for seed in range(4)]


def quantized_of(model, **ranges):
    """A float network -> Quantized of it as it is, with kernels rounded to nearest and some ranges given."""
    model = lower_to_int8_ops(model)
    scheme = Scheme.of(model)
    absmax = {conv.name: np.zeros(conv.filters, np.float32) for conv in graph.convolutions(model)}
    return simulator.Quantized(model, scheme, calibrate(model, scheme, IMAGES) | ranges, absmax)


@pytest.fixture(scope="module")
def quantized():
    """A small network with every operation that XNNPACK computes in whole numbers."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None, None, 3))
    first = keras.layers.Conv2D(16, 3, padding="same")(x)
    total = keras.layers.Add()([first, LeakyReLU(0.05)(keras.layers.Conv2D(16, 3, padding="same")(first))])
    small = keras.layers.Conv2D(16, 3, strides=3)(total)
    mixed = keras.layers.Concatenate()([total, ResizeLike()([small, total])])
    deep = keras.layers.Conv2D(3, 3, padding="same")(mixed)
    return quantized_of(keras.Model(x, keras.layers.Add()([deep, keras.layers.Conv2D(3, 1)(total)])))


@pytest.fixture(scope="module")
def wanted(quantized):
    """What LiteRT gives for IMAGES."""
    file = litert.Model(convert_quantized(quantized, height=64, width=64))
    return np.stack([file.upscale(image) for image in IMAGES])


@pytest.fixture
def found(quantized):
    """Function: -> what the simulator gives for IMAGES."""

    def run():
        simulated = tf.function(simulator.simulate(quantized))
        return simulated(tf.constant(np.stack(IMAGES), tf.float32), training=False).numpy()

    return run


def test_a_graph_gives_what_litert_gives(found, wanted):
    assert wanted.std() > 5
    assert np.mean(found() == wanted) > 0.9999


@pytest.mark.parametrize("kind", [Requantize, ResizeLike])  # sums differ in one value of 100,000
def test_rounding_in_float_would_give_something_else(found, wanted, kind, monkeypatch):
    monkeypatch.delitem(simulator.INTEGER_OPS, kind)
    assert np.mean(found() == wanted) < 0.9999


@pytest.mark.parametrize(
    ("layer", "integer_fn", "sides"),
    [
        (keras.layers.Add(), xnnpack.add, (4, 4)),
        (keras.layers.Multiply(), xnnpack.multiply, (4, 4)),
        (LeakyReLU(0.25), xnnpack.leaky_relu, (4,)),
        (ResizeLike(), xnnpack.resize, (4, 8)),
    ],
)
def test_the_result_is_whole_and_the_gradient_is_the_layer_s(rng, layer, integer_fn, sides):
    inputs = [tf.constant(rng.integers(-100, 100, (1, side, side, 2)).astype(np.float32)) for side in sides]
    inputs = inputs if len(sides) > 1 else inputs[0]
    results = []
    for function in (layer, xnnpack.IntegerOp(layer, integer_fn, [1.0] * len(sides), 1.0)):
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
    quantized = quantized_of(model, **{name: (0.0, 255 * step) for name, step in steps.items()})
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(256)[:, None], np.arange(256)
    file = litert.Model(convert_quantized(quantized, height=256, width=256))
    simulated = simulator.simulate(quantized)
    np.testing.assert_array_equal(simulated(image[None].astype(np.float32))[0], file.upscale(image))


def test_halves_of_a_product_go_to_the_even_number():
    product = xnnpack.IntegerOp(keras.layers.Multiply(), xnnpack.multiply, [1.0, 1.0], 2.0)
    x = tf.constant([1.0, 3.0, 5.0, 7.0])
    np.testing.assert_array_equal(product([x, tf.ones_like(x)]), [0, 4, 4, 8])


def test_a_kernel_s_absmax_leaves_room_for_its_bias():
    kernel, bias = tf.constant([[[[0.5, 1e-9]]]]), tf.constant([300.0, 300.0])
    absmax = xnnpack.weight_absmax(kernel, bias, 2.0).numpy()
    assert absmax[0] == 0.5
    assert 300.0 / (2.0 * absmax[1] / 127) == pytest.approx(2**30, rel=1e-6)
    np.testing.assert_array_equal(
        xnnpack.weight_absmax(kernel, bias, 2.0, np.float32([0.6, 0.6])), np.float32([0.6, 0.6])
    )


def every_pair():
    """Image whose red is each number, and whose green is each beside it."""
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(256)[:, None], np.arange(256)
    return image


def network_of(steps, result):
    """Quantized network that gives, as grey levels, how many steps the last of some tensors has.

    steps: {tensor: step size}, numbers from 0 on. "red", and "green" where it is there, are so many steps as the image
    has grey levels; result: function of them.
    """
    x = keras.Input((None, None, 3))
    planes = [name for name in ("red", "green") if name in steps]
    outputs = result(*(keras.layers.Conv2D(1, 1, name=name)(x) for name in planes))
    model = keras.Model(x, keras.layers.Conv2D(3, 1, name="last")(outputs))
    for i, name in enumerate(planes):
        model.get_layer(name).set_weights([steps[name] * np.eye(3)[i].reshape(1, 1, 3, 1), np.zeros(1)])
    model.get_layer("last").set_weights([np.full((1, 1, 1, 3), 1 / steps[list(steps)[-1]]), np.zeros(3)])
    return quantized_of(model, **{name: (0.0, 255 * step) for name, step in steps.items()})


def assert_equal_to_the_file(quantized, image):
    """The simulation's and the file's result for an image, which has more than fifty different numbers."""
    wanted = litert.Model(convert_quantized(quantized, height=256, width=256)).upscale(image)
    assert len(np.unique(wanted)) > 50
    np.testing.assert_array_equal(simulator.simulate(quantized)(image[None].astype(np.float32))[0], wanted)


def test_every_difference_of_two_numbers_is_squared_and_rooted_as_litert_does():
    """Its kernels round the two numbers first, and a root down: rounding to nearest would give something else."""
    steps = {"red": 0.0095, "green": 0.0076, "square": 0.024, "root": 0.0094}
    quantized = network_of(steps, lambda *planes: Sqrt(name="root")(SquaredDifference(name="square")(planes)))
    assert_equal_to_the_file(quantized, every_pair())


def test_the_largest_root_may_be_the_largest_number_or_one_less():
    """254.99998603 is rounded down to 254: in a BSRN one channel of a contrast was a step off."""
    steps = {"red": 3.326885780552402e-05, "root": 0.00036120094591751695}
    assert_equal_to_the_file(network_of(steps, Sqrt(name="root")), every_pair())


def test_every_reciprocal_root_is_litert_s():
    """Of 0 too, whose reciprocal root is infinite; 179.49966 is 180 in its fixed point."""
    steps = {"red": 0.0095, "root": 0.033}
    assert_equal_to_the_file(network_of(steps, Rsqrt(name="root")), every_pair())


def test_a_slope_halfway_between_two_256ths_is_the_file_s():
    """0.05 at 470/256 is 23.5/256, which float64 rounded to 23 for the file and float32 to 24 in the simulation."""
    red, bent = 0.026989592239260674, 0.014700714498758316  # steps of an RLFN, of which 8% of the numbers were off
    x = keras.Input((None, None, 3))
    y = LeakyReLU(0.05, name="bent")(keras.layers.Conv2D(1, 1, name="red")(x))
    model = keras.Model(x, keras.layers.Conv2D(3, 1, name="last")(y))
    first, last = np.reshape([red, 0, 0], (1, 1, 3, 1)), np.full((1, 1, 1, 3), 1 / bent)
    model.set_weights([first, np.full(1, -122 * red), last, np.full(3, 11)])
    ranges = {"red": (-122 * red, 133 * red), "bent": (-11 * bent, 244 * bent)}
    assert_equal_to_the_file(quantized_of(model, **ranges), every_pair())


def test_a_kernel_s_range_is_none_that_the_converter_widens():
    """It makes a range of 1e-6 at least of each, and has steps of its own then."""
    step = 2e-7
    quantized = network_of({"red": 1.0, "tiny": step}, keras.layers.Conv2D(1, 1, name="tiny"))
    quantized.model.get_layer("tiny").set_weights([np.full((1, 1, 1, 1), step), np.zeros(1)])
    assert_equal_to_the_file(quantized, every_pair())
