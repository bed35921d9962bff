"""BSRN, blueprint separable residual network (Li et al. 2022, arXiv 2205.05996): RFDN's structure of blueprint
separable convolutions, with both attentions. First in NTIRE 2022's track for model complexity. Figure 2 shows the
network, Figure 3 the block. 332/340/352K parameters at x2/x3/x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import blueprint_separable, cca, conv, esa, gelu, upsample

CHANNELS, BLOCKS = 64, 8


def bsrn(x, config):
    return separable_network(x, config.scale, CHANNELS, esdb)


def esdb(x, *, name):
    """Efficient separable distillation block."""

    def residual(y, *, name):
        return keras.layers.Add()([blueprint_separable(y, y.shape[-1], name=name), y])

    y = separable_distillation(x, residual, name=name)
    y = esa(y, reduction=4, name=f"{name}.esa", convolution=blueprint_separable, activation=gelu)
    y = cca(y, reduction=16, name=f"{name}.cca")
    return keras.layers.Add()([y, x])


def separable_network(x, scale, channels, block):
    """BSRN and LKDN: a separable convolution of the image four times over, blocks, their fusion, a long skip."""
    coarse = x = blueprint_separable(keras.layers.Concatenate()([x] * 4), channels, name="fea_conv")
    outputs = []
    for i in range(1, BLOCKS + 1):
        x = block(x, name=f"B{i}")
        outputs.append(x)
    x = gelu(conv(keras.layers.Concatenate()(outputs), channels, 1, name="c1"))
    x = keras.layers.Add()([blueprint_separable(x, channels, name="c2"), coarse])
    return upsample(x, scale)


def separable_distillation(x, refine, *, name):
    """Distillation as RFDB's, half of the channels at each of three steps, with GELU. refine(x, name=...): the layers
    that a step goes on with.
    """
    channels, distilled = x.shape[-1], []
    for i in (1, 2, 3):
        distilled.append(gelu(conv(x, channels // 2, 1, name=f"{name}.c{i}_d")))
        x = gelu(refine(x, name=f"{name}.c{i}_r"))
    distilled.append(gelu(blueprint_separable(x, channels // 2, name=f"{name}.c4")))
    return conv(keras.layers.Concatenate()(distilled), channels, 1, name=f"{name}.c5")
