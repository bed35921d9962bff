"""DRRN (Tai et al. 2017, "Image Super-Resolution via Deep Recursive Residual Network"): one residual unit, 25 times."""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, conv_layer, relu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_residual

CHANNELS, UNITS = 128, 25
OPTIONS = {"use_bias": False, "kernel_initializer": "he_normal"}


def drrn(x, config):
    """Deep recursive residual network B1U25 (section 3.2 and Figure 3): pre-activated units of two shared
    convolutions, each added to the features before the first, change the luma of the bicubic image.

    As github.com/jt827859032/DRRN-pytorch has it, whose names layers carry and whose weights are to be had: without
    batch normalization and biases, and with the features before the first unit activated, because its ReLU works in
    place. Without that its weights give the bicubic image and no more.
    """
    colours = bicubic(x, config.scale)
    x = first = relu(conv(relu(luma(colours)), CHANNELS, 3, name="input", **OPTIONS))
    unit = [conv_layer(CHANNELS, 3, name=name, **OPTIONS) for name in ("conv1", "conv2")]
    for _ in range(UNITS):
        for convolution in unit:
            x = convolution(relu(x))
        x = keras.layers.Add()([x, first])
    return with_residual(colours, conv(relu(x), 1, 3, name="output", dtype="float32", **OPTIONS))
