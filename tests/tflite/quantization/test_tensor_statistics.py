import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks.layers import LeakyReLU
from keras_rfdn.tflite.conversion.converter import convert_quantized
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.simulator import Quantized, for_converter
from keras_rfdn.tflite.quantization.tensor_statistics import (
    calibrate,
    collect_statistics,
    complete_ranges,
    min_max_range,
    step_size,
)
from keras_rfdn.upscaling import litert

LARGER = [sample.dead_leaves(64, seed=seed) for seed in range(4)]


def calibrated(model):
    """A float network -> Quantized of it, with kernels as they are."""
    model = lower_to_int8_ops(model)
    scheme = Scheme.of(model)
    absmax = {conv.name: np.abs(conv.get_weights()[0]).max(axis=(0, 1, 2)) for conv in graph.convolutions(model)}
    return Quantized(model, scheme, calibrate(model, scheme, LARGER), absmax)


def test_a_sensitivity_is_what_noise_does_to_the_output(lowered, images):
    model, scheme = lowered("esa")
    name = "B2.c5"
    seen = collect_statistics(model, scheme, [images[0]] * 8)[name]  # eight probes
    deviation = 0.01 * np.sqrt(seen.power.mean())
    rng = np.random.default_rng(0)

    def disturb(layer, inputs):
        x = layer(inputs)
        return x + rng.normal(0, deviation, x.shape) if layer.name == name else x

    frame = images[0][None].astype(np.float32)
    change = [graph.walk(model, frame, disturb) - model(frame) for _ in range(8)]
    assert np.mean(np.square(change)) == pytest.approx(deviation**2 * seen.sensitivity.sum(), rel=0.15)


def test_statistics_hold_every_tensor_and_its_extremes(lowered, images):
    model, scheme = lowered("esa")
    seen = collect_statistics(model, scheme, images)
    assert seen.keys() == scheme.leaders.keys()
    observed = keras.Model(model.input, model.get_layer("fea_conv").output)
    values = np.concatenate([observed(image[None].astype(np.float32)).numpy() for image in images])
    np.testing.assert_allclose(seen["fea_conv"].low, values.min(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(seen["fea_conv"].high, values.max(axis=(0, 1, 2)), rtol=1e-5)


def test_ranges_hold_all_that_was_seen_and_are_shared(lowered, images):
    model, scheme = lowered("esa")
    seen, ranges = collect_statistics(model, scheme, images), calibrate(model, scheme, images)
    assert ranges.keys() == scheme.leaders.keys()
    assert all(ranges[name] == ranges[leader] for name, leader in scheme.leaders.items())
    low, high = float(seen["fea_conv"].low.min()), float(seen["fea_conv"].high.max())
    assert ranges["fea_conv"] == pytest.approx((low, high), abs=0.5 * (high - low) / 255)  # moved to hold zero
    assert min(ranges["B1.esa.conv4"]) >= -6.24 * (1 + 1 / 255)


def test_an_image_that_is_added_to_the_output_keeps_its_range(lowered, images):
    """Whatever the calibration images hold: white must come out white."""
    model, scheme = lowered("mobile")
    ranges = calibrate(model, scheme, [image // 2 for image in images])
    assert ranges["pixels"] == (0, 255)


def test_what_a_sigmoid_does_not_tell_apart_gets_no_steps():
    x = keras.Input((None, None, 3))
    gate = keras.layers.Activation("sigmoid")(keras.layers.Conv2D(3, 1, name="conv")(x))  # in the hundreds
    low, high = calibrated(keras.Model(x, keras.layers.Multiply()([x, gate]))).ranges["conv"]
    assert max(-low, high) == pytest.approx(6.24, abs=0.5 * 2 * 6.24 / 255)


def test_a_leaky_relu_is_given_whole_256ths():
    """What XNNPACK multiplies by: the ratio of the two steps, and that times the slope."""
    x = keras.Input((None, None, 3))
    y = keras.layers.Conv2D(4, 1, name="conv")(x)
    y = LeakyReLU(0.05, name="lrelu")(y)
    quantized = calibrated(keras.Model(x, keras.layers.Conv2D(3, 1)(y)))
    ratio = 256 * (np.ptp(quantized.ranges["conv"]) / np.ptp(quantized.ranges["lrelu"]))
    slope = float(for_converter(quantized, (1, 16, 16, 3)).get_layer("lrelu").layer.alpha)
    assert ratio == pytest.approx(round(ratio), abs=1e-4)
    assert slope * ratio == pytest.approx(round(slope * ratio), abs=1e-4)
    assert slope == pytest.approx(0.05, abs=0.005)


def test_a_range_gives_up_only_what_a_leaky_relu_shrinks(rng):
    values = np.append(rng.uniform(-1, 1, 4000), [-50, 2])
    assert min_max_range(values) == (-50, 2)
    low, high = min_max_range(values, negative_slope=0.05)
    assert high == 2
    assert -50 < low < -1


def test_a_relu_that_never_fires_has_a_range_that_xnnpack_takes():
    x = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(3, 1, name="conv")
    model = keras.Model(x, keras.layers.Add()([x, keras.layers.ReLU()(conv(x))]))
    conv.set_weights([np.full((1, 1, 3, 3), -10, np.float32), np.zeros(3, np.float32)])
    sr = litert.Model(convert_quantized(calibrated(model), height=64, width=64)).upscale(LARGER[0])
    np.testing.assert_array_equal(sr, LARGER[0])


def test_ranges_leave_kernels_factors_that_they_take(lowered):
    """An untrained SPAN's tensors differ by powers of ten, and LiteRT could not prepare the file."""
    model, scheme = lowered("esa")
    tiny = dict.fromkeys(scheme.free(), (-1.0, 1.0)) | {scheme.leaders["B1.c5"]: (-1e-9, 1e-9)}
    ranges = complete_ranges(model, scheme, tiny)
    conv = model.get_layer("B1.c5")
    largest = step_size(ranges[graph.parents(conv)[0].name]) * np.abs(conv.get_weights()[0]).max() / 127
    assert largest / step_size((-1e-9, 1e-9)) > 256 > largest / step_size(ranges["B1.c5"])
    assert ranges["B2.c5"] == pytest.approx((-127 / 127.5, 128 / 127.5))  # no other is touched


def test_no_range_is_narrower_than_the_converter_leaves_it(lowered):
    model, scheme = lowered("esa")
    chosen = dict.fromkeys(scheme.free(), (-1.0, 1.0)) | {scheme.leaders["fea_conv"]: (0.0, 1e-9)}
    low, high = complete_ranges(model, scheme, chosen)["fea_conv"]
    assert low == 0
    assert high >= 1e-6
