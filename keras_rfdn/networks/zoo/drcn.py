"""DRCN (Kim et al. 2016, arXiv 1511.04491): one convolution, applied 16 times, and a prediction after each."""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import conv, conv_layer, relu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma

CHANNELS, RECURSIONS = 256, 16


def drcn(x, config):
    """Deeply-recursive convolutional network (section 3 and Figure 3): the embedding of the bicubic image's luma, the
    recursive inference layer, and the reconstruction, shared by all recursions, whose predictions are added up by
    learned weights. Its recursive supervision, a matter of training, is not here.
    """
    colours = bicubic(x, config.scale)
    low = luma(colours)
    x = relu(conv(low, CHANNELS, 3, name="embedding.0", kernel_initializer="he_normal"))
    x = relu(conv(x, CHANNELS, 3, name="embedding.1", kernel_initializer="he_normal"))
    inference = conv_layer(CHANNELS, 3, name="inference", kernel_initializer=DeltaInitializer())
    reconstruction = [
        conv_layer(filters, 3, name=f"reconstruction.{i}", kernel_initializer="he_normal")
        for i, filters in enumerate((CHANNELS, 1))
    ]
    details = []
    for _ in range(RECURSIONS):
        x = relu(inference(x))
        details.append(reconstruction[1](relu(reconstruction[0](x))))
    predictions = keras.layers.Add()([keras.layers.Concatenate()(details), low])
    equal = keras.initializers.Constant(1 / RECURSIONS)
    weighted = conv(predictions, 1, 1, name="ensemble", use_bias=False, kernel_initializer=equal, dtype="float32")
    return with_luma(colours, weighted)


@keras.saving.register_keras_serializable("keras_rfdn")
class DeltaInitializer(keras.initializers.Initializer):
    """Initializer of a convolution that passes its input on (section 3.2), as many channels out as in."""

    def __call__(self, shape, dtype=None, **kwargs):
        height, width, channels, _ = shape
        kernel = tf.eye(channels, dtype=dtype)[None, None]
        above, left = height // 2, width // 2
        return tf.pad(kernel, [[above, height - above - 1], [left, width - left - 1], [0, 0], [0, 0]])


# Keras looks initializers up without the package's name when it loads a whole model from HDF5.
keras.utils.get_custom_objects()["DeltaInitializer"] = DeltaInitializer
