import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.tflite.quantization import graph, im2col_skip
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import PIXEL_RANGE, Scheme
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate, collect_statistics


def test_the_skip_by_im2col_is_exact_up_to_the_border(network, lr, assert_same_function):
    model = network("esa")
    assert im2col_skip.has_long_skip(model)
    result = im2col_skip.im2col_skip(model)
    assert_same_function(result, model)
    patches = keras.Model(result.input, result.get_layer(im2col_skip.IM2COL).output)(lr)[0].numpy()
    assert (patches[..., -1] == 255).all()
    # The middle tap is the pixel itself.
    assert (patches[..., 12:15] == lr[0]).all()


def test_rescaling_to_the_range_of_pixels_is_exact_up_to_the_border(network, images, assert_same_function):
    model = network("esa")
    result = lower_to_int8_ops(im2col_skip.im2col_skip(model))
    scheme = Scheme.of(result)
    im2col_skip.rescale_to_uint8_range(result, collect_statistics(result, scheme, images))
    assert_same_function(result, model)
    deep = graph.parents(result.get_layer(im2col_skip.CONCAT))[0].name
    filled = collect_statistics(result, scheme, images)[deep]
    edge = 127.5 * (1 - 1 / (1 + im2col_skip.MARGIN))
    np.testing.assert_allclose(filled.low, edge, atol=0.1)
    np.testing.assert_allclose(filled.high, 255 - edge, atol=0.1)
    ranges = calibrate(result, scheme, images)
    assert ranges[deep] == ranges[im2col_skip.IM2COL] == ranges[im2col_skip.CONCAT] == PIXEL_RANGE


def test_a_network_without_that_skip_is_refused(network, family):
    model = network(family)
    assert im2col_skip.has_long_skip(model) == ("LR_conv" in [layer.name for layer in model.layers])
    if not im2col_skip.has_long_skip(model):
        with pytest.raises(ValueError, match="has no long skip"):
            im2col_skip.im2col_skip(model)
