import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite.conversion.converter import convert_quantized
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import graph, simulator
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.int8_ops import Rsqrt, lower_to_int8_ops
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate
from keras_rfdn.upscaling import litert

IMAGES = [sample.dead_leaves(64, seed=seed) for seed in range(4)]
CONFIGS = {
    "esa": ModelConfig("rfdb", 8, 1, attention="esa", reduction=4, scale=3),
    "cca": ModelConfig("rfdb", 8, 1, attention="cca", reduction=4, scale=2),
    "split": ModelConfig("imdb", 8, 1, attention="cca", reduction=4, distillation_rate=0.25, scale=2),
}
MORE = {
    "two blocks": ModelConfig("rfdb", 8, 2, attention="esa", reduction=4, scale=4),
    "none": ModelConfig("rfdb", 8, 1, scale=4),
    "two convolutions": ModelConfig("imdb-r", 8, 1, attention="esa", reduction=4, distillation_rate=0.25, scale=2),
    "base": ModelConfig("base", 8, 1, attention="cca", reduction=4, distillation_rate=0, scale=2),
    "chained": ModelConfig("imdb", 8, 2, distillation_rate=0.25, scale=2, network="chained"),
    "mobile": ModelConfig("rfdb", 8, 1, activation="relu", network="image_residual", scale=2),
    "msrresnet": ModelConfig("residual", 8, 2, distillation_rate=0, activation="relu", network="msrresnet", scale=4),
}


@pytest.fixture(scope="module")
def folded():
    """Function: config -> float model of random weights, its ranges folded in, its output 128 give or take 25."""

    def build(config):
        keras.utils.set_random_seed(0)
        model = fold_value_range(models.build(config), batch=None)
        last = [layer for layer in model.layers if layer.weights][-1]
        kernel, bias = last.get_weights()
        sr = model(IMAGES[0][None].astype(np.float32)).numpy()
        gain = 25 / sr.std()
        last.set_weights([kernel * gain, bias * gain + 128 - sr.mean() * gain])
        return model

    return build


def calibrated(model):
    """A float network -> Quantized of it as it is, with kernels rounded to nearest."""
    model = lower_to_int8_ops(model)
    scheme = Scheme.of(model)
    absmax = {conv.name: np.zeros(conv.filters, np.float32) for conv in graph.convolutions(model)}
    return simulator.Quantized(model, scheme, calibrate(model, scheme, IMAGES), absmax)


@pytest.fixture(scope="module")
def quantized(folded):
    """The smallest network with ESA, calibrated."""
    return calibrated(folded(CONFIGS["esa"]))


FAST = next(iter(CONFIGS))


@pytest.mark.parametrize(
    "name", [FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS | MORE if name != FAST)]
)
def test_the_file_computes_what_is_simulated(folded, quantized, name):
    if name != FAST:
        quantized = calibrated(folded((CONFIGS | MORE)[name]))
    simulated = simulator.simulate(quantized)
    content = convert_quantized(quantized, height=32, width=40)
    found = description.describe(content)
    assert found.float_operators == {}
    for tensor in found.inputs + found.outputs:
        assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("uint8", 1.0, 0)
    lr = np.stack([image[:32, :40] for image in IMAGES])
    wanted = simulated(lr.astype(np.float32)).numpy()
    assert np.std(wanted) > 5
    assert (wanted == wanted.round()).all()
    file = litert.Model(content)
    difference = np.abs(np.stack([file.upscale(image) for image in lr]) - wanted)
    assert np.mean(difference == 0) > 0.999  # all of them, with XNNPACK on AVX2 and on AVX512-VNNI


def test_what_other_networks_are_made_of_is_simulated_to_the_bit(parts):
    """Depthwise, grouped and dilated convolutions, GELU, sigmoids, reciprocal roots, differences, mirrored borders."""
    quantized = quantize(fold_value_range(parts, batch=None), IMAGES)
    content = convert_quantized(quantized, height=32, width=40)
    assert description.describe(content).float_operators == {}
    lr = np.stack([image[:32, :40] for image in IMAGES])
    wanted = simulator.simulate(quantized)(lr.astype(np.float32)).numpy()
    file = litert.Model(content)
    sr = np.stack([file.upscale(image) for image in lr])
    np.testing.assert_array_equal(sr, wanted)
    assert np.abs(sr - parts(lr.astype(np.float32)).numpy().clip(0, 255)).mean() < 2


def test_the_file_computes_what_was_learned(quantized, rng):
    """Weights and ranges, changed at random; the trained network sums in float and so is a step off now and then."""
    trained = simulator.make_trainable(quantized)
    lr = np.stack([image[:32, :40] for image in IMAGES])
    untrained = simulator.simulate(quantized)(lr.astype(np.float32)).numpy()
    assert np.abs(trained(lr.astype(np.float32)) - untrained).mean() < 0.3
    for variable in trained.trainable_variables:
        variable.assign(variable * rng.uniform(0.9, 1.1, variable.shape))
    learned = simulator.export_learned(quantized, trained)
    free = set(quantized.scheme.free())
    changes = {name: np.ptp(learned.ranges[name]) / np.ptp(quantized.ranges[name]) for name in quantized.ranges}
    assert all((change == 1) == (quantized.scheme.leaders[name] not in free) for name, change in changes.items())
    wanted = simulator.simulate(learned)(lr.astype(np.float32)).numpy()
    assert np.abs(wanted - untrained).mean() > 3
    assert np.abs(trained(lr.astype(np.float32)) - wanted).mean() < 0.3
    file = litert.Model(convert_quantized(learned, height=32, width=40))
    assert np.mean(np.stack([file.upscale(image) for image in lr]) == wanted) > 0.999


def test_untrained_weights_and_ranges_come_back_as_they_were(folded):
    quantized = calibrated(folded(CONFIGS["cca"]))
    again = simulator.export_learned(quantized, simulator.make_trainable(quantized))
    for name, bounds in quantized.ranges.items():
        assert again.ranges[name] == pytest.approx(bounds, rel=1e-6, abs=1e-6)
    for ours, theirs in zip(again.model.get_weights(), quantized.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_switches_round_what_is_named_and_nothing_else(quantized):
    x = IMAGES[1][None].astype(np.float32)
    names = [("tensor", "c.0.leaky_re_lu"), ("kernel", "c.0")]
    model, switches = simulator.simulate_switched(quantized, names)
    exact = quantized.model(x).numpy()
    np.testing.assert_allclose(model(x), exact, atol=1e-3)
    seen = keras.Model(model.input, model.get_layer("c.0.leaky_re_lu").output)
    size = np.ptp(quantized.ranges["c.0.leaky_re_lu"]) / 255
    switches.assign([True, False])
    codes = seen(x).numpy() / size
    np.testing.assert_allclose(codes, codes.round(), atol=1e-2)
    switches.assign([False, True])
    assert 0 < np.abs(model(x) - exact).mean() < 5
    codes = seen(x).numpy() / size
    assert np.abs(codes - codes.round()).mean() > 0.1


def test_ranges_are_learned_by_the_gradients_that_pytorch_has(rng):
    torch = pytest.importorskip("torch")
    x, upstream = rng.normal(size=(2, 500)).astype(np.float32)
    step, zero = 0.01, 100  # -1 to 1.55: values are cut off at both ends
    x = x[np.minimum(np.abs(x + 1), np.abs(x - 1.55)) > step]  # PyTorch's range ends half a step further out
    upstream = upstream[: x.size]
    rounded = simulator.LearnedRange(-zero * step, (255 - zero) * step)
    with tf.GradientTape() as tape:
        value = tf.Variable(x)
        y = rounded(value)
    grads = tape.gradient(y, [value, rounded.below, rounded.above], output_gradients=tf.constant(upstream))
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, np.float32([step]), np.float32([zero]))]
    wanted = torch._fake_quantize_learnable_per_tensor_affine(*theirs, 0, 255, 1.0)
    wanted.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y, wanted.detach(), atol=1e-6)
    np.testing.assert_allclose(grads[0], theirs[0].grad, atol=1e-6)
    # step = (above + below) / 255, zero = below / step
    by_step, by_zero = (float(their.grad) for their in theirs[1:])
    np.testing.assert_allclose(grads[1], by_step / 255 + by_zero * (255 - zero) / 255 / step, rtol=1e-3)
    np.testing.assert_allclose(grads[2], by_step / 255 - by_zero * zero / 255 / step, rtol=1e-3)


def test_a_reciprocal_root_of_zero_trains_its_range():
    """A layer normalization's variance may round to 0."""
    rounded = simulator.LearnedRange(0.0, 20.0)
    with tf.GradientTape() as tape:
        variance = tf.Variable([0.0, 0.25])
        y = rounded(Rsqrt()(variance))
    grads = tape.gradient(y, [variance, rounded.below, rounded.above], output_gradients=tf.constant([3.0, 1.0]))
    np.testing.assert_allclose(y, [20, 2], atol=0.04)
    np.testing.assert_allclose(grads[0], [0, -4], atol=1e-3)
    assert float(grads[1]) == pytest.approx(0, abs=0.01)
    assert float(grads[2]) == pytest.approx(3, abs=0.01)  # what is cut off pulls at the end


def test_lowering_keeps_the_function(folded):
    for config in CONFIGS.values():
        model = folded(config)
        lr = IMAGES[1][None].astype(np.float32)
        np.testing.assert_allclose(lower_to_int8_ops(model)(lr), model(lr), atol=1e-2)


def test_weights_are_rounded_as_the_converter_does():
    kernel = tf.reshape(tf.constant([1.0, 0.5, 0.0039, 0.004, -0.4, 0.1]), [1, 1, 3, 2])
    grid = simulator.WeightGrid(2.0, np.zeros(2, np.float32))
    rounded = grid.kernel(kernel).numpy()
    np.testing.assert_allclose(rounded[0, 0, :, 0], [1, 0, -51 / 127], atol=1e-6)  # 0.0039 is not half a step
    np.testing.assert_allclose(rounded[0, 0, :, 1], [0.5, 0.5 / 127, 25 * 0.5 / 127], atol=1e-6)
    bias = grid.bias(tf.constant([0.1, 0.1]), kernel).numpy()
    np.testing.assert_allclose(bias, [6 * 2 / 127, 13 * 1 / 127], atol=1e-6)


def test_weights_on_their_grid_stay_on_it():
    """GPTQ's steps are a 127th of what a channel's largest number was, which rounding may have made smaller."""
    grid = simulator.WeightGrid(2.0, np.float32([1.27]))
    kernel = tf.reshape(tf.constant([0.03, -0.5, 1.25]), [1, 1, 3, 1])  # 3, -50 and 125 steps
    np.testing.assert_allclose(grid.kernel(kernel), kernel, atol=1e-6)


def test_a_bias_fits_whatever_the_kernel():
    """A channel that is all bias, as a constant is: int32 would overflow at the kernel's own step."""
    x = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(3, 1, name="conv")
    model = keras.Model(x, conv(x))
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 0, 0] = 0.5
    conv.set_weights([kernel, np.array([10, 77, 200], np.float32)])
    quantized = calibrated(model)
    sr = litert.Model(convert_quantized(quantized, height=16, width=16)).upscale(IMAGES[0][:16, :16])
    np.testing.assert_array_equal(sr[..., 1:], np.full((16, 16, 2), [77, 200]))
    wanted = simulator.simulate(quantized)(IMAGES[0][None, :16, :16].astype(np.float32))[0]
    assert np.abs(sr - wanted).max() <= 1  # half a grey level is rounded up or down
