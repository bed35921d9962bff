"""Exact graph rewrites before conversion, each a function from model to model with the same float output."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn import models
from keras_rfdn.layers import Contrast, PixelShuffle
from tflite import graph

WHITE = 255.0  # so that a constant channel has the range of pixels
PATCHES, LONG_SKIP = "patches", "long_skip"  # layers that unroll_skip adds


def fold_value_range(model, config, *, height=None, width=None, batch=1):
    """model without its two Rescaling layers: 1/255 goes into the first convolution, 255 into the last.

    model: from models.build(config). height, width, batch: dimensions of the result's input. The result takes and
    gives the same float32 RGB 0..255; a TFLite file made of it has no multiplications at its ends, and in int8 no
    requantization there.
    """
    lr = keras.Input((height, width, 3), batch, name="lr", dtype="float32")
    folded = keras.Model(lr, models.network(lr, config), name=model.name)
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    first, *_, last = (layer for layer in folded.layers if layer.weights)
    kernel, bias = first.get_weights()
    first.set_weights([kernel / 255, bias])
    last.set_weights([weight * 255 for weight in last.get_weights()])
    return folded


def for_int16(model):
    """model, for one image at a time (batch 1), of operations that TFLite has in int16: the same function of it.

    PixelShuffle becomes reshape, transpose, reshape, which is equal to the bit; the standard deviation in CCA is made
    of a product and a reciprocal root, which is equal to float rounding. Raises ValueError for another batch.
    """
    if model.input_shape[0] != 1:
        raise ValueError(f"needs a model of batch 1, got input {model.input_shape}; build it with batch=1")

    def rewritten(layer):
        return INT16.get(type(layer), type(layer)).from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=rewritten)
    result.set_weights(model.get_weights())
    return result


class TransposedShuffle(PixelShuffle):
    """PixelShuffle of one image without DEPTH_TO_SPACE, by tensors of rank 4.

    Of channel (i * scale + j) * c + k, i goes to the row, j to the column.
    """

    def call(self, inputs):
        scale, (height, width) = self.scale, _size(inputs)
        inner = inputs.shape[-1] // scale  # j and k, which stay together
        x = tf.reshape(inputs, [height, width, scale, inner])
        x = tf.transpose(x, [0, 2, 1, 3])  # [h, i, w, j and k]
        return tf.reshape(x, [1, height * scale, width * scale, inner // scale])


class ProductContrast(Contrast):
    """Contrast without SQUARED_DIFFERENCE and SQRT."""

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(centred * centred, [1, 2], keepdims=True) + self.EPSILON
        return tf.cast(mean + variance * tf.math.rsqrt(variance), self.compute_dtype)


INT16 = {PixelShuffle: TransposedShuffle, Contrast: ProductContrast}


def _size(x):
    """Height and width of [n, h, w, c], each a number where it is fixed, else a scalar tensor."""
    return [fixed or tf.shape(x)[axis] for axis, fixed in zip((1, 2), x.shape[1:3], strict=True)]


def fold_residuals(model):
    """model with every sum conv(x) + x, as in an SRB, made one convolution: a kernel larger by 1 where a channel meets
    itself in the centre.

    An int8 file then rounds once where it rounded twice, has an operation less, and x and conv(x) may have any scales
    (tflite/equalization.py makes use of that). The result has fresh layers.
    """
    convs = {layer.name: conv for layer in model.layers if (conv := _residual(layer)) is not None}
    folded = {conv.name for conv in convs.values()}

    def call(layer, inputs):
        if layer.name in convs:
            return inputs[graph.parents(layer).index(convs[layer.name])]
        return graph.copied(layer, inputs, _with_identity(layer) if layer.name in folded else None)

    return graph.rebuilt(model, call)


def unroll_skip(model):
    """model whose long skip, from the first convolution to before the last, is a convolution of the image itself.

    last(deep + first(x)) = last(deep) + long_skip(patches(x)): patches lays the pixels that the first convolution reads
    side by side as channels, and white for its bias, so that beyond the border there is zero where that convolution's
    output was padded by zero. In int8, patches are pixels exactly, where the first convolution's output is rounded and
    shares a scale with deep. Raises ValueError for a model without such a skip.
    """
    skip = _long_skip(model)
    if skip is None:
        raise ValueError(
            "--exact_skip is for networks that add their first convolution's output to a later one, as RFDN does; "
            "this one does not, so leave it out"
        )
    first, total, last = skip
    (deep,) = (i for i, parent in enumerate(graph.parents(total)) if parent is not first)
    patches_kernel, long_kernel = _patches_of(first), _through(first, last)
    filters = patches_kernel[0].shape[-1]
    x = []

    def call(layer, inputs):
        if layer is first:
            x.append(inputs)
        if layer is total:
            return inputs[deep]
        result = graph.copied(layer, inputs)
        if layer is not last:
            return result
        patches = _conv(x[0], filters, patches_kernel, first.kernel_size, PATCHES)
        return keras.layers.Add()([result, _conv(patches, last.filters, long_kernel, last.kernel_size, LONG_SKIP)])

    return graph.rebuilt(model, call)


def _long_skip(model):
    """(first convolution, sum that adds its output to another tensor, convolution after the sum), or None."""
    for total in model.layers:
        parents, children = graph.parents(total), graph.children(total)
        found = [p for p in parents if _keeps_size(p) and graph.parents(p) == [model.layers[0]]]
        is_sum = isinstance(total, keras.layers.Add) and len(parents) == 2 and len(found) == 1
        if is_sum and len(children) == 1 and _keeps_size(children[0]):
            return *found, total, *children
    return None


def _conv(x, filters, weights, kernel_size, name):
    layer = keras.layers.Conv2D(filters, kernel_size, padding="same", name=name)
    result = layer(x)
    layer.set_weights(weights)
    return result


def _patches_of(conv):
    """[kernel, bias] of a convolution that copies each number that conv reads into a channel; the last is WHITE."""
    height, width, channels, _ = conv.kernel.shape
    taps = height * width * channels
    kernel = np.eye(taps, taps + 1).reshape(height, width, channels, taps + 1)
    return [kernel, WHITE * np.eye(taps + 1)[-1]]


def _through(first, last):
    """[kernel, bias] that give from _patches_of(first) what last, without its bias, gives from first."""
    kernel, bias = first.get_weights()
    outer = last.get_weights()[0]
    rows = np.concatenate([kernel.reshape(-1, kernel.shape[-1]), bias[None] / WHITE])
    return [np.einsum("tm,hwmo->hwto", rows, outer), np.zeros(outer.shape[-1])]


def _residual(layer):
    """The convolution that an Add layer adds to its own input; None when the layer is something else."""
    if not isinstance(layer, keras.layers.Add) or len(graph.parents(layer)) != 2:
        return None
    for conv, other in (graph.parents(layer), graph.parents(layer)[::-1]):
        if _keeps_size(conv) and graph.parents(conv) == [other] and graph.children(conv) == [layer]:
            return conv
    return None


def _keeps_size(layer):
    return isinstance(layer, keras.layers.Conv2D) and layer.strides == (1, 1) and layer.padding == "same"


def _with_identity(conv):
    kernel, bias = conv.get_weights()
    height, width, channels, _ = kernel.shape
    kernel[height // 2, width // 2] += np.eye(channels)
    return [kernel, bias]
