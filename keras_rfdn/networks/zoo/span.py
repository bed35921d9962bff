"""SPAN, swift parameter-free attention network (Wan et al. 2023, arXiv 2311.12770), with 28 channels, as the baseline
of NTIRE 2026's efficiency challenge. Each convolution is what several branches of its training were merged to.
142/145/151K parameters at x2/x3/x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, silu, upsample

CHANNELS, BLOCKS = 28, 6
MEAN = 0.4488, 0.4371, 0.4040  # of DIV2K's red, green and blue
WHITE = 255  # the features are of grey levels


def span(x, config):
    offset = [-WHITE * mean for mean in MEAN]
    x = keras.layers.Rescaling(WHITE, offset, name="without_mean", dtype="float32")(x)
    coarse = x = conv(x, CHANNELS, 3, name="conv_1")
    outputs = []
    for i in range(1, BLOCKS + 1):
        inside, x = spab(x, name=f"block_{i}")
        outputs.append(x)
    last = conv(x, CHANNELS, 3, name="conv_2")
    x = keras.layers.Concatenate()([coarse, last, outputs[0], inside])
    return upsample(conv(x, CHANNELS, 1, name="conv_cat"), config.scale)


def spab(x, *, name):
    """Swift parameter-free attention block -> (features inside, output): features gate themselves."""
    inside = silu(conv(x, CHANNELS, 3, name=f"{name}.c1_r"))
    y = silu(conv(inside, CHANNELS, 3, name=f"{name}.c2_r"))
    y = conv(y, CHANNELS, 3, name=f"{name}.c3_r")
    gate = keras.layers.Activation("sigmoid")(y)
    gate = keras.layers.Rescaling(1, -0.5, name=f"{name}.odd")(gate)  # an odd function: it has the features' sign
    return inside, keras.layers.Multiply()([keras.layers.Add()([y, x]), gate])
