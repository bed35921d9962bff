"""Im2col long skip: the skip around all blocks is taken from the image's own pixels, which int8 holds exactly.

RFDN adds its first convolution's output to its last features: last(deep + first(x)). That sum shares one scale in int8
and loses more than any other tensor. Here im2col lays the pixels that the first convolution reads side by side as
channels, and one wider last convolution reads both: wider_last(concat(deep, im2col(x))). The float output is the same,
up to the border: a constant channel stands for the first convolution's bias, and is zero beyond the border as that
convolution's padded output is.
"""

import numpy as np
import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite.quantization import graph

IM2COL, CONCAT = "im2col", "im2col.concat"  # names of the layers that im2col_skip adds
BIAS_CHANNEL = 255.0  # value of the constant channel: then it has the range of pixels
MARGIN = 0.05  # of what a channel was seen to span, for values that were not seen


def has_long_skip(model):
    """Whether a network adds its first convolution's output to a later one's, before its last convolutions."""
    return _long_skip(model) is not None


def im2col_skip(model):
    """Replace the long skip by an im2col of the image. The result has new layers and the same float output.

    It has 3 % more multiply-adds (E-RFDN). Raises UserError for a model without such a skip.
    """
    skip = _long_skip(model)
    if skip is None:
        raise UserError("this network does not add its first convolution's output to a later one, so has no long skip")
    first, deep, total, last = skip
    kernel, bias = last.get_weights()
    wider = np.concatenate([kernel, _compose_kernels(first, kernel)], axis=2)
    im2col = _im2col_weights(first)
    x = []

    def call(layer, inputs):
        if layer is first:
            x.append(inputs)
        if layer is total:
            patches = graph.copy(first, x[0], im2col, name=IM2COL, filters=len(im2col[1]))
            return keras.layers.Concatenate(name=CONCAT)([inputs[graph.parents(total).index(deep)], patches])
        return graph.copy(layer, inputs, [wider, bias] if layer is last else None)

    return graph.rebuild(model, call)


def rescale_to_uint8_range(model, statistics):
    """Scale and shift the deep channels beside the im2col so that each spans 0..255, the range of pixels.

    All channels of that concatenation have one int8 scale, that of pixels. The last convolution takes factor and shift
    back: the shift by the constant channel, so that it is right at the border too. model: lowered, from im2col_skip;
    its weights change in place. statistics: collect_statistics of it.
    """
    concat = model.get_layer(CONCAT)
    deep, (last,) = graph.parents(concat)[0], graph.children(concat)
    low, high = statistics[deep.name].low, statistics[deep.name].high
    span = (high - low).clip(1e-3 * (high - low).max())
    factors = BIAS_CHANNEL / ((1 + MARGIN) * span)
    shifts = BIAS_CHANNEL / 2 - factors * (low + high) / 2

    kernel, bias = graph.kernel_of(deep)
    deep.set_weights(graph.weights_of(deep, kernel * factors, bias * factors + shifts))
    kernel, bias = last.get_weights()
    kernel[:, :, : len(factors)] /= factors[:, None]
    kernel[:, :, -1] -= np.einsum("hwco,c->hwo", kernel[:, :, : len(factors)], shifts) / BIAS_CHANNEL
    last.set_weights([kernel, bias])


def _long_skip(model):
    """(first convolution, another whose output is added to its, their sum, convolution after the sum), or None."""
    for total in model.layers:
        if not isinstance(total, keras.layers.Add) or not all(map(graph.keeps_size, graph.parents(total))):
            continue
        if len(graph.parents(total)) != 2:
            continue
        parents, children = graph.parents(total), graph.children(total)
        first = [p for p in parents if graph.parents(p) == [model.layers[0]] and _is_dense(p)]
        deep = [p for p in parents if p not in first and graph.children(p) == [total]]
        if len(first) == len(deep) == 1 and len(children) == 1 and _is_dense(children[0]):
            return *first, *deep, total, *children
    return None


def _is_dense(layer):
    return graph.keeps_size(layer) and type(layer) is keras.layers.Conv2D and layer.groups == 1


def _im2col_weights(conv):
    """[kernel, bias] of a convolution that copies each number that conv reads into a channel; the last is constant."""
    height, width, channels, _ = conv.kernel.shape
    taps = height * width * channels
    kernel = np.eye(taps, taps + 1).reshape(height, width, channels, taps + 1)
    return [kernel, BIAS_CHANNEL * np.eye(taps + 1)[-1]]


def _compose_kernels(first, outer):
    """The kernel that gives from first's im2col what the kernel outer gives from first's output."""
    kernel, bias = first.get_weights()
    rows = np.concatenate([kernel.reshape(-1, kernel.shape[-1]), bias[None] / BIAS_CHANNEL])
    return np.einsum("tm,hwmo->hwto", rows, outer)
