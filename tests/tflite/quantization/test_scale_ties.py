import numpy as np
import pytest
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.tflite.conversion.converter import convert_quantized
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.equalization import FIXED, ChannelGroups, equalize, noise_by_tensor
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.scale_ties import free_channels, part_activations
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.simulator import simulate
from keras_rfdn.tflite.quantization.tensor_statistics import collect_statistics
from keras_rfdn.upscaling import litert


def network(middle, sizes=1.0):
    """A network at x1 whose middle is a function of a tensor of 8 channels, made of the image at these sizes."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same", name="first")(image)
    model = keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(middle(x)))
    for name, factors in (("first", np.broadcast_to(sizes, 8) / 100), ("last", None)):
        kernel, bias = model.get_layer(name).get_weights()
        kernel = kernel * factors if factors is not None else kernel / np.broadcast_to(sizes, 8)[:, None]
        model.get_layer(name).set_weights([kernel, bias + 128 * (name == "last")])
    return fold_value_range(model, batch=None)


def swish(x):
    return layers.Activation("swish", name="swish")(x)


def gelu(x):
    return layers.Activation("gelu", name="gelu")(x)


def gelu_of_a_sum(x):
    return gelu(layers.Add(name="sum")([x, layers.Conv2D(8, 1, name="second")(x)]))


def product(x):
    gate = layers.Conv2D(8, 1, name="gate")(gelu(layers.Conv2D(8, 1, name="before")(x)))
    return layers.Multiply(name="product")([x, gate])


def equalized(model, images):
    """(lowered network with its channels equalized, {tensor: noise})."""
    scheme = Scheme.of(model)
    return model, noise_by_tensor(scheme, equalize(model, scheme, collect_statistics(model, scheme, images)))


@pytest.mark.parametrize("middle", [swish, gelu_of_a_sum])
def test_an_activation_fixes_the_scale_of_a_copy_alone(middle, images, assert_same_function):
    model = network(middle, sizes=np.logspace(0, 2, 8))
    tied = lower_to_int8_ops(model)
    free = free_channels(tied)
    assert_same_function(free, model)
    assert (ChannelGroups.of(tied).outputs["first"] == FIXED).all()
    assert not (ChannelGroups.of(free).outputs["first"] == FIXED).any()
    tied_noise, free_noise = (sum(equalized(lowered, images)[1].values()) for lowered in (tied, free))
    assert free_noise < 0.5 * tied_noise


def test_an_activation_of_a_convolution_of_its_own_needs_no_copy():
    lowered = lower_to_int8_ops(network(gelu))
    assert [layer.name for layer in free_channels(lowered).layers] == [layer.name for layer in lowered.layers]


def test_a_product_has_factors_of_its_own_where_a_convolution_makes_an_operand(images, assert_same_function):
    model = network(product, sizes=np.logspace(0, 2, 8))
    lowered = free_channels(lower_to_int8_ops(model))
    groups = ChannelGroups.of(lowered)
    assert (groups.outputs["product"] == groups.outputs["gate"]).all()
    assert (groups.divisors["gate"] == groups.outputs["first"]).all()
    assert not (groups.outputs["product"] == FIXED).any()
    scheme = Scheme.of(lowered)
    found = equalize(lowered, scheme, collect_statistics(lowered, scheme, images))
    assert_same_function(lowered, model)
    wanted = collect_statistics(lowered, scheme, images)
    for name in ("first", "gate", "product"):
        np.testing.assert_allclose(found[name].high, wanted[name].high, rtol=0.02, atol=1e-3)


def test_large_and_small_channels_of_a_gelu_are_parted(images, assert_same_function):
    sizes = np.where(np.arange(8) % 4 == 1, 30.0, 0.1)
    model = network(gelu, sizes)
    lowered, noise = equalized(free_channels(lower_to_int8_ops(model)), images)
    scheme = Scheme.of(lowered)
    parted = part_activations(lowered, scheme, collect_statistics(lowered, scheme, images))
    assert_same_function(parted, model)
    assert [parted.get_layer(f"first.part{i}").filters for i in range(2)] == [2, 6]
    assert {type(parent) for parent in graph.parents(parted.get_layer("gelu"))} == {layers.DepthwiseConv2D}
    assert sum(equalized(parted, images)[1].values()) < 0.2 * sum(noise.values())
    quantized = quantize(model, images)
    assert "first.part1" in quantized.absmax
    content, lr = convert_quantized(quantized, height=24, width=24), np.stack([image[:24, :24] for image in images[:2]])
    sr = np.stack([litert.Model(content).upscale(image) for image in lr])
    assert np.mean(sr == simulate(quantized)(lr.astype(np.float32))) > 0.999


def test_channels_of_one_size_are_not_parted(images):
    lowered, _ = equalized(free_channels(lower_to_int8_ops(network(gelu))), images)
    scheme = Scheme.of(lowered)
    assert part_activations(lowered, scheme, collect_statistics(lowered, scheme, images)) is None
