"""IDN (Hui et al. 2018, arXiv 1803.09454): information distillation, from which IMDN and RFDN come."""

import tf_keras as keras

from keras_rfdn.networks.layers import Split, conv, lrelu
from keras_rfdn.networks.zoo.luma import bicubic, luma, with_residual

DBLOCKS, GROUPS, KERNEL = 4, 4, 17


def idn(x, config):
    """Information distillation network (section 3.1 and Figure 1): four distillation blocks on the luma, and a
    transposed convolution whose output changes the luma of the bicubic image.

    Layers carry the names of the authors' Caffe model (github.com/Zheng222/IDN-Caffe).
    """
    y = _activated_conv(luma(x), 64, name="conv1")
    y = _activated_conv(y, 64, name="conv2")
    for i in range(1, DBLOCKS + 1):
        y = _activated_conv(_enhancement_unit(y, name=f"conv{i + 2}"), 64, kernel_size=1, name=f"down{i}")
    return with_residual(bicubic(x, config.scale), _upsample(y, config.scale))


def _enhancement_unit(x, *, name):
    """Enhancement unit (section 3.2 and Figure 3): of three convolutions' 64 channels 16 are kept, with the input;
    three more convolutions of the others are added to them. The 1x1 convolution after it is the compression unit.
    """
    y = _activated_conv(x, 48, name=f"{name}_1")
    y = _activated_conv(y, 32, name=f"{name}_2", groups=GROUPS)
    y = _activated_conv(y, 64, name=f"{name}_3")
    kept, y = Split(16, name=f"{name}.split")(y)
    y = _activated_conv(y, 64, name=f"{name}_4")
    y = _activated_conv(y, 48, name=f"{name}_5", groups=GROUPS)
    y = _activated_conv(y, 80, name=f"{name}_6")
    return keras.layers.Add()([keras.layers.Concatenate()([x, kept]), y])


def _upsample(x, scale):
    """Transposed convolution [n, h, w, c] -> [n, h * scale, w * scale, 1], cut as the authors' test does: the middle of
    its kernel falls on the last of an LR pixel's HR pixels.
    """
    x = keras.layers.Conv2DTranspose(
        1, KERNEL, strides=scale, kernel_initializer="he_normal", name="upsample", dtype="float32"
    )(x)
    middle = KERNEL // 2
    return keras.layers.Cropping2D([(middle + 1 - scale, middle)] * 2, dtype="float32")(x)


def _activated_conv(x, filters, *, name, kernel_size=3, **options):
    return lrelu(conv(x, filters, kernel_size, name=name, kernel_initializer="he_normal", **options))
