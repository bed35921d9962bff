"""Releases: published weight files, and how each fits our network of that name."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import tf_keras as keras

from keras_rfdn.networks.config import SCALES

Shapes = Mapping[str, tuple[int, ...]]

# What values of a network of images in 0..255 are multiplied by, so that they are as large as those of one of images in
# 0..1, and an optimizer's updates fit them. Powers of two, and activations keep a factor: nothing else changes.
PIXELS, FEATURES, GATED, GATE = 1 / 255, 1 / 256, 1 / 16, 1


@dataclasses.dataclass(frozen=True)
class Part:
    """Where a weight of one of our layers stands in a file.

    key: its name there. shape: its shape there. to_keras: array of that shape -> the weight in our layout.
    """

    key: str
    shape: tuple[int, ...]
    to_keras: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Release:
    """Published weights of one of our networks.

    variant: row of VARIANTS. scales: shapes of the file's arrays -> the scales that it serves, if it is of this
    network at all (a guess: parts settles it). parts: (a layer with weights, scale) -> a Part for each of its weights.
    ignored: key -> whether a name in the file, which is in no Part, is of no use for any scale, or for another.
    """

    variant: str
    scales: Callable[[Shapes], tuple[int, ...]]
    parts: Callable[[keras.layers.Layer, int], list[Part]]
    ignored: Callable[[str], bool] = lambda key: False


def torch_parts(layer, key) -> list[Part]:
    """Parts of a layer in a PyTorch state dict, under key.weight and key.bias."""
    return [
        Part(f"{key}.{name}", *_torch_layout(layer, weight))
        for name, weight in zip(("weight", "bias"), layer.weights, strict=False)
    ]


def _torch_layout(layer, weight):
    """(shape in PyTorch, function to our layout) of a layer's weight."""
    if weight.shape.rank == 1:
        return tuple(weight.shape), np.asarray
    if isinstance(layer, keras.layers.PReLU):  # [1, 1, c]
        return tuple(weight.shape[-1:]), lambda array: array.reshape(weight.shape)
    h, w, inputs, outputs = weight.shape
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return (inputs, outputs, h, w), lambda array: array.transpose(2, 3, 0, 1)
    return (outputs, inputs, h, w), lambda array: array.transpose(2, 3, 1, 0)


def then(part: Part, function) -> Part:
    """The part with function applied to its array in our layout."""
    return dataclasses.replace(part, to_keras=lambda array: function(part.to_keras(array)))


def unshuffled(parts: list[Part], scale: int, groups: int = 1) -> list[Part]:
    """Parts of a convolution before a pixel shuffle: from PyTorch's order of channels to TensorFlow's.

    PyTorch's channel c * scale^2 + k is TensorFlow's k * channels + c (see layers.PixelShuffle). groups: of channels,
    each shuffled by itself.
    """

    def reorder(array):
        return array.reshape(*array.shape[:-1], groups, -1, scale**2).swapaxes(-1, -2).reshape(array.shape)

    return [then(part, reorder) for part in parts]


def scaled(parts: list[Part], *factors: float) -> list[Part]:
    """Parts each multiplied by a factor."""
    return [then(part, functools.partial(np.multiply, factor)) for part, factor in zip(parts, factors, strict=True)]


def scale_of_upsampler(shapes: Shapes, key: str = "upsampler.0.bias") -> tuple[int, ...]:
    """The scale of which the bias before the pixel shuffle to RGB is, or none."""
    return tuple(s for s in SCALES if shapes.get(key) == (3 * s**2,))


def torch_network(rename=str, *, first="fea_conv", last="upsampler.0", grey_levels=False):
    """Parts of a network whose layers have the names rename(ours) in PyTorch.

    first, last: our names of the convolution of the image and of that before the pixel shuffle. grey_levels: whether
    the PyTorch network takes images in 0..255; its attention, if any, must be layers.esa or short_esa.
    """

    def factors(name):
        """Of what a layer takes and of what it gives."""
        if name in (first, last):
            return (PIXELS, FEATURES) if name == first else (FEATURES, PIXELS)
        _, *attention = name.split(".esa.")
        ends = {"conv1": (FEATURES, GATED), "conv4": (GATED, GATE)}
        return ends.get(attention[0], (GATED, GATED)) if attention else (FEATURES, FEATURES)

    def parts(layer, scale):
        found = torch_parts(layer, rename(layer.name))
        if layer.name == last:
            found = unshuffled(found, scale)
        if not grey_levels:
            return found
        taken, given = factors(layer.name)
        return scaled(found, given / taken, given)

    return parts


def _imdn(name):
    # Saved from a DataParallel wrapper, with blocks IMDB1 to IMDB6 where RFDN has B1 to B4.
    return f"IMD{name}" if name.startswith("B") else name


def _bsrn(name):
    return name.replace("upsampler.0", "upsampler.upsampleOneStep.0")


def _span(name):
    return name if name in ("conv_cat", "upsampler.0") else f"{name}.eval_conv"


RELEASES = (
    Release("e-rfdn", scale_of_upsampler, torch_network(grey_levels=True)),  # github.com/njulj/RFDN
    Release("imdn", scale_of_upsampler, torch_network(_imdn)),  # github.com/Zheng222/IMDN
    Release("rlfn", scale_of_upsampler, torch_network(first="conv_1", grey_levels=True)),  # github.com/bytedance/RLFN
    # github.com/xiaom233/BSRN
    Release("bsrn", functools.partial(scale_of_upsampler, key=f"{_bsrn('upsampler.0')}.bias"), torch_network(_bsrn)),
    Release("lkdn", scale_of_upsampler, torch_network()),  # github.com/stella-von/LKDN
    Release("span", scale_of_upsampler, torch_network(_span)),  # github.com/Amazingren/NTIRE2026_ESR
    # github.com/icandle/EFDN
    Release("efdn", functools.partial(scale_of_upsampler, key="tail.0.bias"), torch_network(last="tail.0")),
)
