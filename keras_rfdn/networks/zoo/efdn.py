"""EFDN, edge-enhanced feature distillation network (Wang 2022, arXiv 2204.08759): four cells, each fused with an
earlier one. Its edge-enhanced blocks train as branches and run as one convolution. 276K parameters at x4.
"""

import tf_keras as keras

from keras_rfdn.networks.layers import conv, esa, prelu, upsample
from keras_rfdn.networks.reparameterized import EdgeOrientedConv2D

CHANNELS, CELLS = 48, 4


def efdn(x, config):
    coarse = conv(x, CHANNELS, 3, name="head")
    first = cell(coarse, name="cells.0")
    x = second = cell(first, name="cells.1")
    x = _fuse(first, x, name="local_fuse.0")
    for i in range(2, CELLS):
        x = _fuse(second, cell(x, name=f"cells.{i}"), name=f"local_fuse.{i - 1}")
    return upsample(keras.layers.Add()([x, coarse]), config.scale, name="tail")


def cell(x, *, name):
    """Edge-enhanced feature distillation block: half of the channels of its input and of each of three layers go on."""
    features = [x, prelu(conv(x, CHANNELS, 1, name=f"{name}.conv1.conv1x1"), name=f"{name}.conv1.act")]
    for layer in (f"{name}.conv2", f"{name}.conv3"):
        y = EdgeOrientedConv2D(CHANNELS, name=f"{layer}.rep_conv")(features[-1])
        features.append(prelu(y, name=f"{layer}.act"))
    distilled = [conv(y, CHANNELS // 2, 1, name=f"{name}.branch.{i}") for i, y in enumerate(features)]
    y = conv(keras.layers.Concatenate()(distilled), CHANNELS, 1, name=f"{name}.fuse")
    return keras.layers.Add()([esa(y, reduction=4, name=f"{name}.att"), x])


def _fuse(x, y, *, name):
    return conv(keras.layers.Concatenate()([x, y]), CHANNELS, 1, name=name)
