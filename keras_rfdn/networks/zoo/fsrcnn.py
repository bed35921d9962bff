"""FSRCNN (Dong et al. 2016, arXiv 1608.00367), Figure 2: FSRCNN(56, 12, 4) enlarges luma last, by a deconvolution.

12,809 parameters: the paper's 12,464 weights, 173 biases, and 172 slopes of PReLU. 6.0 / 5.0 / 4.6 G Mult-Adds at
x2 / x3 / x4.

The released weights are no authors', and were trained on LR images of OpenCV's resize, which does not antialias: on the
papers' LR images they gain 1.2 dB over bicubic at x2, and nothing at x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, prelu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma


def fsrcnn(x, config):
    y = prelu_conv(luma(x), 56, 5, index=1)  # feature extraction
    y = prelu_conv(y, 12, 1, index=2)  # shrinking
    for i in range(3, 7):
        y = prelu_conv(y, 12, 3, index=i)  # mapping
    y = prelu_conv(y, 56, 1, index=7)  # expanding
    y = keras.layers.Conv2DTranspose(
        1, 9, config.scale, padding="same", name="deconv", dtype="float32",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),  # section 4.2 of the paper
    )(y)  # fmt: skip
    return with_luma(bicubic(x, config.scale), y)


def prelu_conv(x, filters, kernel_size, *, index):
    x = conv(x, filters, kernel_size, name=f"conv{index}", kernel_initializer="he_normal")
    return prelu(x, name=f"prelu{index}")
