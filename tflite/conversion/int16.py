"""Rewrite for int16 activations: layers of operations that TFLite has in int16x8, with the same float output."""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import Contrast, PixelShuffle


def for_int16(model):
    """A copy of model, for one image at a time (batch 1), of operations that TFLite has in int16.

    PixelShuffle becomes reshape, transpose, reshape, which is equal to the bit; the standard deviation in CCA is made
    of a product and a reciprocal root, which is equal to float rounding. Raises UserError for another batch.
    """
    if model.input_shape[0] != 1:
        raise UserError(f"needs a model of batch 1, got input {model.input_shape}; build it with batch=1")

    def rewrite(layer):
        return INT16.get(type(layer), type(layer)).from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=rewrite)
    result.set_weights(model.get_weights())
    return result


class TransposedShuffle(PixelShuffle):
    """Pixel shuffle of one image without DEPTH_TO_SPACE, by tensors of rank 4.

    Of channel (i * scale + j) * c + k, i goes to the row, j to the column.
    """

    def call(self, inputs):
        scale = self.scale
        # Height and width, each a number where it is fixed, else a scalar tensor.
        height, width = (size or tf.shape(inputs)[axis] for axis, size in zip((1, 2), inputs.shape[1:3], strict=True))
        inner = inputs.shape[-1] // scale  # j and k, which stay together
        x = tf.reshape(inputs, [height, width, scale, inner])
        x = tf.transpose(x, [0, 2, 1, 3])  # [h, i, w, j and k]
        return tf.reshape(x, [1, height * scale, width * scale, inner // scale])


class ProductContrast(Contrast):
    """Contrast (mean plus standard deviation) without SQUARED_DIFFERENCE and SQRT."""

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(centred * centred, [1, 2], keepdims=True) + self.EPSILON
        return tf.cast(mean + variance * tf.math.rsqrt(variance), self.compute_dtype)


INT16 = {PixelShuffle: TransposedShuffle, Contrast: ProductContrast}
