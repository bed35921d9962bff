"""Networks that enlarge luma alone, and take the colours from bicubic interpolation, as their papers measured them."""

import tf_keras as keras

from keras_rfdn.networks.layers import BicubicUpscale, Luma

WHITE = 255 / 219  # grey levels that one level of luma is, where red, green and blue change alike


def bicubic(x, scale):
    """RGB [n, h, w, 3] in 0..1 -> the bicubic image [n, h * scale, w * scale, 3] in float32."""
    return BicubicUpscale(scale, name="bicubic", dtype="float32")(x)


def luma(x, *, name="luma", dtype=None):
    """RGB [n, h, w, 3] in 0..1 -> luma [n, h, w, 1] in 16/255..235/255."""
    return Luma(name=name, dtype=dtype)(x)


def with_residual(colours, residual):
    """The bicubic image with a change of its luma: RGB [n, h, w, 3] and [n, h, w, 1] -> RGB [n, h, w, 3], float32."""
    grey = keras.layers.Rescaling(WHITE, name="luma_to_rgb", dtype="float32")(residual)
    return keras.layers.Add(dtype="float32", name="with_colours")([colours, grey])


def with_luma(colours, sr_luma):
    """The bicubic image with its luma replaced: RGB [n, h, w, 3] and luma [n, h, w, 1] -> RGB [n, h, w, 3], float32."""
    difference = keras.layers.Subtract(dtype="float32")([sr_luma, luma(colours, name="bicubic_luma", dtype="float32")])
    return with_residual(colours, difference)
