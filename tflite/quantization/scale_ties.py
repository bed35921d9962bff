"""Scale ties: channels whose int8 scale others decide get one of their own. The float output stays the same.

A tensor has one scale in int8. Equalization brings channels to one size where it may, but an activation wants what it
takes as it is, and a concatenation, a sum or a product holds its inputs to one scale.
"""

import numpy as np
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.layers import Split
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.equalization import FIXED, ChannelGroups, keeps_values, noise_by_tensor
from keras_rfdn.tflite.quantization.int8_ops import PIXELS, Requantize
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.tensor_statistics import TensorStatistics

WORTHWHILE = 0.05  # share of a network's noise that parting an activation must spare, and half of its own


def free_channels(model: keras.Model) -> keras.Model:
    """Depthwise 1x1 convolutions where channels could have no factor of their own, for equalize to give them one.

    An activation wants its input as it is, and so holds all that meets it in a sum or reads it too to one scale: it
    reads a copy. A concatenation has one scale, whatever the sizes of its inputs: those that an activation or a sum
    fixed become copies. model: lowered. The float output stays the same; the result has new layers.
    """
    return _free_concatenated(_free_activations(model))


def _free_activations(model):
    def call(layer, inputs):
        if isinstance(layer, layers.Activation):
            (parent,) = graph.parents(layer)
            if isinstance(parent, layers.Add | layers.Subtract) or len(graph.children(parent)) > 1:
                inputs = _copy(f"{layer.name}.free", inputs)
        return graph.copy(layer, inputs)

    return graph.rebuild(model, call)


def _free_concatenated(model):
    groups = ChannelGroups.of(model)

    def is_tied(layer):
        kept = isinstance(layer, Split | layers.InputLayer | layers.Concatenate) or keeps_values(layer)
        pixels = layer.name == PIXELS or (isinstance(layer, Requantize) and graph.parents(layer)[0].name == PIXELS)
        return not kept and not pixels and bool((groups.outputs.get(layer.name, np.ones(1)) == FIXED).all())

    def call(layer, inputs):
        if (
            isinstance(layer, Requantize)
            and is_tied(layer)
            and isinstance(graph.only_reader(layer), layers.Concatenate)
        ):
            return _copy(layer.name, inputs)
        if isinstance(layer, layers.Concatenate):
            inputs = [
                _copy(f"{layer.name}.free{i}", x) if is_tied(parent) and not isinstance(parent, Requantize) else x
                for i, (parent, x) in enumerate(zip(graph.parents(layer), inputs, strict=True))
            ]
        return graph.copy(layer, inputs)

    return graph.rebuild(model, call)


def _copy(name, x):
    """x by a depthwise 1x1 convolution."""
    channels = x.shape[-1]
    return graph.with_weights(
        layers.DepthwiseConv2D(1, name=name), x, [np.ones((1, 1, channels, 1)), np.zeros(channels)]
    )


def part_activations(model: keras.Model, scheme: Scheme, statistics: dict[str, TensorStatistics]) -> keras.Model | None:
    """Compute large and small channels of an activation apart, where one scale for both costs much; None: nowhere.

    What a GELU gives has the scale that it has, whatever follows: in LKDN x4 four channels reach 1.2 and 52 stay within
    0.2, and one step for all makes three quarters of the network's noise. model: lowered; the result has new layers.
    """
    noise = noise_by_tensor(scheme, statistics)
    parts = {}
    for layer in model.layers:
        if _can_be_parted(layer, scheme):
            first, second, left = _best_parts(statistics[layer.name])
            spared = noise[layer.name] - left
            if spared > max(noise[layer.name] / 2, WORTHWHILE * sum(noise.values())):
                parts[layer.name] = first, second
    if not parts:
        return None

    def call(layer, inputs):
        if getattr(graph.only_reader(layer), "name", None) in parts:
            kernel, bias = layer.get_weights()
            return tuple(
                graph.copy(
                    layer, inputs, [kernel[..., part], bias[part]], filters=len(part), name=f"{layer.name}.part{i}"
                )
                for i, part in enumerate(parts[graph.only_reader(layer).name])
            )
        if layer.name in parts:
            found = [graph.copy(layer, x, name=f"{layer.name}.part{i}") for i, x in enumerate(inputs)]
            copies = [_copy(f"{layer.name}.free{i}", x) for i, x in enumerate(found)]
            return layers.Concatenate(name=layer.name)(copies)
        parted = [parent.name for parent in graph.parents(layer) if parent.name in parts]
        if parted:
            kernel, bias = layer.get_weights()
            return graph.copy(layer, inputs, [kernel[:, :, np.concatenate(parts[parted[0]])], bias])
        return graph.copy(layer, inputs)

    return graph.rebuild(model, call)


def _can_be_parted(layer, scheme):
    """Whether one convolution makes what an activation takes, and convolutions alone read what it gives."""

    def is_dense(other):
        return type(other) is layers.Conv2D and other.groups == 1

    if not isinstance(layer, layers.Activation) or scheme.leaders[layer.name] in scheme.fixed:
        return False
    (parent,) = graph.parents(layer)
    return is_dense(parent) and len(graph.children(parent)) == 1 and all(map(is_dense, graph.children(layer)))


def _best_parts(tensor):
    """(channels of one part, of the other, noise of both with a scale each)."""
    low, high = np.minimum(tensor.low, 0), np.maximum(tensor.high, 0)
    order = np.argsort(low - high)  # the widest first

    def noise(channels):
        step = (high[channels].max() - low[channels].min()) / 255
        return step**2 / 12 * tensor.sensitivity[channels].sum()

    cuts = range(1, len(order))
    cut = min(cuts, key=lambda i: noise(order[:i]) + noise(order[i:]), default=0)
    first, second = order[:cut], order[cut:]
    return first, second, noise(first) + noise(second) if cut else np.inf
