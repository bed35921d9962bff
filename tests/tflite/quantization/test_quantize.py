import contextlib
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import equalization, fakequant, gptq, graph, quantize, ranges, rewrite
from keras_rfdn.upscaling import litert

FRAMES = [sample.dead_leaves(48, seed=seed) for seed in (1, 2)]
LR = sample.dead_leaves(40, seed=9)[None].astype(np.float32)
ESA = ModelConfig("rfdb", 8, 2, attention="esa", reduction=4, scale=2)
CONFIGS = {
    "esa": ESA,
    "cca": dataclasses.replace(ESA, attention="cca"),
    "imdn": dataclasses.replace(VARIANTS["imdn"], channels=8, num_blocks=2, reduction=4, scale=2),
    "mobile": dataclasses.replace(VARIANTS["rfdn-mobile"], channels=8, num_blocks=2, scale=2),
    "msrresnet": dataclasses.replace(VARIANTS["msrresnet"], channels=8, num_blocks=2, scale=2),
}


def network(config):
    """weighted's, without its Rescaling layers."""
    return rewrite.fold_value_range(weighted(config), config)


def weighted(config):
    """A network with random weights that are not as tame as fresh ones: channels differ tenfold."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = models.build(config)
    for layer in graph.convolutions(model):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * rng.lognormal(0.3, 0.8, bias.shape), bias + rng.normal(0, 0.05, bias.shape)])
    return model


@pytest.fixture(scope="module", params=CONFIGS)
def folded(request):
    return network(CONFIGS[request.param])


@pytest.fixture(scope="module")
def esa():
    return network(ESA)


def assert_equal(model, wanted):
    difference = np.abs(model(LR) - wanted(LR)).max()
    assert difference < 1e-4 * np.std(wanted(LR)), difference


def test_folding_residuals_is_exact_and_leaves_no_srb(folded):
    result = rewrite.fold_residuals(folded)
    assert_equal(result, folded)
    names = [layer.name for layer in result.layers if isinstance(layer, keras.layers.Add)]
    sums = [layer for layer in folded.layers if isinstance(layer, keras.layers.Add)]
    steps = sum(any(p.name.endswith("_r") for p in graph.parents(layer)) for layer in sums)
    assert len(names) == len(sums) - steps


def test_unrolling_the_skip_is_exact_up_to_the_border(esa):
    result = rewrite.unroll_skip(esa)
    assert_equal(result, esa)
    patches = keras.Model(result.input, result.get_layer(rewrite.PATCHES).output)(LR)[0].numpy()
    assert (patches[..., -1] == 255).all()
    # The middle tap is the pixel itself.
    assert (patches[..., 12:15] == LR[0]).all()


def test_filling_the_range_of_pixels_is_exact_up_to_the_border(esa):
    unrolled = rewrite.unroll_skip(esa)
    result = rewrite.fill_pixels(unrolled, ranges.observe(unrolled, FRAMES))
    assert_equal(result, esa)
    seen = ranges.observe(result, FRAMES)
    filled = seen[graph.parents(result.get_layer(rewrite.JOINED))[0].name]
    edge = 127.5 * (1 - 1 / (1 + rewrite.MARGIN))
    np.testing.assert_allclose(filled.low, edge, atol=0.1)
    np.testing.assert_allclose(filled.high, 255 - edge, atol=0.1)
    assert ranges.chosen(result, seen)[rewrite.JOINED] == fakequant.PIXELS


@pytest.mark.parametrize("name", ["esa", "cca"])
def test_storing_results_twice_is_exact_and_halves_their_rounding_error(name):
    model = rewrite.fold_residuals(network(CONFIGS[name]))
    seen = ranges.observe(model, FRAMES)
    bounds = ranges.chosen(model, seen)["B1.c5"]
    step = (bounds[1] - bounds[0]) / 255
    result = rewrite.store_twice(model, ["B1.c5"], {"B1.c5": step})
    assert_equal(result, model)
    assert result.get_layer("B1.c5").filters == 2 * model.get_layer("B1.c5").filters
    first, second = tf.split(keras.Model(result.input, result.get_layer("B1.c5").output)(LR), 2, axis=-1)
    np.testing.assert_allclose(first - second, step / 2, rtol=0.01)

    def error(network):
        rounded = fakequant.quantized(network, {"B1.c5": bounds}, {})
        return np.square(rounded(LR) - network(LR)).mean()

    assert error(result) < 0.35 * error(model)  # a quarter, were it not for what is clipped


@pytest.mark.parametrize("name", ["c.0", "B2.c1_r"])
def test_parting_a_leaky_relu_is_exact_and_leaves_one_rounding_of_two(esa, name):
    model = rewrite.fold_residuals(esa)
    (leaky,) = graph.children(model.get_layer(name))
    result = rewrite.part_leaky(model, [name])
    assert_equal(result, model)
    assert_equal(rewrite.part_leaky(model, ["B1.c1_r", "B1.c2_r", name]), model)  # one after the other too
    (relu,) = graph.children(result.get_layer(name))
    assert type(relu) is keras.layers.ReLU
    assert relu.output.shape[-1] == 2 * leaky.output.shape[-1]
    result = equalization.equalized(result, ranges.observe(result, FRAMES))

    def error(network, tensors):
        bounds = ranges.chosen(network, ranges.observe(network, FRAMES))
        rounded = fakequant.quantized(network, {tensor: bounds[tensor] for tensor in tensors}, {})
        frame = FRAMES[0][None].astype(np.float32)  # of those that ranges are of: no value is clipped
        return np.square(rounded(frame) - network(frame)).mean()

    before = equalization.equalized(model, ranges.observe(model, FRAMES))
    (relu,) = graph.children(result.get_layer(name))
    (leaky,) = graph.children(before.get_layer(name))
    assert error(result, [relu.name]) < 0.6 * error(before, [name, leaky.name])


def test_a_convolution_named_twice_is_parted_where_a_leaky_relu_follows():
    model = quantize.rewritten(network(ESA), exact_skip=True, twice=("B1.c5", "c.0"))
    unchanged = quantize.rewritten(network(ESA), exact_skip=True)
    assert_equal(model, unchanged)
    for name in ("B1.c5", "c.0"):
        assert model.get_layer(name).filters == 2 * unchanged.get_layer(name).filters
    assert type(graph.children(model.get_layer("c.0"))[0]) is keras.layers.ReLU


def test_what_can_not_be_stored_twice_is_refused(esa):
    with pytest.raises(ValueError, match=r"names of convolutions, got 'B7\.c5'; this network has .*B1\.c5"):
        rewrite.store_twice(esa, ["B7.c5"])
    with pytest.raises(ValueError, match=r"can't store B1\.c1_d twice: .* reads it"):
        rewrite.store_twice(esa, ["B1.c1_d"])
    with pytest.raises(ValueError, match=r"can't part the LeakyReLU behind B1\.c1_d: not only convolutions read it"):
        quantize.rewritten(esa, twice=("B1.c1_d",))
    with pytest.raises(ValueError, match=r"names of convolutions, got 'c\.7'"):
        quantize.rewritten(esa, twice=("c.7",))


def test_a_network_without_that_skip_is_refused(folded):
    has_skip = "LR_conv" in [layer.name for layer in folded.layers]
    with contextlib.nullcontext() if has_skip else pytest.raises(ValueError, match="--exact_skip is for networks that"):
        rewrite.unroll_skip(folded)


def test_equalizing_keeps_the_function_and_lowers_the_noise(folded):
    model = rewrite.fold_residuals(folded)
    seen = ranges.observe(model, FRAMES)
    result = equalization.equalized(model, seen)
    assert_equal(result, folded)

    def noise(model):
        quantized = fakequant.quantized(model, ranges.chosen(model, ranges.observe(model, FRAMES)), {})
        return np.mean((quantized(LR) - np.clip(folded(LR), 0, 255)) ** 2)

    assert noise(result) < 0.8 * noise(model)


def test_classes_are_tied_by_sums_and_fixed_by_gates(esa):
    classes = equalization.Classes.of(rewrite.fold_residuals(esa))
    assert (classes.given["LR_conv"] == classes.given["fea_conv"]).all()
    assert (classes.given["B1.esa.conv4"] == equalization.FIXED).all()
    assert (classes.given["upsampler.0"] == equalization.FIXED).all()
    assert len({*classes.given["B1.c5"]} & {*classes.given["B2.c5"]}) == 0
    assert not classes.one_sided & {*classes.given["B1.c5"]}  # nothing but a gate's product and convolutions after it
    assert {*classes.given["B1.c4"]} < classes.one_sided  # a LeakyReLU


def test_a_gain_is_what_noise_does_to_the_output(esa):
    name = "B2.c5"
    seen = ranges.observe(esa, [FRAMES[0]] * 8)[name]  # eight probes
    deviation = 0.01 * np.sqrt(seen.power.mean())
    rng = np.random.default_rng(0)

    def disturb(tensor, x):
        return x + rng.normal(0, deviation, x.shape) if tensor == name else x

    frame = FRAMES[0][None].astype(np.float32)
    change = [fakequant.forward(esa, frame, disturb, fakequant.plain) - esa(frame) for _ in range(8)]
    assert np.mean(np.square(change)) == pytest.approx(deviation**2 * seen.gain.sum(), rel=0.15)


def test_ranges_hold_all_that_was_seen_and_are_shared(esa):
    seen = ranges.observe(esa, FRAMES)
    chosen = ranges.chosen(esa, seen)
    assert chosen.keys() == seen.keys()
    assert chosen["lr"] == chosen["upsampler.1"] == chosen["upsampler.0"] == (0, 255)
    assert chosen["B1.esa.resize"] == chosen["B1.esa.conv3_"]
    assert chosen["fea_conv"] == pytest.approx((seen["fea_conv"].low.min(), seen["fea_conv"].high.max()))
    assert min(chosen["B1.esa.conv4"]) >= -6.24
    gates = [layer.name for layer in esa.layers if isinstance(layer, keras.layers.Activation)]
    assert {chosen[name] for name in gates} == {(0, 255 / 256)}


def test_an_image_that_is_added_to_the_output_keeps_its_range():
    """Whatever the calibration images hold: white must come out white."""
    model = network(CONFIGS["mobile"])
    dim = [frame // 2 for frame in FRAMES]
    chosen = ranges.chosen(model, ranges.observe(model, dim))
    assert chosen["lr"] == (0, 255)


def test_rounding_with_feedback_beats_rounding_to_nearest(esa):
    result, steps = gptq.rounded(esa, FRAMES)
    nearest = {layer.name: fakequant.kernel_steps(layer.get_weights()[0]) for layer in graph.convolutions(esa)}
    errors = [
        np.mean(np.square(fakequant.quantized(model, {}, steps)(LR) - esa(LR)))
        for model, steps in ((result, steps), (esa, nearest))
    ]
    assert errors[0] < 0.5 * errors[1]
    for layer in graph.convolutions(result):
        codes = layer.get_weights()[0] / steps[layer.name]
        np.testing.assert_allclose(codes, codes.round(), atol=1e-3)
        assert np.abs(codes).max() < 127.5


def test_moments_keep_a_small_variance_beside_a_large_mean(rng):
    """In float32, 200 squared has steps of a 256th, which sums over positions make larger than the variance."""
    image = keras.Input([None, None, 3])
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="c")(image))
    frames = [rng.integers(level, level + 2, (96, 96, 3), np.uint8) for level in (200, 201)]
    mean, covariance = gptq._moments(model, frames)["c"]
    pixels = np.concatenate(frames).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), atol=1e-5)


def test_rounding_cancels_in_the_mean(rng):
    """A channel of one input that never changes: all of the error can go into the bias."""
    covariance = np.diag([1.0, 0.0])
    kernel = np.array([[0.301], [0.444]])
    rounded = gptq._round(kernel, np.array([0.1], np.float32), covariance)
    np.testing.assert_allclose(rounded, [[0.3], [0.4]], atol=1e-6)
    # Inputs that move together: the second's rounding makes good for the first's.
    together = np.ones((2, 2))
    rounded = gptq._round(np.array([[0.34], [0.34]]), np.array([0.1], np.float32), together)
    assert rounded.sum() == pytest.approx(0.7)


def test_an_all_zero_channel_has_a_step_its_bias_can_live_with():
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[..., 0] = 1.27
    np.testing.assert_allclose(fakequant.kernel_steps(kernel), [0.01, 1e-6], rtol=1e-5)
    assert (fakequant.kernel_steps(0 * kernel) > 0).all()


@pytest.mark.parametrize("name", ["cca", "imdn", "mobile", "msrresnet"])  # esa: tests/tflite/test_convert.py
def test_every_family_becomes_fully_integer_and_is_what_was_simulated(name):
    config = CONFIGS[name]
    content = converter.convert(weighted(config), config, "int8", height=40, width=40, frames=FRAMES)
    assert description.describe(content).float_operators == {}
    simulated = quantize.quantize(network(config), FRAMES).network()(LR)[0].numpy()
    difference = np.abs(litert.Model(content).upscale(LR[0].astype(np.uint8)) - simulated)
    # Kernels round a few halves otherwise, which later layers carry on.
    assert np.sqrt(np.mean(difference**2)) < 0.04 * np.std(simulated)
    assert np.std(simulated) > 5
