import numpy as np

from keras_rfdn.tflite.quantization import equalization
from keras_rfdn.tflite.quantization.equalization import ChannelGroups, equalize
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
