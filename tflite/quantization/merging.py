"""Merging: linear layers and residual additions become part of the convolution before them, the float output stays."""

import numpy as np
from tf_keras import layers

from keras_rfdn.networks.layers import PixelShuffle
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.int8_ops import AFFINE

IMAGE_CHANNELS = 12  # of few channels a whole kernel costs no more than a pointwise and a depthwise one


def merge_affine(model):
    """Convolutions take in the linear maps behind them that nothing else shares the input of."""
    maps, merged = {}, set()  # {convolution: (matrix, offset, copies)}, layers of such maps
    for layer in model.layers:
        if AFFINE not in layer.name:
            continue
        matrix, offset = layer.get_weights()
        matrix = np.diag(matrix[0, 0, :, 0]) if isinstance(layer, layers.DepthwiseConv2D) else matrix[0, 0]
        conv, copies = _convolution_before(layer)
        if conv is None:
            continue
        if (isinstance(conv, layers.DepthwiseConv2D) or conv.groups > 1) and not is_diagonal(matrix):
            continue
        merged.add(layer.name)
        maps[conv.name] = float64(matrix), float64(offset), copies

    def call(layer, inputs):
        if layer.name in merged:
            return inputs
        if layer.name not in maps:
            return graph.copy(layer, inputs)
        (matrix, offset, copies), (kernel, bias) = maps[layer.name], map(float64, layer.get_weights())
        if isinstance(layer, layers.DepthwiseConv2D):
            return graph.copy(layer, inputs, [kernel * np.diag(matrix)[:, None], bias * np.diag(matrix) + offset])
        kernel = kernel.reshape(*kernel.shape[:3], copies, -1) @ matrix
        bias = bias.reshape(copies, -1) @ matrix + offset
        weights = [kernel.reshape(*kernel.shape[:3], -1), bias.ravel()]
        return graph.copy(layer, inputs, weights, filters=bias.size)

    return graph.rebuild(model, call)


def _convolution_before(layer):
    """(the convolution whose results, pixels shuffled or not, a layer alone takes, how often it holds each channel)."""
    copies = 1
    while True:
        (before,) = graph.parents(layer)
        if graph.only_reader(before) is not layer:
            return None, 1
        if isinstance(before, layers.Conv2D | layers.DepthwiseConv2D):
            return before, copies
        if type(before) is not PixelShuffle:
            return None, 1
        layer, copies = before, copies * before.scale**2


def merge_separable(model):
    """A pointwise convolution of an image and the depthwise one behind it become one: as fast, and rounded once."""
    pairs = {}
    for layer in model.layers:
        if not isinstance(layer, layers.DepthwiseConv2D) or layer.depth_multiplier > 1:
            continue
        (before,) = graph.parents(layer)
        if (
            type(before) is layers.Conv2D
            and before.kernel_size == before.strides == (1, 1)
            and before.groups == 1
            and graph.only_reader(before) is layer
            and before.input_shape[-1] <= IMAGE_CHANNELS
            and not before.get_weights()[1].any()
        ):
            pairs[layer.name] = before

    skipped = {before.name for before in pairs.values()}

    def call(layer, inputs):
        if layer.name in skipped:
            return inputs
        if layer.name not in pairs:
            return graph.copy(layer, inputs)
        before = pairs[layer.name]
        kernel, bias = layer.get_weights()
        kernel = kernel[:, :, None, :, 0] * before.get_weights()[0]
        conv = layers.Conv2D(
            before.filters,
            layer.kernel_size,
            layer.strides,
            layer.padding,
            dilation_rate=layer.dilation_rate,
            name=layer.name,
        )
        return graph.with_weights(conv, inputs, [kernel, bias])

    return graph.rebuild(model, call) if pairs else model


def fold_residuals(model):
    """Fold every conv(x) + x, as in an SRB, into one convolution: 1 is added where a channel meets itself.

    An int8 file then rounds once where it rounded twice, has one operation less, and x and conv(x) may have any scales,
    which equalization makes use of. The result has new layers.
    """
    convs = {layer.name: conv for layer in model.layers if (conv := _residual_conv(layer)) is not None}
    folded = {conv.name for conv in convs.values()}

    def call(layer, inputs):
        if layer.name in convs:
            return inputs[graph.parents(layer).index(convs[layer.name])]
        return graph.copy(layer, inputs, _with_identity(layer) if layer.name in folded else None)

    return graph.rebuild(model, call)


def _residual_conv(layer):
    """The convolution that an Add layer adds to its own input; None when the layer is something else."""
    if not isinstance(layer, layers.Add) or len(graph.parents(layer)) != 2:
        return None
    for conv, other in (graph.parents(layer), graph.parents(layer)[::-1]):
        if _can_hold_identity(conv) and graph.parents(conv) == [other] and graph.children(conv) == [layer]:
            return conv
    return None


def _can_hold_identity(layer):
    """Whether a layer is a convolution that could give its input back, pixel by pixel."""
    sizes = getattr(layer, "kernel_size", (0,))
    return graph.keeps_size(layer) and all(size % 2 for size in sizes)


def _with_identity(conv):
    kernel, bias = graph.kernel_of(conv)
    height, width, inputs, outputs = kernel.shape
    kernel[height // 2, width // 2, np.arange(outputs) % inputs, np.arange(outputs)] += 1
    return graph.weights_of(conv, kernel, bias)


def is_diagonal(matrix):
    return matrix.shape[0] == matrix.shape[1] and (matrix == np.diag(np.diag(matrix))).all()


def float64(values):
    """The same numbers in double precision, which products of weights are taken in."""
    return np.asarray(values, np.float64)
