"""VDSR (Kim et al. 2016, arXiv 1511.04587), Figure 1: twenty convolutions learn what bicubic luma lacks.

665,921 parameters and 612.6 G Mult-Adds. One set of weights serves x2, x3 and x4.
"""

from keras_rfdn.networks.layers import conv, relu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_residual

DEPTH = 20


def vdsr(x, config):
    colours = bicubic(x, config.scale)
    x = luma(colours)
    for i in range(1, DEPTH):
        # He's initializer, as the paper: with a smaller one nothing is left of the image after twenty convolutions.
        x = relu(conv(x, 64, 3, name=f"conv{i}", kernel_initializer="he_normal"))
    return with_residual(colours, conv(x, 1, 3, name=f"conv{DEPTH}", kernel_initializer="he_normal", dtype="float32"))
