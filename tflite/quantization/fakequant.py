"""A Keras network as int8 kernels compute it: each tensor rounded to 256 levels of its range, each kernel to 255.

One function, forward, serves for learning ranges, for simulating an int8 file (tests hold that to what LiteRT computes)
and for the converter, which takes the ranges of FakeQuant operations as they are. A tensor is called as the layer that
makes it; the pieces of a Contrast layer have the layer's name and their own after a dot.
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import Contrast, PixelShuffle, ResizeLike, Split
from keras_rfdn.tflite.quantization import graph, rewrite

# The kernels of these only move or choose among values: result and input have one scale and zero point.
MOVERS = (
    keras.layers.Concatenate,
    keras.layers.MaxPooling2D,
    keras.layers.UpSampling2D,
    PixelShuffle,
    ResizeLike,
    Split,
)
PIECES = ("mean", "square", "variance", "deviation")  # of a Contrast layer
PIXELS = (0.0, 255.0)
GATE = (0.0, 255 / 256)  # what the kernel of a sigmoid gives, whatever the values


def forward(model, x, quantize, convolve):
    """Output of model for x, computed with quantize(name, tensor) at each tensor that an int8 file stores, and with
    convolve(layer, x) for each convolution.

    model: without Rescaling layers (rewrite.fold_value_range). x: float32 grey levels [n, h, w, 3].
    """
    fused = {layer.name for layer in graph.convolutions(model) if has_fused_relu(layer)}

    def call(layer, inputs):
        if isinstance(layer, Contrast):
            return _contrast(layer.name, inputs, quantize)
        if isinstance(layer, Split):
            return layer(quantize(layer.name, inputs))
        result = convolve(layer, inputs) if isinstance(layer, keras.layers.Conv2D) else layer(inputs)
        return result if layer.name in fused else quantize(layer.name, result)

    return graph.walk(model, quantize(model.layers[0].name, x), call)


def has_fused_relu(layer):
    """Whether TFLite makes one operation of a convolution or addition and the ReLU after it."""
    return isinstance(graph.only_reader(layer), keras.layers.ReLU)


def _contrast(name, x, quantize):
    """Contrast's operations one by one. Its epsilon is for gradients and far below a step."""
    mean = quantize(f"{name}.mean", tf.reduce_mean(x, [1, 2], keepdims=True))
    square = quantize(f"{name}.square", tf.math.squared_difference(x, mean))
    variance = quantize(f"{name}.variance", tf.reduce_mean(square, [1, 2], keepdims=True))
    deviation = quantize(f"{name}.deviation", tf.sqrt(variance))
    return quantize(name, mean + deviation)


def moved(model):
    """Names of the layers whose values are all among their inputs': rounded again they stay what they are."""
    return {
        layer.name
        for layer in model.layers
        if isinstance(layer, MOVERS) and not isinstance(layer, ResizeLike | keras.layers.UpSampling2D)
    }


def plain(layer, x):
    """convolve of forward for float kernels."""
    return layer(x)


def shared(model):
    """{layer: the layer whose range it has}: of the layers that kernels want to have one scale."""
    leader = {layer.name: layer.name for layer in model.layers}

    def find(name):
        while leader[name] != name:
            name = leader[name]
        return name

    for layer in model.layers:
        if isinstance(layer, MOVERS):
            moved = graph.parents(layer)
            for parent in moved[:1] if isinstance(layer, ResizeLike) else moved:
                leader[find(parent.name)] = find(layer.name)
    return {name: find(name) for name in leader}


def fixed(model):
    """{leader: (low, high)} of ranges that are no matter of choice: pixels at both ends or copied, and the gates.

    A leader is what shared calls a tensor after whose range others go.
    """
    gates = {layer.name: GATE for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    leaders, ends = shared(model), (model.layers[0], model.layers[-1])
    pixels = [layer.name for layer in model.layers if layer in ends or layer.name == rewrite.PATCHES]
    return {**gates, **{leaders[name]: PIXELS for name in pixels}}


def quantized(model, ranges, steps):
    """Function x -> what an int8 file gives for it: float32 grey levels [n, h, w, 3] both, the output's clipped.

    ranges: {tensor: (low, high)}; steps: {convolution: its kernel's steps}, float32 [output channels]. What is in
    neither stays float.
    """

    def quantize(name, x):
        return tf.quantization.fake_quant_with_min_max_args(x, *ranges[name]) if name in ranges else x

    def convolve(layer, x):
        return convolved(layer, x, int8_kernel(layer, steps[layer.name])) if layer.name in steps else layer(x)

    return lambda x: forward(model, x, quantize, convolve)


def kernel_steps(kernel):
    """Steps that put the largest number of each output channel at 127 or -127: float32 [output channels].

    Channels that are all but zero get a larger step: the bias, whose step is a product with theirs, must fit an int32.
    """
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    return np.maximum(largest, 1e-4 * (largest.max() or 1)).astype(np.float32) / 127


def int8_kernel(layer, steps):
    """A convolution's kernel at 255 levels around zero, as far apart as steps says for each output channel."""
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        layer.kernel, -127 * steps, 127 * steps, narrow_range=True
    )


def convolved(layer, x, kernel):
    """What a convolution gives for x with another kernel."""
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper()), layer.bias)
