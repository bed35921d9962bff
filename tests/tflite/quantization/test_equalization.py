import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.tflite.quantization import equalization
from keras_rfdn.tflite.quantization.equalization import ChannelGroups, equalize
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate, collect_statistics


def test_equalizing_keeps_the_function_and_lowers_the_noise(
    lowered, family, images, lr, round_tensors, assert_same_function
):
    before, scheme = lowered(family)
    after, _ = lowered(family)
    equalize(after, scheme, collect_statistics(after, scheme, images))
    assert_same_function(after, before)
    exact = np.clip(before(lr), 0, 255)

    def noise(model):
        ranges = calibrate(model, scheme, images)
        return np.mean((round_tensors(model, ranges, ranges, lr) - exact) ** 2)

    assert noise(after) < 0.8 * noise(before)


def test_the_statistics_afterwards_are_those_of_the_equalized_network(lowered, images):
    model, scheme = lowered("cca")
    found = equalize(model, scheme, collect_statistics(model, scheme, images))
    wanted = collect_statistics(model, scheme, images)
    for name in ("fea_conv", "B1.c5", "B2.cca.conv_du.0.re_lu", "c.0.leaky_re_lu"):
        for field in ("low", "high", "power", "sensitivity"):
            ours, theirs = getattr(found[name], field), getattr(wanted[name], field)
            np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=1e-4 * np.abs(theirs).max())


def test_channels_are_grouped_by_sums_and_fixed_by_gates(lowered):
    groups = ChannelGroups.of(lowered("esa")[0])
    assert (groups.outputs["LR_conv"] == groups.outputs["fea_conv"]).all()
    assert (groups.outputs["B1.esa.conv4"] == equalization.FIXED).all()
    assert (groups.outputs["upsampler.0"] == equalization.FIXED).all()
    assert len({*groups.outputs["B1.c5"]} & {*groups.outputs["B2.c5"]}) == 0
    assert not groups.one_sided & {*groups.outputs["B1.c5"]}  # nothing but a gate's product and convolutions after it
    assert {*groups.outputs["B1.c4"]} < groups.one_sided  # a LeakyReLU


def test_a_contrast_passes_a_positive_factor_on(lowered):
    groups = ChannelGroups.of(lowered("cca")[0])
    assert (groups.outputs["B1.cca.contrast"] == groups.outputs["B1.c5"]).all()
    assert {*groups.outputs["B1.c5"]} <= groups.one_sided
    # Squares have another factor, and no say in what their channels' factor is.
    assert not {"B1.cca.contrast.square", "B1.cca.contrast.variance"} & groups.outputs.keys()


def test_variances_of_any_size_are_made_1(images, assert_same_function):
    """Features are 1e9 before LKDN normalizes them: the steps of the roots would be below what the converter keeps."""
    x = keras.Input((None, None, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    y = keras.layers.LayerNormalization(name="norm")(y)
    model = keras.Model(x, keras.layers.Conv2D(3, 3, padding="same", name="last")(y))
    model.get_layer("first").set_weights([1e9 * w for w in model.get_layer("first").get_weights()])
    lowered = lower_to_int8_ops(fold_value_range(model, batch=None))
    equalization.normalize_variances(lowered, images)
    assert_same_function(lowered, model)
    variance = keras.Model(lowered.input, lowered.get_layer("norm.mean").output)
    largest = max(variance(image[None].astype(np.float32)).numpy().max() for image in images)
    assert largest == pytest.approx(1, rel=1e-5)
