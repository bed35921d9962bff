"""PyTorch modules of this project's Keras networks, from which other engines' models are made too.

PyTorch is an optional extra; only commands that compare with it import this module.
"""

import numpy as np
import tf_keras as keras
import torch
from torch import nn
from torch.nn import functional

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import Contrast, LeakyReLU, PixelShuffle, ResizeLike, Split


class TorchNetwork(nn.Module):
    """PyTorch module of a Keras functional model, one input and one output, with the same weights; NCHW, not NHWC.

    Raises UserError when the model has a layer without a counterpart in LAYERS: none is skipped.
    """

    def __init__(self, model):
        super().__init__()
        self.convolutions = nn.ModuleList()
        self._steps = []  # (function, ids of Keras' tensors that it takes, ids of those that it gives)
        self._input, self._output = id(model.input), id(model.output)
        makers = {}  # id of a tensor -> convolution that makes it
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            takes, gives = _ids(layer.input), _ids(layer.output)
            if isinstance(layer, keras.layers.Conv2D):
                function = makers[gives[0]] = _convolution(layer)
                self.convolutions.append(function)
            elif type(layer) in LAYERS:
                function = LAYERS[type(layer)](layer)
            else:
                known = ", ".join(kind.__name__ for kind in (keras.layers.Conv2D, *LAYERS))
                raise UserError(f"no counterpart of {layer.name} ({type(layer).__name__}) in PyTorch, only of {known}")
            if isinstance(layer, PixelShuffle):
                _reorder(makers[takes[0]], layer.scale)
            self._steps.append((function, takes, gives))

    def forward(self, x):
        values = {self._input: x}
        for function, takes, gives in self._steps:
            results = function(*(values[key] for key in takes))
            values.update(zip(gives, results if isinstance(results, tuple) else (results,), strict=True))
        return values[self._output]


def _ids(tensors):
    return [id(tensor) for tensor in (tensors if isinstance(tensors, list | tuple) else [tensors])]


def _convolution(layer):
    kernel, bias = layer.get_weights()
    height, width, channels, filters = kernel.shape
    if layer.padding == "same" and layer.strides != (1, 1):
        raise UserError(f"{layer.name}: TensorFlow pads a strided convolution otherwise than PyTorch does")
    padding = (height // 2, width // 2) if layer.padding == "same" else 0
    module = nn.Conv2d(channels, filters, (height, width), layer.strides, padding)
    module.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    module.bias.data = torch.from_numpy(bias)
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
    if layer.activation is not keras.activations.sigmoid:
        raise UserError(f"{layer.name}: of the activations by name only sigmoid has a counterpart")
    return torch.sigmoid


def _pooling(layer):
    if layer.padding != "valid":
        raise UserError(f"{layer.name}: pooling has a counterpart without padding only")
    return lambda x: functional.max_pool2d(x, layer.pool_size, layer.strides)


def _contrast(layer):
    def contrast(x):
        variance = x.var((2, 3), correction=0, keepdim=True)
        return x.mean((2, 3), keepdim=True) + torch.sqrt(variance + layer.EPSILON)

    return contrast


LAYERS = {
    LeakyReLU: _leaky,
    keras.layers.ReLU: lambda layer: functional.relu,
    keras.layers.Activation: _activation,
    keras.layers.Rescaling: lambda layer: lambda x: x * layer.scale + layer.offset,
    keras.layers.Add: lambda layer: lambda *parts: sum(parts[1:], parts[0]),
    keras.layers.Multiply: lambda layer: torch.mul,
    keras.layers.Concatenate: lambda layer: lambda *parts: torch.cat(parts, 1),
    keras.layers.MaxPooling2D: _pooling,
    ResizeLike: lambda layer: lambda x, like: functional.interpolate(x, like.shape[2:], mode="bilinear"),
    PixelShuffle: lambda layer: lambda x: functional.pixel_shuffle(x, layer.scale),
    Split: lambda layer: lambda x: torch.split(x, [layer.first, x.shape[1] - layer.first], 1),
    Contrast: _contrast,
}
