"""Lowering to int8 operations: a network with one Keras layer for each operation of its int8 .tflite file."""

import itertools
import re

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.layers import Contrast, Split
from keras_rfdn.tflite.quantization import graph

PIXELS = "pixels"  # the layer that quantizes the image
# Parts of names of folding's layers: a linear map of each pixel's channels; pixels beside a constant channel.
AFFINE, WITH_ONE = "affine", "with_one"


@keras.saving.register_keras_serializable("keras_rfdn")
class SquaredDifference(layers.Layer):
    """(x, y) -> (x - y)^2, one operation in TFLite."""

    def call(self, inputs):
        return tf.math.squared_difference(*inputs)


@keras.saving.register_keras_serializable("keras_rfdn")
class Sqrt(layers.Layer):
    """Square root, with gradient 0 at 0, to which int8 rounds small variances."""

    def call(self, inputs):
        return _sqrt(inputs)


@tf.custom_gradient
def _sqrt(x):
    root = tf.sqrt(x)
    return root, lambda upstream: tf.math.divide_no_nan(upstream, 2 * root)


@keras.saving.register_keras_serializable("keras_rfdn")
class Requantize(layers.Layer):
    """x itself, at another scale: of the image at the network's beginning, and of what a concatenation takes."""

    def call(self, inputs):
        return tf.identity(inputs)


@keras.saving.register_keras_serializable("keras_rfdn")
class Rsqrt(layers.Layer):
    """Reciprocal square root, at 0 a huge number with gradient 0: int8 rounds small numbers to 0."""

    def call(self, inputs):
        return _rsqrt(inputs)


@tf.custom_gradient
def _rsqrt(x):
    root = tf.math.rsqrt(tf.maximum(x, float(np.finfo(np.float32).tiny)))
    return root, lambda upstream: tf.math.divide_no_nan(-0.5 * upstream * root, x)


@keras.saving.register_keras_serializable("keras_rfdn")
class MirrorPad(layers.Layer):
    """x with its border mirrored, the outermost pixels included. padding: pixels on each side."""

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs):
        margin = [self.padding, self.padding]
        return tf.pad(inputs, [[0, 0], margin, margin, [0, 0]], "SYMMETRIC")

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable("keras_rfdn")
class PixelNorm(layers.Layer):
    """x over the root of the mean square of its channels: layer normalization of what is centred already."""

    def __init__(self, epsilon, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs):
        return inputs * tf.math.rsqrt(tf.reduce_mean(inputs**2, axis=-1, keepdims=True) + self.epsilon)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def lower_to_int8_ops(model: keras.Model) -> keras.Model:
    """A functional network -> the same float function, with a layer for each operation of the int8 file.

    model: without Rescaling layers (folding.fold_value_range), of an open or fixed size. The image is quantized by a
    layer of its own. What a concatenation reads and others read too is requantized for the concatenation. Contrast is
    written out, without its epsilon, which is far below a quantization step. Layers that Keras numbers get names that
    do not depend on what was built before: their first input's name, and their kind.
    """
    names = _stable_names(model)

    def call(layer, inputs):
        name = names[layer.name]
        if isinstance(layer, Contrast):
            return _contrast(inputs, name)
        if isinstance(layer, PixelNorm):
            return _pixel_norm(inputs, layer.epsilon, name)
        if graph.is_activation(layer, keras.activations.swish):
            gate = layers.Activation(keras.activations.sigmoid, name=f"{name}.sigmoid")(inputs)
            return layers.Multiply(name=name)([inputs, gate])
        if isinstance(layer, layers.PReLU):
            return _parametric_relu(inputs, layer.get_weights()[0], name)
        if isinstance(layer, layers.Concatenate) and len(set(graph.parents(layer))) > 1:
            inputs = [
                Requantize(name=f"{name}.in{i}")(x) if _is_read_elsewhere(parent) else x
                for i, (parent, x) in enumerate(zip(graph.parents(layer), inputs, strict=True))
            ]
        return graph.copy(layer, inputs, name=name)

    batch, *shape = model.input_shape
    lr = keras.Input(shape, batch, name=model.layers[0].name, dtype="float32")
    return keras.Model(lr, graph.walk(model, Requantize(name=PIXELS)(lr), call), name=model.name)


def _is_read_elsewhere(layer):
    """Whether others than concatenations read a layer's result: several of those make it at one scale for all."""
    others = [reader for reader in graph.children(layer) if not isinstance(reader, layers.Concatenate)]
    return isinstance(layer, layers.InputLayer | Split) or bool(others)


def _contrast(x, name):
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.mean")(x)
    square = SquaredDifference(name=f"{name}.square")([x, mean])
    variance = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.variance")(square)
    return layers.Add(name=name)([mean, Sqrt(name=f"{name}.deviation")(variance)])


def _pixel_norm(x, epsilon, name):
    square = layers.Multiply(name=f"{name}.square")([x, x])
    channels = x.shape[-1]
    mean = [np.full((1, 1, channels, 1), 1 / channels), np.array([epsilon])]
    variance = graph.with_weights(layers.Conv2D(1, 1, name=f"{name}.mean"), square, mean)
    return layers.Multiply(name=name)([x, Rsqrt(name=f"{name}.root")(variance)])


def _parametric_relu(x, slopes, name):
    """slope * x + (1 - slope) * relu(x), of operations that are fast in int8, as PRELU itself is not."""
    parts = []
    for part, factors, value in (("line", slopes, x), ("bend", 1 - slopes, layers.ReLU(name=f"{name}.relu")(x))):
        scale = layers.DepthwiseConv2D(1, name=f"{name}.{part}")
        parts.append(graph.with_weights(scale, value, [factors.reshape(1, 1, -1, 1), np.zeros(factors.size)]))
    return layers.Add(name=name)(parts)


def _stable_names(model):
    """{layer: its name, or for a layer that Keras named by its kind and a number "first input.kind"}.

    A convolution that Keras named is called by its kind and its place among those.
    """
    names = {model.layers[0].name: model.layers[0].name}
    for layer in model.layers[1:]:
        kind, name = _snake_case(type(layer).__name__), layer.name
        if re.fullmatch(rf"{kind}(_\d+)?", name):
            stem = kind if layer.weights else f"{names[graph.parents(layer)[0].name]}.{kind}"
            taken = set(names.values())
            name = next(
                n for n in itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(2))) if n not in taken
            )
        names[layer.name] = name
    return names


def _snake_case(name):
    """LeakyReLU -> leaky_re_lu, as Keras does."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
