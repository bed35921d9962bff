"""Keras functional models of all variants, built from their configurations."""

import contextlib

import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import zoo
from keras_rfdn.networks.blocks import BLOCKS
from keras_rfdn.networks.config import Config, name_of
from keras_rfdn.networks.layers import ACTIVATIONS, PixelShuffle, conv, lrelu, upsample
from keras_rfdn.networks.reparameterized import EdgeOrientedConv2D, merged

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def build(config: Config, **build_options) -> keras.Model:
    """Keras model of a row of VARIANTS, or of another configuration, with fresh weights: the network as it runs.

    Model input: float32 RGB 0..255 [n, h, w, 3] with h, w >= 15 (config.SMALLEST_INPUT). Output: float32 RGB
    [n, h * scale, w * scale, 3], 0..255 but for overshoot, not clipped. Inside, features are of images in 0..1.
    build_options: as for build_for_training.
    """
    return merged(build_for_training(config, **build_options))


def build_for_training(
    config: Config,
    *,
    height: int | None = None,
    width: int | None = None,
    batch: int | None = None,
    precision: str = "float32",
) -> keras.Model:
    """Keras model as build's, but that convolutions have the branches with which they train, where a network has such
    (reparameterized.py).

    height, width, batch: fix a dimension, for TFLite; None leaves it open.
    precision: compute type, a key of POLICIES; variables, the last convolution and the output stay float32.
    """
    if precision not in POLICIES:
        raise UserError(f"precision must be one of {', '.join(POLICIES)}, got {precision}")
    with _policy(POLICIES[precision]):
        lr = keras.Input((height, width, 3), batch, name="lr", dtype="float32")
        x = keras.layers.Rescaling(1 / 255, name="to_unit", dtype="float32")(lr)
        x = network(x, config)
        sr = keras.layers.Rescaling(255.0, name="to_grey_levels", dtype="float32")(x)
    return keras.Model(lr, sr, name=f"{name_of(config)}_x{config.scale}")


def network(x, config):
    """Network without the conversions of range: x and result in 0..1."""
    return NETWORKS[config.network](x, config)


def fused(x, config):
    """RFDN and IMDN (section 3.1 of the paper and Figure 1): the outputs of all blocks are fused, plus a long skip."""
    coarse = conv(x, config.channels, 3, name="fea_conv")
    x = keras.layers.Add()([conv(_fused_blocks(coarse, config), config.channels, 3, name="LR_conv"), coarse])
    return upsample(x, config.scale)


def image_residual(x, config):
    """RFDN that adds to the image itself: each LR pixel, repeated, plus what the network learns (ABPN, Du et al. 2021,
    arXiv 2105.09750, "anchor-based residual"). In int8 the skip is then exact, and no tensor holds image and features
    at one scale.
    """
    coarse = ACTIVATIONS[config.activation](conv(x, config.channels, 3, name="fea_conv"))
    residual = conv(_fused_blocks(coarse, config), 3 * config.scale**2, 3, name="upsampler.0", dtype="float32")
    return _add_to_image(x, residual, config)


def ecbsr(x, config):
    """ECBSR (Zhang et al. 2021, "Edge-oriented convolution block for real-time super resolution on mobile devices"):
    3x3 convolutions one after the other, each of several branches in training, between the image and what adds to it.
    """
    coarse = BLOCKS[config.block](x, config, name="fea_conv")
    features = _chain(coarse, config, "B", first=1)[-1]
    residual = EdgeOrientedConv2D(3 * config.scale**2, name="upsampler.0", dtype="float32")(features)
    return _add_to_image(x, residual, config)


def chained(x, config):
    """IMDN as it won AIM 2019 (and EDSR before it): only the last block's output goes on, plus a long skip."""
    coarse = conv(x, config.channels, 3, name="fea_conv")
    x = _chain(coarse, config, "B", first=1)[-1]
    x = keras.layers.Add()([conv(x, config.channels, 3, name="LR_conv"), coarse])
    return upsample(x, config.scale)


def msrresnet(x, config):
    """SRResNet as modified by ESRGAN's authors, the challenges' baseline: adds to bilinear interpolation.

    Names follow their released weights.
    """
    bilinear = keras.layers.UpSampling2D(config.scale, interpolation="bilinear", name="base", dtype="float32")(x)
    x = lrelu(conv(x, config.channels, 3, name="conv_first"), 0.1)
    x = _chain(x, config, "recon_trunk.", first=0)[-1]
    for i, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[config.scale], start=1):
        x = conv(x, config.channels * factor**2, 3, name=f"upconv{i}")
        x = lrelu(PixelShuffle(factor, name=f"pixel_shuffle{i}")(x), 0.1)
    x = lrelu(conv(x, config.channels, 3, name="HRconv"), 0.1)
    x = conv(x, 3, 3, name="conv_last", dtype="float32")
    return keras.layers.Add(dtype="float32")([x, bilinear])


def _fused_blocks(x, config):
    """The chain of blocks and the 1x1 convolution of all their outputs."""
    features = _chain(x, config, "B", first=1)
    x = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
    return ACTIVATIONS[config.activation](conv(x, config.channels, 1, name="c.0"))


def _chain(x, config, name, *, first):
    """The blocks one after the other, named by number from first -> what each gives."""
    outputs = []
    for i in range(first, first + config.num_blocks):
        x = BLOCKS[config.block](x, config, name=f"{name}{i}")
        outputs.append(x)
    return outputs


def _add_to_image(x, residual, config):
    """Image [n, h, w, 3] and what is added to each of its HR pixels [n, h, w, 3 * scale^2] -> HR image."""
    nearest = keras.layers.Concatenate(dtype="float32")([x] * config.scale**2)  # the pixel in each of its HR places
    x = keras.layers.Add(dtype="float32")([residual, nearest])
    return PixelShuffle(config.scale, name="upsampler.1", dtype="float32")(x)


NETWORKS = {
    "fused": fused,
    "image_residual": image_residual,
    "ecbsr": ecbsr,
    "chained": chained,
    "msrresnet": msrresnet,
    **zoo.NETWORKS,
}


@contextlib.contextmanager
def _policy(name):
    """Keras' policy for layers made inside; the caller's own comes back afterwards."""
    outer = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(outer)
