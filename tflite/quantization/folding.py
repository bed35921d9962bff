"""Folding: value ranges and residual additions become part of convolutions. The float output stays the same."""

import numpy as np
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.tflite.quantization import graph


def fold_value_range(model, config, *, height=None, width=None, batch=1):
    """Fold the two Rescaling layers of a network: 1/255 goes into the first convolution, 255 into the last.

    model: from models.build(config). height, width, batch: dimensions of the result's input, None for an open one. The
    result takes and gives the same float32 RGB 0..255 [n, h, w, 3]. A .tflite file made of it has no multiplications at
    its ends, and in int8 no requantization there.
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
    if not isinstance(layer, keras.layers.Add) or len(graph.parents(layer)) != 2:
        return None
    for conv, other in (graph.parents(layer), graph.parents(layer)[::-1]):
        if graph.keeps_size(conv) and graph.parents(conv) == [other] and graph.children(conv) == [layer]:
            return conv
    return None


def _with_identity(conv):
    kernel, bias = conv.get_weights()
    height, width, channels, _ = kernel.shape
    kernel[height // 2, width // 2] += np.eye(channels)
    return [kernel, bias]
