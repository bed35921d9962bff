"""Exact graph rewrites before conversion, each a function from model to model with the same float output."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.layers import Contrast, PixelShuffle, ResizeLike
from keras_rfdn.tflite.quantization import graph

WHITE = 255.0  # so that a constant channel has the range of pixels
PATCHES, JOINED = "patches", "joined"  # layers that unroll_skip adds
MARGIN = 0.05  # of what a channel was seen to span, for what was not seen


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
    of a product and a reciprocal root, which is equal to float rounding. Raises UserError for another batch.
    """
    if model.input_shape[0] != 1:
        raise UserError(f"needs a model of batch 1, got input {model.input_shape}; build it with batch=1")

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
    (tflite/quantization/equalization.py makes use of that). The result has fresh layers.
    """
    convs = {layer.name: conv for layer in model.layers if (conv := _residual(layer)) is not None}
    folded = {conv.name for conv in convs.values()}

    def call(layer, inputs):
        if layer.name in convs:
            return inputs[graph.parents(layer).index(convs[layer.name])]
        return graph.copied(layer, inputs, _with_identity(layer) if layer.name in folded else None)

    return graph.rebuilt(model, call)


def unroll_skip(model):
    """model whose long skip, from the first convolution to before the last, is taken from the image itself.

    last(deep + first(x)) = wider_last(deep beside patches(x)): patches lays the pixels that the first convolution reads
    side by side as channels, and white for its bias, so that beyond the border there is zero where that convolution's
    output was padded by zero. In int8, patches are pixels exactly, where the first convolution's output is rounded and
    shares a scale with deep, and what comes of both is one sum of whole numbers. Raises UserError for a model without
    such a skip.
    """
    skip = _long_skip(model)
    if skip is None:
        raise UserError(
            "--exact_skip is for networks that add their first convolution's output to a later one, as RFDN does; "
            "this one does not, so leave it out"
        )
    first, deep, total, last = skip
    kernel, bias = last.get_weights()
    wider = np.concatenate([kernel, _through(first, kernel)], axis=2)
    patches_kernel = _patches_of(first)
    x = []

    def call(layer, inputs):
        if layer is first:
            x.append(inputs)
        if layer is total:
            filters = len(patches_kernel[1])
            patches = graph.copied(first, x[0], patches_kernel, name=PATCHES, filters=filters)
            return keras.layers.Concatenate(name=JOINED)([inputs[graph.parents(total).index(deep)], patches])
        return graph.copied(layer, inputs, [wider, bias] if layer is last else None)

    return graph.rebuilt(model, call)


def fill_pixels(model, seen):
    """model from unroll_skip whose channels beside the patches fill the range that pixels have, 0 to 255.

    In int8 all of them have one scale, that of pixels. Each channel beside them gets a factor and an offset to span
    nearly that range, which the convolution after it takes back: the offset by the channel of white, so that it is
    right at the border too. seen: what ranges.observe saw of model.
    """
    joined = model.get_layer(JOINED)
    deep, (last,) = graph.parents(joined)[0], graph.children(joined)
    low, high = seen[deep.name].low, seen[deep.name].high
    span = (high - low).clip(1e-3 * (high - low).max())
    factors = WHITE / ((1 + MARGIN) * span)
    offsets = WHITE / 2 - factors * (low + high) / 2

    kernel, bias = deep.get_weights()
    weights = {deep.name: [kernel * factors, bias * factors + offsets]}
    kernel, bias = last.get_weights()
    kernel[:, :, : len(factors)] /= factors[:, None]
    kernel[:, :, -1] -= np.einsum("hwco,c->hwo", kernel[:, :, : len(factors)], offsets) / WHITE
    weights[last.name] = [kernel, bias]
    return graph.rebuilt(model, lambda layer, inputs: graph.copied(layer, inputs, weights.get(layer.name)))


def part_leaky(model, names):
    """model whose LeakyReLUs behind the convolutions called names are made of two ReLUs: of x, and of -x.

    leaky(x) = relu(x) - slope relu(-x), as in Shang et al. 2016 (arXiv 1603.05201): the convolution gives x beside -x,
    and what reads the LeakyReLU does the rest by a kernel of twice the channels. In int8 two roundings, of x and of
    leaky(x), become one, of a range without negative values: a ReLU is part of the convolution. Raises UserError for a
    name that is no convolution's, or one whose LeakyReLU is read by anything but convolutions.
    """
    parted = {}  # {layer: slope}
    for name in names:
        (leaky,) = graph.children(_convolution(model, name))
        if not all(isinstance(reader, keras.layers.Conv2D) for reader in graph.children(leaky)):
            raise UserError(f"--twice can't part the LeakyReLU behind {name}: not only convolutions read it")
        parted[leaky.name] = float(leaky.alpha)

    def call(layer, inputs):
        if layer.name in parted:
            return keras.layers.ReLU()(inputs)
        if not isinstance(layer, keras.layers.Conv2D):
            return graph.copied(layer, inputs)
        (kernel, bias), filters = layer.get_weights(), layer.filters
        if (parent := graph.parents(layer)[0].name) in parted:
            kernel = np.concatenate([kernel, -parted[parent] * kernel], axis=2)
        if layer.name in names:
            kernel, bias, filters = np.concatenate([kernel, -kernel], axis=-1), np.append(bias, -bias), 2 * filters
        return graph.copied(layer, inputs, [kernel, bias], filters=filters)

    return graph.rebuilt(model, call)


def leaky_behind(model, names):
    """Those of names, convolutions of model, whose results a LeakyReLU and nothing else reads."""
    readers = {name: graph.only_reader(_convolution(model, name)) for name in names}
    return tuple(name for name, reader in readers.items() if isinstance(reader, keras.layers.LeakyReLU))


def store_twice(model, names, steps=None):
    """model with the results of the convolutions called names stored twice, half a step apart, where all else is int8.

    What reads them takes the mean of both, by a kernel of twice the channels: the same in float, and in int8 half the
    rounding error, for a value that is a quarter of a step off in one copy is so in the other with another sign. A gate
    that multiplies them is made twice too. steps: {name: step of the result}; without it both copies are equal. Raises
    ValueError for a name that is no convolution's, and for one whose result meets more than gates and concatenations
    on its way to other convolutions.
    """
    gates = {gate.name for name in names for gate in _gates(_convolution(model, name), name)}
    origins = {}  # of layers with more channels than in model: which of its channels each was

    def call(layer, inputs):
        taken = [origins.get(parent.name) for parent in graph.parents(layer)]
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            if taken[0] is not None:
                kernel = kernel[:, :, taken[0]] / np.bincount(taken[0])[taken[0]][:, None]
            if layer.name not in gates.union(names):
                return graph.copied(layer, inputs, [kernel, bias])
            shift = steps[layer.name] / 4 if steps and layer.name in names else 0
            origins[layer.name] = np.tile(np.arange(layer.filters), 2)
            weights = [np.tile(kernel, 2), np.concatenate([bias + shift, bias - shift])]
            return graph.copied(layer, inputs, weights, filters=2 * layer.filters)
        if isinstance(layer, keras.layers.Concatenate) and any(origin is not None for origin in taken):
            origins[layer.name] = _joined(layer, taken)
        elif taken and taken[0] is not None:
            origins[layer.name] = taken[0]
        return graph.copied(layer, inputs)

    return graph.rebuilt(model, call)


def _convolution(model, name):
    convs = {conv.name: conv for conv in graph.convolutions(model)}
    if name not in convs:
        raise UserError(f"--twice needs names of convolutions, got {name!r}; this network has {', '.join(convs)}")
    return convs[name]


def _gates(layer, name):
    """The convolutions behind the gates that multiply what a layer gives, at any distance from it. name: for errors."""
    found = []
    for reader in graph.children(layer):
        reads_size = isinstance(reader, ResizeLike) and graph.parents(reader)[0] is not layer
        if reads_size or isinstance(reader, keras.layers.Conv2D):
            continue
        if not isinstance(reader, keras.layers.Multiply | keras.layers.Concatenate | Contrast):
            raise UserError(f"--twice can't store {name} twice: {reader.name} reads it; choose another, as a c5")
        if isinstance(reader, keras.layers.Multiply):
            found.append(graph.parents(graph.parents(reader)[1])[0])
        found.extend(_gates(reader, name))
    return found


def _joined(layer, taken):
    """Which of a concatenation's channels each was, from the same of its inputs: None where they are as they were."""
    widths = [tensor.shape[-1] for tensor in layer.input]
    parts = [np.arange(width) if origin is None else origin for origin, width in zip(taken, widths, strict=True)]
    return np.concatenate([part + sum(widths[:i]) for i, part in enumerate(parts)])


def _long_skip(model):
    """(first convolution, another whose output is added to its, their sum, convolution after the sum), or None."""
    for total in model.layers:
        if not isinstance(total, keras.layers.Add) or not all(map(_keeps_size, graph.parents(total))):
            continue
        parents, children = graph.parents(total), graph.children(total)
        first = [p for p in parents if graph.parents(p) == [model.layers[0]]]
        deep = [p for p in parents if p not in first and graph.children(p) == [total]]
        if len(first) == len(deep) == 1 and len(children) == 1 and _keeps_size(children[0]):
            return *first, *deep, total, *children
    return None


def _patches_of(conv):
    """[kernel, bias] of a convolution that copies each number that conv reads into a channel; the last is WHITE."""
    height, width, channels, _ = conv.kernel.shape
    taps = height * width * channels
    kernel = np.eye(taps, taps + 1).reshape(height, width, channels, taps + 1)
    return [kernel, WHITE * np.eye(taps + 1)[-1]]


def _through(first, outer):
    """The kernel that gives from _patches_of(first) what the kernel outer gives from first."""
    kernel, bias = first.get_weights()
    rows = np.concatenate([kernel.reshape(-1, kernel.shape[-1]), bias[None] / WHITE])
    return np.einsum("tm,hwmo->hwto", rows, outer)


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
