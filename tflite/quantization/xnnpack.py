"""XNNPACK's int8 arithmetic in TensorFlow, to the last bit and with gradients: what twins (simulation.py) are made of.

A value is a whole multiple of its tensor's step. Kernels multiply those numbers by whole or by float32 factors, each in
its own way, and where one result falls on the other side of a half, all that follow from it may. Read off what LiteRT
2.3.0 gives (tests hold it to that); results that do not depend on the way they are computed have nothing here.
"""

import math

import numpy as np
import tensorflow as tf
from tf_keras import layers


class WholeConv2D(layers.Conv2D):
    """A convolution as XNNPACK computes it: in whole numbers, times one float32 per channel, rounded half to even.

    Whole numbers are exact in float32 below 2^24, which sums of 3x3 kernels of some hundred channels stay below. Float
    sums would now and then fall on the other side of a half, and where one value does all that follow from it do.
    input_step, output_step: of what it takes and gives. The wrapper has rounded kernel and bias when it is called.
    """

    def __init__(self, *args, input_step, output_step, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_step, self.output_step = input_step, output_step

    def call(self, inputs):
        kernel_step = _divided(limit(self.kernel, self.bias, self.input_step), 127)
        taken = _rounded(inputs / self.input_step)
        total = tf.nn.conv2d(taken, _rounded(self.kernel / kernel_step), self.strides, self.padding.upper())
        if self.use_bias:
            total += _rounded(self.bias / (self.input_step * kernel_step))
        factor = _divided(self.input_step * kernel_step, self.output_step)
        return _rounded(total * factor) * self.output_step


def _divided(x, number):
    """x / number, to the last bit of float32, whatever TensorFlow's graph optimizer makes of divisions by constants."""
    return tf.cast(tf.cast(x, tf.float64) / number, tf.float32)


class InWholes(layers.Layer):
    """A layer whose result is rounded by the whole numbers that XNNPACK's kernel rounds it by; the gradient is its own.

    layer: what it stands for. whole(self, taken, smooth): int32 inputs in multiples of self.steps -> the result in
    multiples of self.step; smooth is what layer gives. self.factors: float32 quotients of self.steps and self.step.
    """

    def __init__(self, layer, whole, steps, step):
        super().__init__(name=layer.name)
        self.layer, self.whole, self.steps, self.step = layer, whole, steps, step
        self.factors = [float(np.float32(taken) / np.float32(step)) for taken in steps]

    def call(self, inputs):
        smooth = self.layer(inputs)
        tensors = tf.nest.flatten(inputs)
        taken = [tf.cast(tf.round(x / step), tf.int32) for x, step in zip(tensors, self.steps, strict=True)]
        whole = tf.cast(self.whole(self, taken, smooth), tf.float32)
        return smooth + tf.stop_gradient(whole * self.step - smooth)


def requantized(op, taken, _):
    """A factor in whole 256ths."""
    return _shifted(taken[0] * round(256 * op.factors[0]), 8)


def leaky(op, taken, _):
    """Two factors in whole 256ths."""
    factor = 256 * op.factors[0]
    slope = float(op.layer.alpha)
    return _shifted(taken[0] * tf.where(taken[0] < 0, round(factor * slope), round(factor)), 8)


def added(op, taken, _):
    """Factors in 21 bits or less, the larger one in just as many."""
    shift = 21 - math.frexp(max(op.factors))[1]
    return _shifted(sum(x * round(math.ldexp(f, shift)) for x, f in zip(taken, op.factors, strict=True)), shift)


def multiplied(op, taken, _):
    """One float32 factor, halves to even."""
    factor = np.float32(op.steps[0]) * np.float32(op.steps[1]) / np.float32(op.step)
    return tf.round(tf.cast(taken[0] * taken[1], tf.float32) * factor)


def resized(_, taken, smooth):
    """Places between pixels in whole 2048ths."""
    x, size = taken[0], tf.shape(smooth)[1:3]
    (top, bottom, down), (left, right, across) = (_between(tf.shape(x)[i + 1], size[i]) for i in range(2))
    rows = [tf.gather(x, row, axis=1) for row in (top, bottom)]
    upper, lower = (_mixed(tf.gather(r, left, axis=2), tf.gather(r, right, axis=2), across[:, None]) for r in rows)
    return _shifted(_mixed(upper, lower, down[:, None, None]), 22)


def _mixed(first, second, part):
    return first * 2048 + (second - first) * part


def _between(old, new):
    """Of each of `new` pixels of a side: index of the old pixel before it and after it, and where it is, in 2048ths."""
    ratio = tf.cast(old, tf.float32) / tf.cast(new, tf.float32)
    places = tf.range(tf.cast(new, tf.float32)) * ratio + (0.5 * ratio - 0.5)
    places = tf.clip_by_value(places, 0.0, tf.cast(old - 1, tf.float32))
    first = tf.cast(places, tf.int32)
    part = tf.cast(tf.round((places - tf.cast(first, tf.float32)) * 2048), tf.int32)
    return first, tf.minimum(first + 1, old - 1), part


def _shifted(x, bits):
    """x / 2^bits in whole numbers, halves up."""
    return tf.bitwise.right_shift(x + 2 ** (bits - 1), bits)


def _rounded(x):
    """x in whole numbers, halves to even, with the gradient of x."""
    return x + tf.stop_gradient(tf.round(x) - x)


def limit(kernel, bias, input_step):
    """Largest magnitude of each output channel, or what keeps its bias within 2^30 steps where that is more.

    A bias is stored as an int32 in steps of the input's times the kernel's: a channel of tiny numbers would have none
    that fits, and the converter says nothing.
    """
    largest = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=[0, 1, 2]), 1e-20)
    if bias is not None:
        largest = tf.maximum(largest, tf.abs(bias) * (127 / 2**30 / input_step))
    return tf.stop_gradient(largest)
