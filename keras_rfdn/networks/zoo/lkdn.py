"""LKDN, large kernel distillation network (Xie et al. 2023, arXiv 2407.14340): BSRN with large kernel attention in
place of its two, and pixel normalization. 304/311/322K parameters at x2/x3/x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import blueprint_separable, conv, depthwise
from keras_rfdn.networks.zoo.bsrn import separable_distillation, separable_network

CHANNELS = 56


def lkdn(x, config):
    return separable_network(x, config.scale, CHANNELS, lkdb)


def lkdb(x, *, name):
    """Large kernel distillation block. Its convolutions had branches, skips among them, which the released weights hold
    merged.
    """

    def refine(y, *, name):
        return blueprint_separable(y, CHANNELS, name=name)

    y = large_kernel_attention(separable_distillation(x, refine, name=name), name=f"{name}.atten")
    y = conv(y, CHANNELS, 1, name=f"{name}.c6")
    # Pixel normalization: of the channels of each pixel (Layer normalization, as in transformers).
    y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}.pixel_norm")(y)
    return keras.layers.Add()([y, x])


def large_kernel_attention(x, *, name):
    """Large kernel attention (Guo et al. 2022, arXiv 2202.09741): a gate of 17x17 pixels by two 5x5 kernels, of which
    the second looks at every third pixel.
    """
    gate = conv(x, x.shape[-1], 1, name=f"{name}.pointwise")
    gate = depthwise(gate, 5, name=f"{name}.depthwise")
    gate = depthwise(gate, 5, name=f"{name}.depthwise_dilated", dilation_rate=3)
    return keras.layers.Multiply()([x, gate])
