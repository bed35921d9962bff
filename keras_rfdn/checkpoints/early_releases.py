"""Releases of SRCNN, FSRCNN, VDSR and LapSRN, in the layouts of MATLAB, MatConvNet and TensorFlow.

All take luma in 0..1 as MATLAB's rgb2ycbcr gives it, or near: those of TensorFlow were trained on OpenCV's, whose black
is 0 and whose white is 1.
"""

import numpy as np

from keras_rfdn.checkpoints.releases import Part, Release
from keras_rfdn.networks.config import SCALES


def reshaped(key, shape, weight) -> Part:
    """Part whose numbers stand as in our weight, but for axes of one."""
    return Part(key, shape, lambda array: array.reshape(weight.shape))


def broadcast(key, shape, weight) -> Part:
    """Part of fewer numbers than our weight, which repeats them."""
    return Part(key, shape, lambda array: np.broadcast_to(array, weight.shape))


def _srcnn(layer, scale):
    """conv1 [taps, out], conv2 [in, taps, out], conv3 [in, taps]; taps go down the kernel's columns, as MATLAB's do."""
    h, w, inputs, outputs = layer.kernel.shape
    shape, axes = {
        "conv1": ((h * w, outputs), (0, 1)),
        "conv2": ((inputs, h * w, outputs), (1, 0, 2)),
        "conv3": ((inputs, h * w), (1, 0)),
    }[layer.name]
    return [
        Part(
            f"weights_{layer.name}", shape, lambda array: array.transpose(axes).reshape(layer.kernel.shape, order="F")
        ),
        reshaped(f"biases_{layer.name}", (outputs, 1), layer.bias),
    ]


def _fsrcnn(layer, scale):
    """f1 to f8, b1 to b8, alpha1 to alpha7. f8 is a 1x1 convolution to the scale^2 pixels in place of each, which is
    the middle of a deconvolution's kernel.
    """
    if layer.name.startswith("prelu"):
        return [reshaped(f"alpha{layer.name[-1]}", (layer.alpha.shape[-1],), layer.alpha)]
    if layer.name == "deconv":
        shape = (1, 1, layer.kernel.shape[-1], scale**2)
        return [
            Part("f8", shape, lambda array: _deconvolution(array, layer.kernel.shape)),
            Part("b8", (1,), np.asarray),
        ]
    index = layer.name[-1]
    return [
        Part(f"f{index}", tuple(layer.kernel.shape), np.asarray),
        Part(f"b{index}", tuple(layer.bias.shape), np.asarray),
    ]


def _deconvolution(array, shape):
    """1x1 convolution [1, 1, in, scale^2] before depth_to_space -> kernel [9, 9, 1, in] of stride scale that does both.

    TensorFlow puts element (shape - scale) // 2 of the kernel upon the first of each pixel's scale^2.
    """
    scale = round(array.shape[-1] ** 0.5)
    first = (shape[0] - scale) // 2
    kernel = np.zeros(shape, array.dtype)
    kernel[first : first + scale, first : first + scale, 0] = array[0, 0].T.reshape(scale, scale, -1)
    return kernel


def _vdsr(layer, scale):
    """A struct of two cell arrays, MatConvNet's layout; MATLAB drops a last axis of one."""
    index, shape = int(layer.name.removeprefix("conv")) - 1, tuple(layer.kernel.shape)
    return [
        reshaped(f"model.weight.{index}", shape if shape[-1] > 1 else shape[:-1], layer.kernel),
        reshaped(f"model.bias.{index}", (shape[-1], 1), layer.bias),
    ]


def _lapsrn_tf(layer, scale):
    """Convolution i of a level is Variable_(9 * level + i - 1), but the first, which has one bias for all channels."""
    first, level = layer.name.split("_")
    level = int(level)
    if first in ("residual", "image"):
        key = _numbered("reconstruction_2_deconv_f", 2 * level + (first == "image"))
        return [Part(key, tuple(layer.kernel.shape), np.asarray)]
    key = f"{first}_{level}f" if first == "0" else _numbered("Variable", 9 * level + int(first) - 1)
    biases = 1 if first == "0" else layer.bias.shape[0]
    return [
        Part(key, tuple(layer.kernel.shape), np.asarray),
        broadcast(f"{first}_{level}bias", (biases,), layer.bias),
    ]


def _numbered(name, index):
    """Name of TensorFlow's variable of a name that is asked for again and again."""
    return f"{name}_{index}" if index else name


def _of_graph(key):
    """Whether a constant is part of an operation, and no weight."""
    return "/" in key


RELEASES = (
    # A file is for one scale, which alone its name says; each can be run at any.
    Release("srcnn", lambda shapes: SCALES * ("weights_conv1" in shapes), _srcnn),  # mmlab.ie.cuhk.edu.hk
    Release(  # github.com/Saafke/FSRCNN_Tensorflow
        "fsrcnn", lambda shapes: tuple(s for s in SCALES if shapes.get("f8") == (1, 1, 56, s**2)), _fsrcnn, _of_graph
    ),
    Release("vdsr", lambda shapes: SCALES * ("model.weight.19" in shapes), _vdsr),  # cv.snu.ac.kr/research/VDSR
    Release(  # github.com/fannymonori/TF-LapSRN
        "lapsrn-tf",
        lambda shapes: ((4, 3) if "0_1f" in shapes else (2,)) * ("0_0f" in shapes),
        _lapsrn_tf,
        _of_graph,
    ),
)
