"""Exact graph rewrites before conversion, each a function from model to model with the same float output."""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn import models
from keras_rfdn.layers import Contrast, PixelShuffle


def fold_value_range(model, config, *, height=None, width=None, batch=1):
    """model without its two Rescaling layers: 1/255 goes into the first convolution, 255 into the last.

    model: from models.build(config). height, width, batch: dimensions of the result's input. The result takes and
    gives the same float32 RGB 0..255; a TFLite file made of it has no multiplications at its ends, and in int8 no
    requantization there.
    """
    lr = keras.Input((height, width, 3), batch, name="lr", dtype="float32")
    folded = keras.Model(lr, models.network(lr, config), name=model.name)
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    first, *_, last = (layer for layer in folded.layers if layer.weights)
    kernel, bias = first.get_weights()
    first.set_weights([kernel / 255, bias])
    last.set_weights([weight * 255 for weight in last.get_weights()])
    return folded


def for_int16(model):
    """model, for one image at a time (batch 1), of operations that TFLite has in int16: the same function of it.

    PixelShuffle becomes reshape, transpose, reshape, which is equal to the bit; the standard deviation in CCA is made
    of a product and a reciprocal root, which is equal to float rounding. Raises ValueError for another batch.
    """
    if model.input_shape[0] != 1:
        raise ValueError(f"needs a model of batch 1, got input {model.input_shape}; build it with batch=1")

    def rewritten(layer):
        return INT16.get(type(layer), type(layer)).from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=rewritten)
    result.set_weights(model.get_weights())
    return result


class TransposedShuffle(PixelShuffle):
    """PixelShuffle of one image without DEPTH_TO_SPACE, by tensors of rank 4.

    Of channel (i * scale + j) * c + k, i goes to the row, j to the column.
    """

    def call(self, inputs):
        scale, (height, width) = self.scale, _size(inputs)
        inner = inputs.shape[-1] // scale  # j and k, which stay together
        x = tf.reshape(inputs, [height, width, scale, inner])
        x = tf.transpose(x, [0, 2, 1, 3])  # [h, i, w, j and k]
        return tf.reshape(x, [1, height * scale, width * scale, inner // scale])


class ProductContrast(Contrast):
    """Contrast without SQUARED_DIFFERENCE and SQRT."""

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(centred * centred, [1, 2], keepdims=True) + self.EPSILON
        return tf.cast(mean + variance * tf.math.rsqrt(variance), self.compute_dtype)


INT16 = {PixelShuffle: TransposedShuffle, Contrast: ProductContrast}


def _size(x):
    """Height and width of [n, h, w, c], each a number where it is fixed, else a scalar tensor."""
    return [fixed or tf.shape(x)[axis] for axis, fixed in zip((1, 2), x.shape[1:3], strict=True)]
