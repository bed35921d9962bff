"""LapSRN as published for TensorFlow and OpenCV (github.com/fannymonori/TF-LapSRN): kin of LapSRN, not the paper's.

A level hands its residual image of one channel to the next, where the paper hands 64 feature maps; 4x4 convolutions
and pixel shuffle stand in for deconvolutions; a level's image goes through leaky ReLU. 337,152 parameters at x2 and
674,304 at x4. x3 is x4 made smaller, as in the paper.

The released weights were trained on LR images of OpenCV's resize, which does not antialias; on the papers' LR images of
Set5 they gain 0.8 dB over bicubic at x2, and 0.3 at x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import LeakyReLU, PixelShuffle, conv, lrelu
from keras_rfdn.networks.zoo.lapsrn import SLOPE, he_conv, levels, three_quarters
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma

DEPTH = 10


def lapsrn_tf(x, config):
    image = residual = luma(x)
    for index, _ in enumerate(levels(config.scale)):  # which the file numbers from 0, the first
        features = residual
        for i in range(DEPTH):
            features = lrelu(he_conv(features, 64, name=f"{i}_{index}"), SLOPE)
        residual = lrelu(doubled(features, name=f"residual_{index}"), SLOPE)
        image = keras.layers.Add(dtype="float32")([doubled(image, name=f"image_{index}"), residual])
        image = LeakyReLU(SLOPE, dtype="float32")(image)
    return with_luma(bicubic(x, config.scale), three_quarters(image) if config.scale == 3 else image)


def doubled(x, *, name):
    x = conv(x, 4, 4, name=name, use_bias=False, dtype="float32")
    return PixelShuffle(2, name=f"{name}.shuffle", dtype="float32")(x)
