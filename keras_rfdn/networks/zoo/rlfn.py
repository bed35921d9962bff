"""RLFN, residual local feature network (Kong et al. 2022, arXiv 2205.07514): E-RFDN without its distillation, winner of
NTIRE 2022 by run time. 527/534/544K parameters at x2/x3/x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, lrelu, short_esa, upsample

CHANNELS, BLOCKS = 52, 6
ESA_CHANNELS = 16


def rlfn(x, config):
    coarse = x = conv(x, CHANNELS, 3, name="conv_1")
    for i in range(1, BLOCKS + 1):
        x = rlfb(x, name=f"block_{i}")
    x = keras.layers.Add()([conv(x, CHANNELS, 3, name="conv_2"), coarse])
    return upsample(x, config.scale)


def rlfb(x, *, name):
    """Residual local feature block: three convolutions, a skip, and ESA in its short form."""
    y = x
    for i in (1, 2, 3):
        y = lrelu(conv(y, CHANNELS, 3, name=f"{name}.c{i}_r"))
    y = conv(keras.layers.Add()([y, x]), CHANNELS, 1, name=f"{name}.c5")
    return short_esa(y, inner=ESA_CHANNELS, name=f"{name}.esa")
