"""PyTorch modules of this project's Keras networks, from which other engines' models are made too.

PyTorch is an optional extra; only commands that compare with it import this module.
"""

import numpy as np
import tf_keras as keras
import torch
from torch import nn
from torch.nn import functional

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.calls import calls
from keras_rfdn.networks.layers import Contrast, LeakyReLU, PixelShuffle, ResizeLike, Split


class TorchNetwork(nn.Module):
    """PyTorch module of a Keras functional model, one input and one output, with the same weights; NCHW, not NHWC.

    Raises UserError when the model has a layer without a counterpart in LAYERS: none is skipped.
    """

    def __init__(self, model):
        super().__init__()
        self.parts = nn.ModuleList()
        self._steps = []  # (function, ids of Keras' tensors that it takes, ids of those that it gives)
        self._input, self._output = id(model.input), id(model.output)
        functions, makers = {}, {}  # of each layer; id of a tensor -> convolution that makes it
        for call in calls(model):
            layer = call.layer
            if isinstance(layer, keras.layers.InputLayer):
                continue
            takes, gives = _ids(call.keras_inputs), _ids(call.outputs)
            if layer.name not in functions:
                functions[layer.name] = self._function(layer)
                if isinstance(layer, PixelShuffle):
                    _reorder(makers[takes[0]], layer.scale)
            if type(layer) in CONVOLUTIONS:
                makers[gives[0]] = functions[layer.name]
            self._steps.append((functions[layer.name], takes, gives))

    def _function(self, layer):
        makers = {**CONVOLUTIONS, **LAYERS}
        if type(layer) not in makers:
            known = ", ".join(kind.__name__ for kind in makers)
            raise UserError(f"no counterpart of {layer.name} ({type(layer).__name__}) in PyTorch, only of {known}")
        function = makers[type(layer)](layer)
        if isinstance(function, nn.Module):
            self.parts.append(function)
        return function

    def forward(self, x):
        values = {self._input: x}
        for function, takes, gives in self._steps:
            results = function(*(values[key] for key in takes))
            values.update(zip(gives, results if isinstance(results, tuple) else (results,), strict=True))
        return values[self._output]


def _ids(tensors):
    return [id(tensor) for tensor in (tensors if isinstance(tensors, list | tuple) else [tensors])]


def _convolution(layer):
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kernel, *bias = layer.get_weights()
    height, width, inputs, filters = kernel.shape
    channels = inputs if depthwise else inputs * layer.groups
    if layer.padding == "same" and layer.strides != (1, 1):
        raise UserError(f"{layer.name}: TensorFlow pads a strided convolution otherwise than PyTorch does")
    if depthwise and layer.depth_multiplier != 1:
        raise UserError(f"{layer.name}: depthwise convolutions have a counterpart of one kernel for each channel only")
    padding = tuple(d * (k // 2) for d, k in zip(layer.dilation_rate, (height, width), strict=True))
    module = nn.Conv2d(
        channels, channels if depthwise else filters, (height, width), layer.strides,
        padding if layer.padding == "same" else 0, layer.dilation_rate, channels if depthwise else layer.groups,
        bool(bias),
    )  # fmt: skip
    order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    module.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(order)))
    if bias:
        module.bias.data = torch.from_numpy(bias[0])
    return module


def _reorder(convolution, scale):
    """TensorFlow's channel k * c + j before a shuffle is PyTorch's channel j * scale^2 + k; c is 3 at the output."""
    for parameter in (convolution.weight, convolution.bias):
        parts = parameter.data.reshape(scale**2, -1, *parameter.shape[1:])
        parameter.data = parts.swapaxes(0, 1).reshape(parameter.shape).contiguous()


def _leaky(layer):
    slope = float(layer.alpha)
    return lambda x: functional.leaky_relu(x, slope)


def _activation(layer):
    if layer.activation not in ACTIVATIONS:
        known = ", ".join(function.__name__ for function in ACTIVATIONS)
        raise UserError(f"{layer.name}: of the activations by name only {known} have counterparts")
    return ACTIVATIONS[layer.activation]


def _prelu(layer):
    (alpha,) = layer.get_weights()
    if alpha.shape[:2] != (1, 1):
        raise UserError(f"{layer.name}: PReLU has a counterpart with one slope for each channel only")
    module = nn.PReLU(alpha.size)
    module.weight.data = torch.from_numpy(alpha.ravel())
    return module


class _LayerNorm(nn.LayerNorm):
    """Layer normalization of the channels of each pixel of [n, c, h, w]."""

    def __init__(self, layer):
        if list(layer.axis) != [3]:
            raise UserError(f"{layer.name}: layer normalization has a counterpart over channels only")
        scale, bias = layer.get_weights()
        super().__init__(scale.size, layer.epsilon)
        self.weight.data, self.bias.data = torch.from_numpy(scale), torch.from_numpy(bias)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _rescaling(layer):
    if not isinstance(layer.offset, list | tuple):
        return lambda x: x * layer.scale + layer.offset
    offset = torch.tensor(layer.offset)[:, None, None]
    return lambda x: x * layer.scale + offset.to(x)


def _pooling(layer):
    if layer.padding != "valid":
        raise UserError(f"{layer.name}: pooling has a counterpart without padding only")
    return lambda x: functional.max_pool2d(x, layer.pool_size, layer.strides)


def _contrast(layer):
    def contrast(x):
        variance = x.var((2, 3), correction=0, keepdim=True)
        return x.mean((2, 3), keepdim=True) + torch.sqrt(variance + layer.EPSILON)

    return contrast


ACTIVATIONS = {
    keras.activations.sigmoid: torch.sigmoid,
    keras.activations.gelu: functional.gelu,
    keras.activations.swish: functional.silu,
}
CONVOLUTIONS = {keras.layers.Conv2D: _convolution, keras.layers.DepthwiseConv2D: _convolution}
LAYERS = {
    LeakyReLU: _leaky,
    keras.layers.ReLU: lambda layer: functional.relu,
    keras.layers.Activation: _activation,
    keras.layers.PReLU: _prelu,
    keras.layers.LayerNormalization: _LayerNorm,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Add: lambda layer: lambda *parts: sum(parts[1:], parts[0]),
    keras.layers.Subtract: lambda layer: torch.sub,
    keras.layers.Multiply: lambda layer: torch.mul,
    keras.layers.Concatenate: lambda layer: lambda *parts: torch.cat(parts, 1),
    keras.layers.MaxPooling2D: _pooling,
    ResizeLike: lambda layer: lambda x, like: functional.interpolate(x, like.shape[2:], mode="bilinear"),
    PixelShuffle: lambda layer: lambda x: functional.pixel_shuffle(x, layer.scale),
    Split: lambda layer: lambda x: torch.split(x, [layer.first, x.shape[1] - layer.first], 1),
    Contrast: _contrast,
}
