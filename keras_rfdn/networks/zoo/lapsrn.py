"""LapSRN (Lai et al. 2017, arXiv 1704.03915), Figure 1: a Laplacian pyramid of luma, doubled level by level.

As the authors' released code has it: ten convolutions a level, features doubled by a 3x3 deconvolution, the image by
one of 4x4 that begins as bilinear. 407,441 parameters at x2 and 814,242 at x4: its weights alone, 812,768, are the 812K
of the authors' later paper and the 813K of CARN's. The RFDN paper prints 251K and 502K beside the PSNR of this network;
those are of five convolutions a level and 4x4 deconvolutions of features (251,473 and 502,306). Mult-Adds at x4 are
CARN's 149.4 G; its 29.9 G at x2 are the first level of x4, for an output of 640x360, and so a quarter of the truth. x3
is x4 made smaller, as in the paper.
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images import bicubic as kernels
from keras_rfdn.networks.layers import conv, lrelu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma

DEPTH = 10
SLOPE = 0.2


def lapsrn(x, config):
    image = luma(x)
    features = lrelu(he_conv(image, 64, name="input_conv"), SLOPE)
    for level in levels(config.scale):
        for i in range(1, DEPTH + 1):
            features = lrelu(he_conv(features, 64, name=f"level{level}_conv{i}"), SLOPE)
        features = lrelu(doubled(features, 64, 3, "he_normal", name=f"level{level}_upconv"), SLOPE)
        residual = he_conv(features, 1, name=f"level{level}_residual_conv", dtype="float32")
        image = doubled(image, 1, 4, bilinear(), name=f"level{level}_img_up", use_bias=False, dtype="float32")
        image = keras.layers.Add(dtype="float32", name=f"level{level}_output")([image, residual])
    return with_luma(bicubic(x, config.scale), three_quarters(image) if config.scale == 3 else image)


def levels(scale):
    """Numbers of the pyramid's levels, as the authors count them: the last is 1."""
    return (1,) if scale == 2 else (2, 1)


def he_conv(x, filters, *, name, **options):
    return conv(x, filters, 3, name=name, kernel_initializer="he_normal", **options)


def doubled(x, filters, kernel_size, initializer, *, name, **options):
    """Deconvolution of stride 2; with TensorFlow's padding its output is cropped as the authors crop it."""
    return keras.layers.Conv2DTranspose(
        filters, kernel_size, 2, padding="same", kernel_initializer=initializer, name=name, **options
    )(x)


def bilinear():
    """Initializer of a 4x4 deconvolution of stride 2 that interpolates."""
    taps = np.array([1, 3, 3, 1]) / 4
    return keras.initializers.Constant(np.outer(taps, taps).ravel().tolist())


def three_quarters(x):
    """[n, 4h, 4w, 1] -> [n, 3h, 3w, 1]."""
    return ThreeQuarters(name="three_quarters", dtype="float32")(x)


@keras.saving.register_keras_serializable("keras_rfdn")
class ThreeQuarters(keras.layers.Layer):
    """[n, 4h, 4w, 1] -> [n, 3h, 3w, 1] by MATLAB's imresize, antialiased, in float, unclipped. No weights."""

    PADDING = 2  # three pixels depend on the four in whose place they are, and on two either side; borders are mirrored

    def call(self, inputs):
        margins = [[0, 0], [self.PADDING, self.PADDING], [self.PADDING, self.PADDING], [0, 0]]
        kernel = tf.constant(self.kernel(), inputs.dtype)
        return tf.nn.depth_to_space(tf.nn.conv2d(tf.pad(inputs, margins, "SYMMETRIC"), kernel, 4, "VALID"), 3)

    def kernel(self):
        """Convolution [8, 8, 1, 9] of stride 4 to the pixels of a block, as tf.nn.depth_to_space orders them."""
        taps = kernels.block_kernel(4, 3)
        return np.einsum("ia,jb->ijab", taps, taps).reshape(8, 8, 1, 9)
