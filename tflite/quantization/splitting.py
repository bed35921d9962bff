"""Channel splitting: results that int8 stores twice, so that their rounding errors halve. Exact in float.

Zhao et al., "Improving Neural Network Quantization without Retraining using Outlier Channel Splitting" (ICML 2019),
here for precision, not for outliers: both copies hold the same value, half a quantization step apart.
"""

import numpy as np
import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import Contrast, ResizeLike
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.scheme import output_tensor


def leaky_relu_to_crelu(model, names):
    """Concatenated ReLU in place of the LeakyReLU behind each convolution called: relu(x) beside relu(-x).

    leaky(x) = relu(x) - slope * relu(-x), as in Shang et al. 2016 (arXiv 1603.05201). The convolution gives x and -x,
    and what reads the LeakyReLU does the rest by a kernel of twice the channels. Two int8 roundings, of x and of
    leaky(x), become one: a ReLU is part of the convolution. The result has new layers. Raises UserError for a name that
    is no convolution's, or one whose LeakyReLU is read by anything but convolutions.
    """
    slopes = {}  # of the LeakyReLUs that are replaced
    for name in names:
        (leaky,) = graph.children(_convolution(model, name))
        if not all(isinstance(reader, keras.layers.Conv2D) for reader in graph.children(leaky)):
            raise UserError(f"the LeakyReLU behind {name} cannot become a CReLU: not only convolutions read it")
        slopes[leaky.name] = _slopes(leaky)

    def call(layer, inputs):
        if layer.name in slopes:
            return keras.layers.ReLU()(inputs)
        if not isinstance(layer, keras.layers.Conv2D):
            return graph.copy(layer, inputs)
        (kernel, bias), filters = layer.get_weights(), layer.filters
        if (parent := graph.parents(layer)[0].name) in slopes:
            kernel = np.concatenate([kernel, -slopes[parent][:, None] * kernel], axis=2)
        if layer.name in names:
            kernel, bias, filters = np.concatenate([kernel, -kernel], axis=-1), np.append(bias, -bias), 2 * filters
        return graph.copy(layer, inputs, [kernel, bias], filters=filters)

    return graph.rebuild(model, call)


def _slopes(leaky):
    """Slope of each channel, float32, of a LeakyReLU or PReLU."""
    if isinstance(leaky, keras.layers.PReLU):
        return leaky.get_weights()[0].ravel()
    return np.full(leaky.output_shape[-1], leaky.alpha, np.float32)


def followed_by_prelu(model):
    """The convolutions whose results a PReLU alone reads, and its result other convolutions alone."""

    def is_plain(layer):
        return type(layer) is keras.layers.Conv2D and layer.groups == 1

    return tuple(
        conv.name
        for conv in graph.convolutions(model)
        if is_plain(conv)
        and isinstance(prelu := graph.only_reader(conv), keras.layers.PReLU)
        and all(map(is_plain, graph.children(prelu)))
    )


def followed_by_leaky_relu(model, names):
    """Those of names, convolutions of model, whose results a LeakyReLU and nothing else reads."""
    readers = {name: graph.only_reader(_convolution(model, name)) for name in names}
    return tuple(name for name, reader in readers.items() if isinstance(reader, keras.layers.LeakyReLU))


def cost(conv):
    """Multiply-adds, for each of a convolution's positions, that splitting its channels adds; None where it cannot be.

    Its own once more, and those of what reads it and of gates.
    """
    if conv.groups > 1 or isinstance(conv, keras.layers.DepthwiseConv2D):
        return None
    (reader, *others) = graph.children(conv) or [None]
    if not others and isinstance(reader, keras.layers.LeakyReLU):
        readers = graph.children(reader)
        splittable = all(_is_dense(layer) for layer in readers)
    else:
        try:
            readers = [*_readers(conv), *_gates(conv, conv.name)]
        except UserError:
            return None
        splittable = all(_is_dense(layer) for layer in readers)
    return multiply_adds(conv) + sum(map(multiply_adds, readers)) if readers and splittable else None


def multiply_adds(conv):
    """Multiply-adds for each of a convolution's positions."""
    return np.prod(graph.kernel_of(conv)[0].shape)


def _is_dense(layer):
    return type(layer) is keras.layers.Conv2D and layer.groups == 1


def _readers(layer):
    """The convolutions that read what a layer gives, through any others."""
    return [
        conv
        for reader in graph.children(layer)
        for conv in ([reader] if isinstance(reader, graph.CONVOLUTIONS) else _readers(reader))
    ]


def split_channels(model, names):
    """Store the results of the convolutions called names in two copies, for shift_copies to set apart.

    What reads them takes the mean of both, by a kernel of twice the channels. A gate that multiplies them is split too.
    The result has new layers. Raises UserError for a name that is no convolution's, and for one whose result meets more
    than gates and concatenations on its way to other convolutions.
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
                return graph.copy(layer, inputs, [kernel, bias])
            origins[layer.name] = np.tile(np.arange(layer.filters), 2)
            return graph.copy(layer, inputs, [np.tile(kernel, 2), np.tile(bias, 2)], filters=2 * layer.filters)
        if isinstance(layer, keras.layers.Concatenate) and any(origin is not None for origin in taken):
            origins[layer.name] = _concatenated_origins(layer, taken)
        elif taken and taken[0] is not None:
            origins[layer.name] = taken[0]
        return graph.copy(layer, inputs)

    return graph.rebuild(model, call)


def shift_copies(model, names, ranges):
    """Set the two copies of each convolution called half a quantization step apart, by their biases, in place.

    A value that is a quarter of a step off in one copy is so in the other with the other sign. model: from
    split_channels. ranges: {tensor: (low, high)} of the results.
    """
    for name in names:
        kernel, bias = model.get_layer(name).get_weights()
        low, high = ranges[output_tensor(model.get_layer(name))]
        shift = np.repeat([1, -1], len(bias) // 2) * (high - low) / 255 / 4
        model.get_layer(name).set_weights([kernel, bias + shift])


def _convolution(model, name):
    convs = {conv.name: conv for conv in graph.convolutions(model)}
    if name not in convs:
        raise UserError(f"no convolution is called {name!r}; this network has {', '.join(convs)}")
    return convs[name]


def _gates(layer, name):
    """The convolutions behind the gates that multiply what a layer gives, at any distance from it. name: for errors."""
    found = []
    for reader in graph.children(layer):
        reads_size = isinstance(reader, ResizeLike) and graph.parents(reader)[0] is not layer
        if reads_size or isinstance(reader, keras.layers.Conv2D):
            continue
        if not isinstance(reader, keras.layers.Multiply | keras.layers.Concatenate | keras.layers.ReLU | Contrast):
            raise UserError(f"the channels of {name} cannot be split: {reader.name} reads them")
        if isinstance(reader, keras.layers.Multiply):
            found.append(_gate(reader, layer, name))
        found.extend(_gates(reader, name))
    return found


def _gate(product, layer, name):
    """The convolution whose sigmoid a product multiplies with what a layer gives."""
    x, gate = graph.parents(product)
    if x is not layer or not graph.is_sigmoid(gate):
        raise UserError(f"the channels of {name} cannot be split: {product.name} is no product with a gate")
    return graph.parents(gate)[0]


def _concatenated_origins(layer, taken):
    """Which of a concatenation's channels each was, from the same of its inputs: None where they are as they were."""
    widths = [tensor.shape[-1] for tensor in layer.input]
    parts = [np.arange(width) if origin is None else origin for origin, width in zip(taken, widths, strict=True)]
    return np.concatenate([part + sum(widths[:i]) for i, part in enumerate(parts)])
