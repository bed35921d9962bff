"""Blocks of the trunk: each x -> x of the same shape [n, h, w, c]."""

import tf_keras as keras

from keras_rfdn.layers import ATTENTIONS, conv, lrelu


def rfdb(x, config, *, name):
    """Residual feature distillation block (the paper, section 3.3 and Figure 2).

    Three steps of {a 1x1 convolution distils half of the channels; a shallow residual block (SRB) refines all}, a 3x3
    convolution of what is left, a 1x1 convolution that fuses the distilled parts, and attention. As in the released
    code no skip goes around the block. Names follow the released weights.
    """
    channels = x.shape[-1]
    distilled = []
    for i in (1, 2, 3):
        distilled.append(lrelu(conv(x, channels // 2, 1, name=f"{name}.c{i}_d")))
        x = lrelu(keras.layers.Add()([conv(x, channels, 3, name=f"{name}.c{i}_r"), x]))
    distilled.append(lrelu(conv(x, channels // 2, 3, name=f"{name}.c4")))
    x = conv(keras.layers.Concatenate()(distilled), channels, 1, name=f"{name}.c5")
    return ATTENTIONS[config.attention](x, reduction=config.reduction, name=f"{name}.{config.attention}")


BLOCKS = {"rfdb": rfdb}
