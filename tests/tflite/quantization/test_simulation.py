import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite import qat
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import rewrite, simulation
from keras_rfdn.upscaling import litert

FRAMES = [sample.dead_leaves(64, seed=seed) for seed in range(4)]
CONFIGS = {
    "esa": ModelConfig("rfdb", 8, 1, attention="esa", reduction=4, scale=3),
    "cca": ModelConfig("rfdb", 8, 1, attention="cca", reduction=4, scale=2),
    "split": ModelConfig("imdb", 8, 1, attention="cca", reduction=4, distillation=0.25, scale=2),
}
MORE = {
    "two blocks": ModelConfig("rfdb", 8, 2, attention="esa", reduction=4, scale=4),
    "none": ModelConfig("rfdb", 8, 1, scale=4),
    "two convolutions": ModelConfig("imdb-r", 8, 1, attention="esa", reduction=4, distillation=0.25, scale=2),
    "base": ModelConfig("base", 8, 1, attention="cca", reduction=4, distillation=0, scale=2),
    "chained": ModelConfig("imdb", 8, 2, distillation=0.25, scale=2, network="chained"),
    "mobile": ModelConfig("rfdb", 8, 1, activation="relu", network="anchored", scale=2),
    "msrresnet": ModelConfig("residual", 8, 2, distillation=0, activation="relu", network="msrresnet", scale=4),
}


@pytest.fixture(scope="module")
def folded():
    """Function: config -> float model of random weights, its ranges folded in, its output 128 give or take 25."""

    def build(config):
        keras.utils.set_random_seed(0)
        model = rewrite.fold_value_range(models.build(config), config, batch=None)
        last = [layer for layer in model.layers if layer.weights][-1]
        kernel, bias = last.get_weights()
        sr = model(FRAMES[0][None].astype(np.float32)).numpy()
        gain = 25 / sr.std()
        last.set_weights([kernel * gain, bias * gain + 128 - sr.mean() * gain])
        return model

    return build


FAST = next(iter(CONFIGS))


@pytest.mark.parametrize(
    "name", [FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS | MORE if name != FAST)]
)
def test_the_file_computes_what_the_twin_computes(folded, name):
    model = folded((CONFIGS | MORE)[name])
    operations = simulation.operations(model)
    ranges = simulation.calibrate(operations, FRAMES, simulation.least_error)
    twin = simulation.simulate(operations, ranges)
    content = qat.to_tflite(model, ranges, twin, height=32, width=40)
    found = description.describe(content)
    assert found.float_operators == {}
    for tensor in found.inputs + found.outputs:
        assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("uint8", 1.0, 0)
    lr = np.stack([frame[:32, :40] for frame in FRAMES])
    wanted = twin(lr.astype(np.float32)).numpy()
    assert np.std(wanted) > 5
    assert (wanted == wanted.round()).all()
    file = litert.Model(content)
    difference = np.abs(np.stack([file.upscale(image) for image in lr]) - wanted)
    assert np.mean(difference == 0) > 0.999  # all of them, with XNNPACK on the machine of BUILD_NOTES.md


def test_the_file_computes_what_a_learner_learned(folded, rng):
    """Weights and ranges, changed at random; the learner itself sums in float and so is a step off now and then."""
    model = folded(CONFIGS["esa"])
    operations = simulation.operations(model)
    ranges = simulation.calibrate(operations, FRAMES, simulation.least_error)
    learner = simulation.learning(operations, ranges)
    lr = np.stack([frame[:32, :40] for frame in FRAMES])
    untrained = simulation.simulate(operations, ranges)(lr.astype(np.float32)).numpy()
    assert np.abs(learner(lr.astype(np.float32)) - untrained).mean() < 0.3
    for variable in learner.trainable_variables:
        variable.assign(variable * rng.uniform(0.9, 1.1, variable.shape))
    found, twin = simulation.learned(operations, learner)
    free = set(simulation._free(operations))
    changes = {name: np.ptp(found[name]) / np.ptp(ranges[name]) for name in ranges}
    assert all((change == 1) == (simulation.shared(operations)[name] not in free) for name, change in changes.items())
    wanted = twin(lr.astype(np.float32)).numpy()
    assert np.abs(wanted - untrained).mean() > 3
    assert np.abs(learner(lr.astype(np.float32)) - wanted).mean() < 0.3
    file = litert.Model(qat.to_tflite(model, found, twin, height=32, width=40))
    assert np.mean(np.stack([file.upscale(image) for image in lr]) == wanted) > 0.999


def test_ranges_are_learned_by_the_gradients_that_pytorch_has(rng):
    torch = pytest.importorskip("torch")
    x, upstream = rng.normal(size=(2, 500)).astype(np.float32)
    step, zero = 0.01, 100  # -1 to 1.55: values are cut off at both ends
    x = x[np.minimum(np.abs(x + 1), np.abs(x - 1.55)) > step]  # PyTorch's range ends half a step further out
    upstream = upstream[: x.size]
    rounded = simulation.LearnedRange(-zero * step, (255 - zero) * step)
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


def test_operations_keep_the_function(folded):
    for config in CONFIGS.values():
        model = folded(config)
        operations = simulation.operations(model)
        lr = FRAMES[1][None].astype(np.float32)
        np.testing.assert_allclose(operations(lr), model(lr), atol=1e-2)


def test_ranges_are_shared_where_kernels_want_one_scale(folded):
    operations = simulation.operations(folded(CONFIGS["esa"]))
    ranges = simulation.calibrate(operations, FRAMES, simulation.minmax)
    assert ranges["pixels"] == ranges["upsampler.0"] == ranges["upsampler.1"] == (0.0, 255.0)
    for layer in operations.layers:
        if isinstance(layer, keras.layers.Concatenate):
            parents = [ranges[node.name] for node in layer.inbound_nodes[0].inbound_layers]
            assert parents == [ranges[layer.name]] * len(parents)
    assert ranges["B1.esa.conv3_"] == ranges["B1.esa.resize"] != ranges["B1.esa.conv_f"]
    assert "B1.esa.conv3" not in ranges  # its ReLU is one operation with it
    assert [r for n, r in ranges.items() if n.startswith("activation")] == [(0.0, 255 / 256)]


def test_what_a_sigmoid_does_not_tell_apart_gets_no_steps():
    x = keras.Input((None, None, 3))
    gate = keras.layers.Activation("sigmoid")(keras.layers.Conv2D(3, 1, name="conv")(x))  # in the hundreds
    model = simulation.operations(keras.Model(x, keras.layers.Multiply()([x, gate])))
    low, high = simulation.calibrate(model, FRAMES, simulation.minmax)["conv"]
    assert max(-low, high) == pytest.approx(6.24, abs=0.5 * 2 * 6.24 / 255)


def test_a_leaky_relu_is_given_whole_256ths():
    """What XNNPACK multiplies by: the ratio of the two steps, and that times the slope."""
    x = keras.Input((None, None, 3))
    y = keras.layers.Conv2D(4, 1, name="conv")(x)
    y = simulation.LeakyReLU(0.05, name="lrelu")(y)
    model = simulation.operations(keras.Model(x, keras.layers.Conv2D(3, 1)(y)))
    ranges = simulation.calibrate(model, FRAMES, simulation.minmax)
    ratio = 256 * (np.ptp(ranges["conv"]) / np.ptp(ranges["lrelu"]))
    twin = simulation.simulate(model, ranges, for_converter=True)
    slope = float(twin.get_layer("lrelu").layer.alpha)
    assert ratio == pytest.approx(round(ratio), abs=1e-4)
    assert slope * ratio == pytest.approx(round(slope * ratio), abs=1e-4)
    assert slope == pytest.approx(0.05, abs=0.005)


def test_weights_are_rounded_as_the_converter_does():
    kernel = tf.reshape(tf.constant([1.0, 0.5, 0.0039, 0.004, -0.4, 0.1]), [1, 1, 3, 2])
    rounded = simulation._Kernel(2.0)(kernel, True, {}).numpy()
    np.testing.assert_allclose(rounded[0, 0, :, 0], [1, 0, -51 / 127], atol=1e-6)  # 0.0039 is not half a step
    np.testing.assert_allclose(rounded[0, 0, :, 1], [0.5, 0.5 / 127, 25 * 0.5 / 127], atol=1e-6)
    bias = simulation._Bias(2.0, kernel)(tf.constant([0.1, 0.1]), True, {}).numpy()
    np.testing.assert_allclose(bias, [6 * 2 / 127, 13 * 1 / 127], atol=1e-6)


def test_a_bias_fits_whatever_the_kernel():
    """A channel that is all bias, as a constant is: int32 would overflow at the kernel's own step."""
    x = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(3, 1, name="conv")
    model = keras.Model(x, conv(x))
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 0, 0] = 0.5
    conv.set_weights([kernel, np.array([10, 77, 200], np.float32)])
    operations = simulation.operations(model)
    ranges = simulation.calibrate(operations, FRAMES, simulation.minmax)
    twin = simulation.simulate(operations, ranges)
    content = qat.to_tflite(model, ranges, twin, height=16, width=16)
    sr = litert.Model(content).upscale(FRAMES[0][:16, :16])
    np.testing.assert_array_equal(sr[..., 1:], np.full((16, 16, 2), [77, 200]))
    wanted = twin(FRAMES[0][None, :16, :16].astype(np.float32))[0]
    assert np.abs(sr - wanted).max() <= 1  # half a grey level is rounded up or down


def test_least_error_gives_up_an_outlier_but_not_small_values(rng):
    values = np.append(rng.uniform(-1, 1, 400_000), 1.6)
    assert simulation.minmax(values) == (values.min(), 1.6)
    low, high = simulation.least_error(values)
    assert high == pytest.approx(1, abs=0.05)
    assert low == pytest.approx(-1, abs=0.05)
    # Behind a LeakyReLU negative values hardly count.
    assert simulation.least_error(values, slope=0.05)[0] > low + 0.02


def test_minmax_gives_up_only_what_a_leaky_relu_shrinks(rng):
    values = np.append(rng.uniform(-1, 1, 4000), [-50, 2])
    assert simulation.minmax(values) == (-50, 2)
    low, high = simulation.minmax(values, slope=0.05)
    assert high == 2
    assert -50 < low < -1


@pytest.mark.parametrize("fit", [simulation.minmax, simulation.least_error])
def test_a_relu_that_never_fires_has_a_range_that_xnnpack_takes(fit):
    x = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(3, 1, name="conv")
    model = keras.Model(x, keras.layers.Add()([x, keras.layers.ReLU()(conv(x))]))
    conv.set_weights([np.full((1, 1, 3, 3), -10, np.float32), np.zeros(3, np.float32)])
    ranges = simulation.calibrate(simulation.operations(model), FRAMES, fit)
    sr = litert.Model(qat.to_tflite(model, ranges, height=64, width=64)).upscale(FRAMES[0])
    np.testing.assert_array_equal(sr, FRAMES[0])


def test_an_unknown_layer_is_refused():
    x = keras.Input((None, None, 3))
    model = keras.Model(x, keras.layers.Softmax(name="odd")(x))
    with pytest.raises(ValueError, match=r"no rule for odd \(Softmax\).*Conv2D"):
        simulation.shared(simulation.operations(model))
