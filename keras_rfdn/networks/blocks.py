"""Building blocks of the trunk: each (x, config) -> x of the same shape [n, h, w, c].

Names of layers follow the released weights.
"""

import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import ACTIVATIONS, ATTENTIONS, Split, conv
from keras_rfdn.networks.reparameterized import EdgeOrientedConv2D


def rfdb(x, config, *, name):
    """Residual feature distillation block (the paper, section 3.3 and Figures 2 and 3d).

    Three steps of {a 1x1 convolution distils some channels; a shallow residual block (SRB) refines all}, a 3x3
    convolution of what is left, a 1x1 convolution that fuses the distilled parts, and attention. As in the released
    code no skip goes around the block.
    """
    return _distillation_block(x, config, _residual_conv, name=name)


def fdc(x, config, *, name):
    """Feature distillation connections without the SRBs' residuals (Figure 3c)."""
    return _distillation_block(x, config, _conv, name=name)


def srb(x, config, *, name):
    """RFDB's chain of three SRBs and a convolution, with no distillation around it (Figure 3b)."""
    return _plain_block(x, config, _residual_conv, name=name)


def base(x, config, *, name):
    """Four convolutions and attention (Figure 3a)."""
    return _plain_block(x, config, _conv, name=name)


def imdb(x, config, *, name):
    """Information multi-distillation block of IMDN (equation 1): convolve, set channels aside, go on with the rest."""

    def step(x, width, *, name):
        return Split(width, name=f"{name}.split")(_conv(x, config, name=name))

    return _multi_distillation_block(x, config, step, name=name)


def imdb_r(x, config, *, name):
    """IMDB with each split convolution written as two, for what is distilled and what goes on (equation 3)."""

    def step(x, width, *, name):
        distilled = _conv(x, config, width, name=f"{name}_d")
        return distilled, _conv(x, config, config.channels - width, name=f"{name}_r")

    return _multi_distillation_block(x, config, step, name=name)


def residual(x, config, *, name):
    """Residual block without normalisation, of EDSR and MSRResNet."""
    _refuse_distillation(config)
    y = _conv(x, config, name=f"{name}.conv1")
    return keras.layers.Add()([_attend(conv(y, config.channels, 3, name=f"{name}.conv2"), config, name), x])


def ecb(x, config, *, name):
    """Edge-oriented convolution block of ECBSR: a 3x3 convolution, of several branches in training."""
    _refuse_distillation(config)
    x = ACTIVATIONS[config.activation](EdgeOrientedConv2D(config.channels, name=name)(x))
    return _attend(x, config, name)


BLOCKS = {
    "rfdb": rfdb,
    "fdc": fdc,
    "srb": srb,
    "base": base,
    "imdb": imdb,
    "imdb-r": imdb_r,
    "residual": residual,
    "ecb": ecb,
}


def _distillation_block(x, config, refine, *, name):
    width, half = _distilled_width(config), config.channels // 2
    distilled = []
    for i in (1, 2, 3):
        distilled.append(_conv(x, config, width, 1, name=f"{name}.c{i}_d"))
        x = refine(x, config, name=f"{name}.c{i}_r")
    # Half whatever the rate: so the parameters of Table 2 come out.
    distilled.append(_conv(x, config, half, name=f"{name}.c4"))
    return _attend(conv(keras.layers.Concatenate()(distilled), config.channels, 1, name=f"{name}.c5"), config, name)


def _plain_block(x, config, refine, *, name):
    _refuse_distillation(config)
    for i in (1, 2, 3):
        x = refine(x, config, name=f"{name}.c{i}_r")
    return _attend(_conv(x, config, name=f"{name}.c4"), config, name)


def _multi_distillation_block(x, config, step, *, name):
    width = _distilled_width(config)
    distilled, rest = [], x
    for i in (1, 2, 3):
        part, rest = step(rest, width, name=f"{name}.c{i}")
        distilled.append(part)
    distilled.append(conv(rest, width, 3, name=f"{name}.c4"))
    fused = _attend(keras.layers.Concatenate()(distilled), config, name)
    return keras.layers.Add()([conv(fused, config.channels, 1, name=f"{name}.c5"), x])


def _conv(x, config, filters=None, kernel_size=3, *, name):
    """A convolution and the activation. filters: by default all of the trunk's channels."""
    return ACTIVATIONS[config.activation](conv(x, filters or config.channels, kernel_size, name=name))


def _residual_conv(x, config, *, name):
    """The SRB proper: a convolution and an identity before the activation."""
    return ACTIVATIONS[config.activation](keras.layers.Add()([conv(x, config.channels, 3, name=name), x]))


def _attend(x, config, name):
    return ATTENTIONS[config.attention](x, reduction=config.reduction, name=f"{name}.{config.attention}")


def _distilled_width(config):
    """Channels that each step of a block sets aside."""
    width = int(config.channels * config.distillation_rate)
    if not 1 <= width < config.channels:
        raise UserError(
            f"block {config.block} needs a distillation_rate that sets aside 1 to {config.channels - 1} of "
            f"{config.channels} channels, got {config.distillation_rate}"
        )
    return width


def _refuse_distillation(config):
    if config.distillation_rate:
        raise UserError(
            f"block {config.block} distils nothing: need distillation_rate=0, got {config.distillation_rate}"
        )
