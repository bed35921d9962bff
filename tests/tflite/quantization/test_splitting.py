import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.tflite.quantization import graph, splitting
from keras_rfdn.tflite.quantization.equalization import equalize
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.merging import fold_residuals
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate, collect_statistics


@pytest.mark.parametrize("name", ["esa", pytest.param("cca", marks=pytest.mark.slow)])
def test_splitting_channels_is_exact_and_halves_their_rounding_error(
    name, network, lowered, images, lr, round_tensors, assert_same_function
):
    whole, scheme = lowered(name)
    bounds = calibrate(whole, scheme, images)["B1.c5"]
    size = (bounds[1] - bounds[0]) / 255
    split = lower_to_int8_ops(splitting.split_channels(fold_residuals(network(name)), ["B1.c5"]))
    splitting.shift_copies(split, ["B1.c5"], {"B1.c5": bounds})
    assert_same_function(split, whole)
    assert split.get_layer("B1.c5").filters == 2 * whole.get_layer("B1.c5").filters
    first, second = tf.split(keras.Model(split.input, split.get_layer("B1.c5").output)(lr), 2, axis=-1)
    np.testing.assert_allclose(first - second, size / 2, rtol=0.01)

    def error(model):
        return np.square(round_tensors(model, {"B1.c5": bounds}, ["B1.c5"], lr) - model(lr)).mean()

    assert error(split) < 0.35 * error(whole)  # a quarter, were it not for what is clipped


@pytest.mark.parametrize("name", ["c.0", pytest.param("B2.c1_r", marks=pytest.mark.slow)])
def test_a_crelu_is_exact_and_leaves_one_rounding_of_two(name, network, images, round_tensors, assert_same_function):
    model = fold_residuals(network("esa"))
    (leaky,) = graph.children(model.get_layer(name))
    result = splitting.leaky_relu_to_crelu(model, [name])
    assert_same_function(result, model)
    several = splitting.leaky_relu_to_crelu(model, ["B1.c1_r", "B1.c2_r", name])  # one after the other too
    assert_same_function(several, model)
    (relu,) = graph.children(result.get_layer(name))
    assert type(relu) is keras.layers.ReLU
    assert relu.output.shape[-1] == 2 * leaky.output.shape[-1]

    def error(model):
        model = lower_to_int8_ops(model)
        scheme = Scheme.of(model)
        equalize(model, scheme, collect_statistics(model, scheme, images))
        (activation,) = graph.children(model.get_layer(name))
        tensors = [tensor for tensor in (name, activation.name) if tensor in scheme.leaders]
        frame = images[0][None].astype(np.float32)  # of those that ranges are of: no value is clipped
        ranges = calibrate(model, scheme, images)
        return np.square(round_tensors(model, ranges, tensors, frame) - model(frame)).mean()

    assert error(result) < 0.6 * error(model)


def test_what_cannot_be_split_is_refused(network):
    esa = fold_residuals(network("esa"))
    with pytest.raises(ValueError, match=r"no convolution is called 'B7\.c5'; this network has .*B1\.c5"):
        splitting.split_channels(esa, ["B7.c5"])
    with pytest.raises(ValueError, match=r"channels of B1\.c1_d cannot be split: .* reads them"):
        splitting.split_channels(esa, ["B1.c1_d"])
    with pytest.raises(ValueError, match=r"LeakyReLU behind B1\.c1_d cannot become a CReLU: not only convolutions"):
        splitting.leaky_relu_to_crelu(esa, ["B1.c1_d"])
    with pytest.raises(ValueError, match=r"no convolution is called 'c\.7'"):
        splitting.followed_by_leaky_relu(esa, ["c.7"])
