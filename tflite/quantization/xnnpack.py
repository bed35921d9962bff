"""XNNPACK's int8 arithmetic (and LiteRT's, where it leaves an operation) in TensorFlow, exact and with gradients.

A value is a whole multiple of its tensor's step size. Kernels multiply those whole numbers by integers or by float32
factors, each in its own way. Where one result falls on the other side of a half, later results may differ too, so a
simulation must do the same arithmetic. Read off what LiteRT 2.3.0 gives (tests hold it to that); operations whose
result does not depend on the arithmetic have nothing here.
"""

import math

import numpy as np
import tensorflow as tf
from tf_keras import layers

LEAST_RANGE = 1.001e-6  # from low to high: TensorFlow's converter makes ranges of 1e-6 or less wider than they are


class IntegerConv2D(layers.Conv2D):
    """Convolution as XNNPACK computes it: in whole numbers, times one float32 per channel, rounded half to even.

    Whole numbers are exact in float32 below 2^24, which sums of 3x3 kernels of some hundred channels stay below. Float
    sums would now and then fall on the other side of a half. input_step, output_step: step sizes of what it takes and
    gives. absmax: as for weight_absmax. The wrapper has rounded kernel and bias when this layer is called.
    """

    def __init__(self, *args, input_step, output_step, absmax, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_step, self.output_step, self.absmax = input_step, output_step, absmax

    def call(self, inputs):
        kernel_step = _divide(weight_absmax(self.kernel, self.bias, self.input_step, self.absmax), 127)
        taken = _round(inputs / self.input_step)
        codes = _round(self.kernel / kernel_step)
        total = tf.nn.conv2d(taken, codes, self.strides, self.padding.upper(), dilations=self.dilation_rate)
        if self.use_bias:
            total += _round(self.bias / (self.input_step * kernel_step))
        factor = _divide(self.input_step * kernel_step, self.output_step)
        return _round(total * factor) * self.output_step


class IntegerDepthwiseConv2D(layers.DepthwiseConv2D):
    """As IntegerConv2D, each channel by itself."""

    def __init__(self, *args, input_step, output_step, absmax, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_step, self.output_step, self.absmax = input_step, output_step, absmax

    def call(self, inputs):
        kernel = self.depthwise_kernel  # [h, w, channels, 1]
        kernel_step = _divide(weight_absmax(kernel[..., 0][:, :, None], self.bias, self.input_step, self.absmax), 127)
        taken = _round(inputs / self.input_step)
        codes = _round(kernel / kernel_step[:, None])
        strides = [1, *self.strides, 1]
        total = tf.nn.depthwise_conv2d(taken, codes, strides, self.padding.upper(), dilations=self.dilation_rate)
        total += _round(self.bias / (self.input_step * kernel_step))
        factor = _divide(self.input_step * kernel_step, self.output_step)
        return _round(total * factor) * self.output_step


INTEGER_CONVOLUTIONS = {layers.Conv2D: IntegerConv2D, layers.DepthwiseConv2D: IntegerDepthwiseConv2D}


def _divide(x, number):
    """x / number, to the last bit of float32, whatever TensorFlow's graph optimizer makes of divisions by constants."""
    return tf.cast(tf.cast(x, tf.float64) / number, tf.float32)


class IntegerOp(layers.Layer):
    """Layer whose result is rounded by the whole numbers that XNNPACK's kernel rounds it by; the gradient is its own.

    layer: what it stands for. integer_fn(self, taken, smooth): int32 inputs in multiples of input_steps -> the result
    in multiples of output_step; smooth is what layer gives. self.factors: float32 quotients of the step sizes.
    """

    def __init__(self, layer, integer_fn, input_steps, output_step):
        super().__init__(name=layer.name)
        self.layer, self.integer_fn = layer, integer_fn
        self.input_steps, self.output_step = input_steps, output_step
        self.factors = [float(np.float32(size) / np.float32(output_step)) for size in input_steps]

    def call(self, inputs):
        smooth = self.layer(inputs)
        tensors = tf.nest.flatten(inputs)
        taken = [tf.cast(tf.round(x / size), tf.int32) for x, size in zip(tensors, self.input_steps, strict=True)]
        whole = tf.cast(self.integer_fn(self, taken, smooth), tf.float32)
        return _with_gradient_of(smooth, whole * self.output_step)


@tf.custom_gradient
def _with_gradient_of(smooth, value):
    """value, with the gradient of smooth, which may be infinite."""
    return value, lambda upstream: (upstream, None)


def requantize(op, taken, _):
    """A factor in whole 256ths."""
    return _shift_right(taken[0] * round(256 * op.factors[0]), 8)


def leaky_relu(op, taken, _):
    """Two factors in whole 256ths."""
    factor = 256 * op.factors[0]
    slope = float(op.layer.alpha)
    return _shift_right(taken[0] * tf.where(taken[0] < 0, round(factor * slope), round(factor)), 8)


def add(op, taken, _):
    """Factors in 21 bits or less, the larger one in just as many."""
    shift = 21 - math.frexp(max(op.factors))[1]
    terms = [x * round(math.ldexp(factor, shift)) for x, factor in zip(taken, op.factors, strict=True)]
    return _shift_right(sum(terms), shift)


def subtract(op, taken, _):
    """As add, the second factor with the other sign."""
    shift = 21 - math.frexp(max(op.factors))[1]
    first, second = (round(math.ldexp(factor, shift)) for factor in op.factors)
    return _shift_right(taken[0] * first - taken[1] * second, shift)


def multiply(op, taken, _):
    """One float32 factor, halves to even."""
    factor = np.float32(op.input_steps[0]) * np.float32(op.input_steps[1]) / np.float32(op.output_step)
    return tf.round(tf.cast(taken[0] * taken[1], tf.float32) * factor)


def resize(_, taken, smooth):
    """Places between pixels in whole 2048ths."""
    x, size = taken[0], tf.shape(smooth)[1:3]
    (top, bottom, down), (left, right, across) = (_between(tf.shape(x)[i + 1], size[i]) for i in range(2))
    rows = [tf.gather(x, row, axis=1) for row in (top, bottom)]
    upper, lower = (_mix(tf.gather(r, left, axis=2), tf.gather(r, right, axis=2), across[:, None]) for r in rows)
    return _shift_right(_mix(upper, lower, down[:, None, None]), 22)


def squared_difference(op, taken, _):
    """LiteRT's own kernel, which XNNPACK leaves it to: both numbers in 64ths of the larger step, each rounded first."""
    largest = 2 * max(op.input_steps)
    scaled = [_multiply_fixed_point(x * 2**7, size / largest) for x, size in zip(taken, op.input_steps, strict=True)]
    return _multiply_fixed_point((scaled[0] - scaled[1]) ** 2, largest**2 / (2**14 * op.output_step))


def square_root(op, taken, _):
    """LiteRT's own kernel: in float32, rounded down, where every other operation rounds to the nearest."""
    value = tf.cast(taken[0], tf.float32) * op.input_steps[0]
    root = tf.cast(tf.sqrt(tf.cast(value, tf.float64)), tf.float32)  # to the last bit
    return tf.floor(_divide(root, op.output_step))


def reciprocal_root(op, taken, _):
    """LiteRT's own kernel: in 2^20ths by fixed point, of 1 to 255 input steps; of 0 the largest number there is."""
    roots = tf.constant([0, *map(_reciprocal_root, range(1, 256))])
    factor = 1 / float(np.sqrt(np.float32(op.input_steps[0])) * np.float32(op.output_step))
    return tf.where(taken[0] == 0, 255, _multiply_fixed_point(tf.gather(roots, taken[0]), factor / 2**20))


def _reciprocal_root(number):
    """2^20 / sqrt(number), 1 to 255, by the Newton iteration of TFLite's kernels, step by step: int.

    They hold it in 28 bits behind the point, the number shifted to 1/4..1, and get 1 / sqrt(1) as 1 - 2^-31.
    """
    if number == 1:
        return _high(2**20, 2**31 - 1)
    pairs = (31 - number.bit_length()) // 2 - 1
    half_input = ((number << 2 * pairs >> 1) + 1) >> 1
    x = 1 << 28
    for _ in range(5):
        x = (_high(3 << 27, x) - _high(half_input, _high(_high(x, x), x) << 6)) << 3
    x = _high(x, 1518500250)  # sqrt(1/2) in 31 bits
    shift = 11 - pairs
    return _high(2 ** (20 - max(shift, 0)), x << max(-shift, 0))


def _high(x, y):
    """gemmlowp's "doubling high product" of two whole numbers from 0 on: x * y / 2^31, halves up."""
    return (x * y + 2**30) >> 31


def _multiply_fixed_point(x, factor):
    """gemmlowp's product of an int32 and a factor below 1, which it holds in 31 bits: two roundings, as TFLite's."""
    mantissa, exponent = math.frexp(factor)
    x, multiplier = tf.cast(x, tf.int64), round(mantissa * 2**31)
    product = x * multiplier
    half = tf.where(product >= 0, *(tf.constant(value, tf.int64) for value in (2**30, 1 - 2**30)))
    high = tf.truncatediv(product + half, tf.constant(2**31, tf.int64))
    mask, bits = (tf.constant(value, tf.int64) for value in (2**-exponent - 1, -exponent))
    rest, threshold = tf.bitwise.bitwise_and(high, mask), mask // 2 + tf.cast(high < 0, tf.int64)
    return tf.cast(tf.bitwise.right_shift(high, bits) + tf.cast(rest > threshold, tf.int64), tf.int32)


def _mix(first, second, part):
    return first * 2048 + (second - first) * part


def _between(old, new):
    """Of each of `new` pixels of a side: index of the old pixel before it and after it, and where it is, in 2048ths."""
    ratio = tf.cast(old, tf.float32) / tf.cast(new, tf.float32)
    places = tf.range(tf.cast(new, tf.float32)) * ratio + (0.5 * ratio - 0.5)
    places = tf.clip_by_value(places, 0.0, tf.cast(old - 1, tf.float32))
    first = tf.cast(places, tf.int32)
    part = tf.cast(tf.round((places - tf.cast(first, tf.float32)) * 2048), tf.int32)
    return first, tf.minimum(first + 1, old - 1), part


def _shift_right(x, bits):
    """x / 2^bits in whole numbers, halves up."""
    return tf.bitwise.right_shift(x + 2 ** (bits - 1), bits)


def _round(x):
    """x in whole numbers, halves to even, with the gradient of x."""
    return x + tf.stop_gradient(tf.round(x) - x)


def weight_absmax(kernel, bias, input_step, absmax=0.0):
    """127 quantization steps of a kernel, per output channel: its largest magnitude, or more.

    absmax: what it is at least. More too where the bias needs it: a bias is stored as an int32 in steps of the input's
    times the kernel's, and of a channel of tiny numbers it would overflow, of which the converter says nothing.
    """
    largest = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=[0, 1, 2]), LEAST_RANGE / 2)
    largest = tf.maximum(largest, absmax)
    if bias is not None:
        largest = tf.maximum(largest, tf.abs(bias) * (127 / 2**30 / input_step))
    return tf.stop_gradient(largest)
