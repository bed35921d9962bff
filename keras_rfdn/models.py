"""ModelConfig -> tf_keras functional model."""

import contextlib

import tf_keras as keras

from keras_rfdn.blocks import BLOCKS
from keras_rfdn.config import SMALLEST_INPUT as SMALLEST_INPUT
from keras_rfdn.layers import PixelShuffle, conv, lrelu

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def build(config, *, height=None, width=None, batch=None, precision="float32"):
    """The network of a ModelConfig with fresh weights.

    Model input: float32 RGB 0..255 [n, h, w, 3] with h, w >= 15 (config.SMALLEST_INPUT). Output: float32 RGB
    [n, h * scale, w * scale, 3], 0..255 but for overshoot, not clipped. Inside, features are of images in 0..1.
    height, width, batch: fix a dimension, for TFLite; None leaves it open.
    precision: compute type, a key of POLICIES; variables, the last convolution and the output stay float32.
    """
    with _policy(POLICIES[precision]):
        lr = keras.Input((height, width, 3), batch, name="lr", dtype="float32")
        x = keras.layers.Rescaling(1 / 255, name="to_unit", dtype="float32")(lr)
        x = network(x, config)
        sr = keras.layers.Rescaling(255.0, name="to_grey_levels", dtype="float32")(x)
    return keras.Model(lr, sr, name=f"{config.block}_x{config.scale}")


def network(x, config):
    """The paper's network without the conversions of range (section 3.1 and Figure 1): x and result in 0..1."""
    if min(config.channels, config.num_blocks) < 1 or config.channels // config.reduction < 1:
        raise ValueError(f"need channels >= reduction and a block at least, got {config}")
    coarse = x = conv(x, config.channels, 3, name="fea_conv")
    features = []
    for i in range(config.num_blocks):
        x = BLOCKS[config.block](x, config, name=f"B{i + 1}")
        features.append(x)
    if len(features) > 1:
        x = keras.layers.Concatenate()(features)
    x = lrelu(conv(x, config.channels, 1, name="c.0"))
    x = keras.layers.Add()([conv(x, config.channels, 3, name="LR_conv"), coarse])
    x = conv(x, 3 * config.scale**2, 3, name="upsampler.0", dtype="float32")
    return PixelShuffle(config.scale, name="upsampler.1", dtype="float32")(x)


@contextlib.contextmanager
def _policy(name):
    """Keras' policy for layers made inside; the caller's own comes back afterwards."""
    outer = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(outer)
