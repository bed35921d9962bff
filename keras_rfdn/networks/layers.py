"""Layers that blocks are made of. Tensors are [n, h, w, c] in the policy's compute type unless stated."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.system.errors import UserError

LRELU_SLOPE = 0.05  # the authors' released code


def pytorch_initializer(gain=1.0):
    """Initializer of kernels as PyTorch's by default, which the authors' code relies on.

    Keras' own default (Glorot) has three times the variance, with which the residual steps of twelve to eighteen
    SRBs make features grow a hundredfold. A new one each time: one alone gives the same numbers again and again.
    """
    return keras.initializers.VarianceScaling(gain**2 / 3, mode="fan_in", distribution="uniform")


def conv_layer(filters, kernel_size, *, name, **options):
    """Convolution to be called, perhaps several times: with bias and padding, unless options (those of Conv2D) say
    otherwise.
    """
    options = {"padding": "same", "kernel_initializer": pytorch_initializer(), **options}
    return keras.layers.Conv2D(filters, kernel_size, name=name, **options)


def conv(x, filters, kernel_size, *, name, **options):
    """conv_layer of x."""
    return conv_layer(filters, kernel_size, name=name, **options)(x)


def depthwise(x, kernel_size, *, name, **options):
    """Depthwise convolution with bias: each channel by a kernel of its own. options: those of DepthwiseConv2D."""
    options = {"padding": "same", "depthwise_initializer": pytorch_initializer(), **options}
    return keras.layers.DepthwiseConv2D(kernel_size, name=name, **options)(x)


def blueprint_separable(x, filters, kernel_size=3, *, name, **options):
    """Blueprint separable convolution (BSConv-U, Haase and Amthor 2020, arXiv 2003.13549): 1x1 without bias, then
    depthwise. Its two layers are called name.pw and name.dw. options: of the depthwise one.
    """
    return depthwise(conv(x, filters, 1, name=f"{name}.pw", use_bias=False), kernel_size, name=f"{name}.dw", **options)


@keras.saving.register_keras_serializable("keras_rfdn")
class LeakyReLU(keras.layers.LeakyReLU):
    """LeakyReLU that TensorFlow computes rightly on every path.

    With oneDNN, grappler fuses Conv2D + BiasAdd + Add + LeakyRelu into one CPU kernel that takes slope 0.2 whatever
    the operation says (TensorFlow 2.21; BUILD_NOTES.md has a report in ten lines). An EnsureShape before the
    activation hides the pattern from grappler; it costs nothing at run time and is gone in a TFLite file. Because it
    is part of the graph it also protects saved models that others load without this package.
    """

    def call(self, inputs):
        return super().call(tf.ensure_shape(inputs, [None] * (inputs.shape.rank - 1) + [inputs.shape[-1]]))


def lrelu(x, slope=LRELU_SLOPE):
    return LeakyReLU(slope)(x)


def relu(x):
    return keras.layers.ReLU()(x)


def gelu(x):
    """GELU in its exact form, x times the normal distribution's function, as PyTorch's by default."""
    return keras.layers.Activation(keras.activations.gelu)(x)


def silu(x):
    """SiLU, x times its sigmoid (Keras calls it swish)."""
    return keras.layers.Activation(keras.activations.swish)(x)


def prelu(x, *, name):
    """ReLU with a learned slope below zero for each channel."""
    return keras.layers.PReLU(keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name)(x)


ACTIVATIONS = {"lrelu": lrelu, "relu": relu}


@keras.saving.register_keras_serializable("keras_rfdn")
class PixelShuffle(keras.layers.Layer):
    """[n, h, w, c * scale^2] -> [n, h * scale, w * scale, c] by tf.nn.depth_to_space.

    TensorFlow's channel k * c + j is PyTorch's channel j * scale^2 + k.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return tf.nn.depth_to_space(inputs, self.scale)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def upsample(x, scale, *, name="upsampler"):
    """Features [n, h, w, c] -> image [n, h * scale, w * scale, 3], float32: a convolution, name.0, then the shuffle."""
    x = conv(x, 3 * scale**2, 3, name=f"{name}.0", dtype="float32")
    return PixelShuffle(scale, name=f"{name}.1", dtype="float32")(x)


@keras.saving.register_keras_serializable("keras_rfdn")
class Split(keras.layers.Layer):
    """[n, h, w, c] -> [n, h, w, first], [n, h, w, c - first]."""

    def __init__(self, first, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def call(self, inputs):
        return tf.split(inputs, [self.first, inputs.shape[-1] - self.first], axis=-1)

    def get_config(self):
        return {**super().get_config(), "first": self.first}


@keras.saving.register_keras_serializable("keras_rfdn")
class ResizeLike(keras.layers.Layer):
    """(x [n, h, w, c], like [n, H, W, k]) -> x resized to [n, H, W, c].

    Bilinear with half-pixel centres: PyTorch's interpolate(align_corners=False).
    """

    def call(self, inputs):
        x, like = inputs
        # A static size where there is one: a size computed at run time keeps TFLite's delegates away.
        size = like.shape[1:3] if like.shape[1:3].is_fully_defined() else tf.shape(like)[1:3]
        return tf.cast(tf.image.resize(x, size), x.dtype)


@keras.saving.register_keras_serializable("keras_rfdn")
class Contrast(keras.layers.Layer):
    """[n, h, w, c] -> [n, 1, 1, c]: standard deviation plus mean over the image, in float32 (IMDN, equation 5)."""

    EPSILON = 1e-8  # a flat feature map has standard deviation 0, where the square root has no gradient

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return tf.cast(mean + tf.sqrt(variance + self.EPSILON), self.compute_dtype)


@keras.saving.register_keras_serializable("keras_rfdn")
class BicubicUpscale(keras.layers.Layer):
    """[n, h, w, c] -> [n, h * scale, w * scale, c] by MATLAB's imresize (data/images/bicubic.py), in float, unclipped.

    It has no weights. scale: 2, 3 or 4.
    """

    PADDING = 2  # an HR pixel depends on at most two LR pixels either side; the border is mirrored

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        kernel = tf.constant(self.kernel(inputs.shape[-1]), inputs.dtype)
        margins = [[0, 0], [self.PADDING, self.PADDING], [self.PADDING, self.PADDING], [0, 0]]
        subpixels = tf.nn.conv2d(tf.pad(inputs, margins, "SYMMETRIC"), kernel, 1, "VALID")
        return tf.nn.depth_to_space(subpixels, self.scale)

    def kernel(self, channels):
        """Convolution [5, 5, channels, scale^2 * channels] whose outputs, as tf.nn.depth_to_space orders them, are the
        HR pixels of each LR pixel.
        """
        taps = bicubic.upscaling_kernel(self.scale)  # [5, scale]
        each = np.einsum("ia,jb->ijab", taps, taps).reshape(*[len(taps)] * 2, 1, self.scale**2, 1)
        return (each * np.eye(channels)[:, None]).reshape(*each.shape[:2], channels, -1)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("keras_rfdn")
class Luma(keras.layers.Layer):
    """RGB [n, h, w, 3] in 0..1 -> BT.601 luma [n, h, w, 1] in 16/255..235/255, as MATLAB's rgb2ycbcr. No weights."""

    WEIGHTS, OFFSET = (65.481 / 255, 128.553 / 255, 24.966 / 255), 16 / 255

    def call(self, inputs):
        kernel = tf.constant(self.WEIGHTS, inputs.dtype, [1, 1, 3, 1])
        return tf.nn.conv2d(inputs, kernel, 1, "VALID") + tf.cast(self.OFFSET, inputs.dtype)


def cca(x, *, reduction, name):
    """Contrast-aware channel attention (IMDN, section 3.2): a gate per channel from its contrast in the whole image."""
    channels = x.shape[-1]
    gate = Contrast(name=f"{name}.contrast")(x)
    gate = relu(conv(gate, _inner(channels, reduction), 1, name=f"{name}.conv_du.0"))
    gate = conv(gate, channels, 1, name=f"{name}.conv_du.2")
    return keras.layers.Multiply()([x, keras.layers.Activation("sigmoid")(gate)])


def esa(x, *, reduction, name, convolution=conv, activation=relu):
    """Enhanced spatial attention (RFANet, in the form of the released E-RFDN): a gate per pixel and channel.

    x: [n, h, w, c] with h, w >= 15 (a stride-2 convolution, then a 7x7 pool, neither padded). convolution, activation:
    BSRN has others there.
    """
    inner = _inner(x.shape[-1], reduction)

    def group(y):
        y = activation(convolution(y, inner, 3, name=f"{name}.conv_max"))
        y = activation(convolution(y, inner, 3, name=f"{name}.conv3"))
        return convolution(y, inner, 3, name=f"{name}.conv3_")

    return _spatial_gate(x, inner, group, convolution, name=name)


def short_esa(x, *, inner, name):
    """ESA as RLFN shortens it (arXiv 2205.07514, Figure 3): one convolution where RFDN has three. inner: its width."""
    return _spatial_gate(x, inner, lambda y: conv(y, inner, 3, name=f"{name}.conv3"), conv, name=name)


def _spatial_gate(x, inner, group, convolution, *, name):
    """x times a gate that sees far, by group of what a strided convolution and a pool leave, and near."""
    squeezed = conv(x, inner, 1, name=f"{name}.conv1")
    wide = convolution(squeezed, inner, 3, strides=2, padding="valid", name=f"{name}.conv2")
    wide = ResizeLike(name=f"{name}.resize")([group(keras.layers.MaxPooling2D(7, 3)(wide)), x])
    local = conv(squeezed, inner, 1, name=f"{name}.conv_f")
    gate = conv(keras.layers.Add()([wide, local]), x.shape[-1], 1, name=f"{name}.conv4")
    return keras.layers.Multiply()([x, keras.layers.Activation("sigmoid")(gate)])


def none(x, *, reduction, name):
    """No attention: x itself."""
    if reduction:
        raise UserError(f"without attention nothing is reduced: need reduction=0, got {reduction}")
    return x


def _inner(channels, reduction):
    if not 1 <= reduction <= channels:
        raise UserError(f"attention needs a reduction of 1 to {channels} (its channels), got {reduction}")
    return channels // reduction


ATTENTIONS = {"none": none, "cca": cca, "esa": esa}
