import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig, variant

TINY = ModelConfig("rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=2)

# The paper's Table 3 (534/541/550K, 626/633/643K) and AIM 2020's 0.433M; test_variants.py has all rows.
PARAMETERS = {
    "rfdn": {2: 534_036, 3: 540_531, 4: 549_624},
    "rfdn-l": {2: 625_962, 3: 632_997, 4: 642_846},
    "e-rfdn": {4: 433_448},
}


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name in PARAMETERS for scale in PARAMETERS[name]])
def test_parameters(name, scale):
    assert models.build(variant(name, scale)).count_params() == PARAMETERS[name][scale]


def test_names_are_those_of_the_released_checkpoint():
    released = {"fea_conv", "c.0", "LR_conv", "upsampler.0"}
    esa = [f"esa.{name}" for name in ("conv1", "conv_f", "conv_max", "conv2", "conv3", "conv3_", "conv4")]
    for block in ("B1", "B2", "B3", "B4"):
        released |= {f"{block}.{name}" for name in ("c1_d", "c1_r", "c2_d", "c2_r", "c3_d", "c3_r", "c4", "c5", *esa)}
    model = models.build(variant("e-rfdn", 4))
    assert {layer.name for layer in model.layers if layer.weights} == released


@pytest.fixture(scope="module")
def tiny():
    return models.build(TINY)


@pytest.mark.parametrize(("height", "width"), [(15, 15), (17, 32), (40, 23)])
def test_output_is_scale_times_the_input(tiny, height, width):
    assert tiny(np.zeros((1, height, width, 3), np.float32)).shape == (1, 2 * height, 2 * width, 3)


@pytest.mark.parametrize("attention", ["esa", "cca"])
def test_images_of_a_batch_do_not_mix(rng, attention):
    model = models.build(dataclasses.replace(TINY, attention=attention))
    lr = rng.uniform(0, 255, (3, 16, 21, 3)).astype(np.float32)
    np.testing.assert_allclose(model(lr), np.concatenate([model(lr[i : i + 1]) for i in range(3)]), atol=1e-3)


def test_fixed_sizes_reach_the_input_and_output():
    model = models.build(TINY, height=20, width=16, batch=1)
    assert (model.input_shape, model.output_shape) == ((1, 20, 16, 3), (1, 40, 32, 3))


def test_the_last_bias_is_a_colour_in_grey_levels(tiny):
    tiny = keras.models.clone_model(tiny)
    tiny.set_weights([np.zeros(w.shape) for w in tiny.get_weights()])
    # Bias k * 3 + c is the colour c of the pixel k of every 2x2 square, 0..1 inside and 0..255 outside.
    tiny.get_layer("upsampler.0").bias.assign(np.arange(12) / 255)
    sr = tiny(np.full((1, 15, 15, 3), 77, np.float32))[0]
    square = [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    np.testing.assert_allclose(sr, np.tile(square, (15, 15, 1)), atol=1e-5)


def test_the_long_skip_goes_round_all_blocks(tiny, rng, scipy_conv):
    tiny = keras.models.clone_model(tiny)
    tiny.set_weights([rng.normal(0, 0.3, w.shape) for w in tiny.get_weights()])
    tiny.get_layer("LR_conv").set_weights([np.zeros((3, 3, 8, 8)), np.zeros(8)])
    lr = rng.uniform(0, 255, (16, 17, 3)).astype(np.float32)
    coarse = scipy_conv(lr / 255, *tiny.get_layer("fea_conv").get_weights())
    channels = 255 * scipy_conv(coarse, *tiny.get_layer("upsampler.0").get_weights())
    sr = tiny(lr[None])[0].numpy()
    for k in range(4):
        np.testing.assert_allclose(sr[k // 2 :: 2, k % 2 :: 2], channels[..., 3 * k : 3 * k + 3], atol=1e-2)


@pytest.mark.parametrize(("precision", "compute", "bound"), [("float16", "float16", 0.5), ("bfloat16", "bfloat16", 4)])
def test_mixed_precision(tiny, rng, precision, compute, bound):
    model = models.build(TINY, precision=precision)
    assert keras.mixed_precision.global_policy().name == "float32"
    convs = {layer.name: layer for layer in model.layers if layer.weights}
    assert convs.pop("upsampler.0").compute_dtype == "float32"
    assert {layer.compute_dtype for layer in convs.values()} == {compute}
    assert {w.dtype.name for w in model.weights} == {"float32"}
    model.set_weights(tiny.get_weights())
    lr = rng.uniform(0, 255, (1, 16, 18, 3)).astype(np.float32)
    sr = model(lr)
    assert sr.dtype == "float32"
    difference = abs(sr - tiny(lr)).numpy().max()
    assert 0 < difference < bound  # grey levels; 8 bits of mantissa in bfloat16, 11 in float16


def test_the_callers_policy_comes_back():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        models.build(TINY)
        with pytest.raises(ValueError, match="attention needs a reduction of 1 to 8"):
            models.build(dataclasses.replace(TINY, reduction=16))
        assert keras.mixed_precision.global_policy().name == "mixed_float16"
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("field", ["channels", "num_blocks"])
def test_no_network_without_width_or_depth(field):
    with pytest.raises(ValueError, match=f"got ModelConfig.*{field}=0"):
        models.build(dataclasses.replace(TINY, **{field: 0}))


def test_one_block_is_enough():
    assert models.build(dataclasses.replace(TINY, num_blocks=1)).get_layer("c.0").input_shape == (None, None, None, 8)
