"""MemNet (Tai et al. 2017, arXiv 1708.02209): memory blocks that keep what all blocks before them found."""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, conv_layer, relu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_luma

CHANNELS, BLOCKS, RECURSIONS = 64, 6, 6
EPSILON = 1e-5  # of batch normalization: Caffe's


def memnet(x, config):
    """Persistent memory network M6R6 with multi-supervision (Figures 1 and 3): each of six memory blocks predicts the
    luma, by one reconstruction that all share, and learned weights add the predictions up.

    Only the ensemble is supervised when it is trained here. Layers carry the names of the authors' Caffe model
    (github.com/tyshiwo/MemNet); convolutions that it shares are without the number of the recursion.
    """
    colours = bicubic(x, config.scale)
    low = luma(colours)
    reconstruction = conv_layer(1, 3, name="conv_end", kernel_initializer="he_normal")
    memories = [conv(_activated(low, "bn_conv1"), CHANNELS, 3, name="conv1", kernel_initializer="he_normal")]
    weighted = []
    for i in range(1, BLOCKS + 1):
        memories.append(_memory_block(memories, number=f"{i:02}"))
        prediction = keras.layers.Add()([low, reconstruction(_activated(memories[-1], f"bn_conv_end_{i:02}"))])
        weighted.append(_weighted(prediction, name=f"weight_output_end_{i:02}"))
    return with_luma(colours, keras.layers.Add(dtype="float32")(weighted))


def _memory_block(memories, *, number):
    """Memory block (section 3.2): what a residual unit, applied again and again, gives each time is the short-term
    memory, the outputs of all blocks before the long-term memory; the gate unit is a 1x1 convolution of both.
    """
    x, short_term = memories[-1], []
    unit = {part: conv_layer(CHANNELS, 3, name=f"conv{number}_{part}", kernel_initializer="he_normal") for part in "ab"}
    for recursion in range(1, RECURSIONS + 1):
        y = x
        for part, convolution in unit.items():
            y = convolution(_activated(y, f"bn_conv{number}_{recursion:02}_{part}"))
        x = keras.layers.Add()([x, y])
        short_term.append(x)
    gate = _activated(keras.layers.Concatenate()([*memories, *short_term]), f"bn_conv_transition_{number}")
    return conv(gate, CHANNELS, 1, name=f"conv_transition_{number}", kernel_initializer="he_normal")


def _activated(x, name):
    """Batch normalization, of its own at each recursion, and ReLU, before a convolution."""
    return relu(keras.layers.BatchNormalization(epsilon=EPSILON, name=name)(x))


def _weighted(prediction, *, name):
    """A prediction times its learned weight."""
    options = {"use_bias": False, "kernel_initializer": keras.initializers.Constant(1 / BLOCKS), "dtype": "float32"}
    return conv(prediction, 1, 1, name=name, **options)
