"""SRCNN (Dong et al. 2014, 2016, arXiv 1501.00092), Figure 2: three convolutions of bicubic luma, 9-5-5.

57,281 parameters, 57,184 of them weights, and 52.7 G Mult-Adds. The RFDN paper's Table 3 prints 8K, which is the 9-1-5
network (8,129), beside the PSNR of this one. Borders are repeated before each convolution, as in the authors' demo
(imfilter's "replicate"); with zeros instead the released weights lose 3 to 9 dB on Set5.
"""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import conv, relu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma


def srcnn(x, config):
    colours = bicubic(x, config.scale)
    x = relu(padded_conv(luma(colours), 64, 9, name="conv1"))  # patch extraction
    x = relu(padded_conv(x, 32, 5, name="conv2"))  # non-linear mapping
    return with_luma(colours, padded_conv(x, 1, 5, name="conv3", dtype="float32"))  # reconstruction


def padded_conv(x, filters, kernel_size, *, name, **options):
    x = ReplicationPadding(kernel_size // 2, name=f"{name}.padding")(x)
    return conv(x, filters, kernel_size, name=name, padding="valid", **options)


@keras.saving.register_keras_serializable("keras_rfdn")
class ReplicationPadding(keras.layers.Layer):
    """[n, h, w, c] -> [n, h + 2 * margin, w + 2 * margin, c], the outermost pixels repeated."""

    def __init__(self, margin, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, inputs):
        for step in self.mirrors():
            inputs = tf.pad(inputs, [[0, 0], [step, step], [step, step], [0, 0]], "SYMMETRIC")
        return inputs

    def mirrors(self):
        """Margins of the mirrors, one after the other, that repeat the border: TensorFlow knows mirrors alone. One of a
        single pixel repeats it, then there are two that are alike, four, and so on.
        """
        steps = []
        while sum(steps) < self.margin:
            steps.append(min(1 + sum(steps), self.margin - sum(steps)))
        return steps

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
