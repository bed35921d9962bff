"""Releases of DRRN, MemNet, IDN, SRMDNF, CARN and CARN-M, in the layouts of MXNet, Caffe, ncnn and PyTorch.

All take images, or their luma, in 0..1. Kernels of these frameworks are [out, in, h, w], of transposed convolutions
[in, out, h, w].
"""

import dataclasses
import functools

import numpy as np
import tf_keras as keras

from keras_rfdn.checkpoints.releases import Part, Release, scale_of_upsampler, torch_network, torch_parts, unshuffled
from keras_rfdn.networks.config import SCALES
from keras_rfdn.networks.zoo.carn import CHANNELS, GROUPS


def keyed(layer, *keys) -> list[Part]:
    """Parts of a layer in the layout of PyTorch, but under other names: those of its weights."""
    return [dataclasses.replace(part, key=key) for part, key in zip(torch_parts(layer, ""), keys, strict=False)]


def _all_scales(key, shape):
    """Scales of a file of which one serves all: by an array that it must have."""
    return lambda shapes: SCALES if shapes.get(key) == shape else ()


# github.com/WolframRhodium/Super-Resolution-Zoo numbers the arrays of others: here those of jt827859032/DRRN-pytorch.
_DRRN = {"input": "arg:learned_0", "conv1": "arg:learned_1", "conv2": "arg:learned_2", "output": "arg:learned_3"}


def _drrn(layer, scale):
    return keyed(layer, _DRRN[layer.name])


def _memnet(layer, scale):
    """The authors' Caffe model has a layer for each recursion; those of one memory block have the same convolutions."""
    name = layer.name
    if isinstance(layer, keras.layers.BatchNormalization):
        scale = name.replace("bn_", "scale_")
        keys = f"{scale}.0", f"{scale}.1", f"{name}.0", f"{name}.1"  # factor, summand, mean, variance
        return [Part(key, tuple(weight.shape), np.asarray) for key, weight in zip(keys, layer.weights, strict=True)]
    if name.startswith("weight_output_end"):
        return [Part(f"{name}.0", (1,), lambda array: array.reshape(1, 1, 1, 1))]
    if name[-2:] in ("_a", "_b"):
        name = f"{name[:-2]}_01{name[-2:]}"
    elif name == "conv_end":
        name = "conv_end_01"
    return keyed(layer, f"{name}.0", f"{name}.1")


def _memnet_copy(key):
    """Whether an array is a copy, for a later recursion, of one that recursions share."""
    layer = key.split(".")[0]
    *_, number = layer.removesuffix("_a").removesuffix("_b").split("_")
    return layer.startswith("conv") and "transition" not in layer and number > "01"


def _idn(layer, scale):
    return keyed(layer, f"{layer.name}.0", f"{layer.name}.1")


def _idn_scales(shapes):
    return tuple(scale for scale in SCALES if f"upsample.stride={scale}" in shapes)


def _idn_stride(key):
    return key.startswith("upsample.stride=")


def _srmdnf(prefix):
    """Release of SRMDNF. prefix: before the numbers of all layers there. Ours is that of KAIR."""

    def rename(name):
        return name.replace("upsampler.0", "model.22").replace("model.", prefix)

    scales = functools.partial(scale_of_upsampler, key=f"{rename('upsampler.0')}.bias")
    return Release("srmdnf", scales, torch_network(rename))


def _carn(groups, rename=str):
    """rename: from the authors' names, NAME.weight and NAME.bias."""

    def parts(layer, scale):
        found = torch_parts(layer, layer.name)
        if layer.name.startswith("upsample."):
            found = unshuffled(found, 3 if scale == 3 else 2, groups)
        return [dataclasses.replace(part, key=rename(part.key)) for part in found]

    return parts


def _carn_scales(inputs, rename=str):
    """Scales whose upsampling convolution is there. inputs: its channels in."""
    channels = {scale: CHANNELS * (9 if scale == 3 else 4) for scale in SCALES}

    def scales(shapes):
        keys = {scale: rename(f"upsample.up{scale}.body.0.weight") for scale in SCALES}
        return tuple(scale for scale in SCALES if shapes.get(keys[scale]) == (channels[scale], inputs, 3, 3))

    return scales


def _carn_ignored(key):
    """The mean's shift, which is in our network, and the upsampling of other scales."""
    return key.startswith(("sub_mean.", "add_mean.", "upsample."))


def _carn_names():
    """The layers of the authors' CARN in their order, by which the zoo's arrays are numbered."""
    blocks = [f"b{i}" for i in (1, 2, 3)]
    inside = [*(f"b{j}.body.{k}" for j in (1, 2, 3) for k in (0, 2)), *(f"c{j}.body.0" for j in (1, 2, 3))]
    upsampling = [f"upsample.up{name}" for name in ("2.body.0", "3.body.0", "4.body.0", "4.body.3")]
    return [
        *("sub_mean.shifter", "add_mean.shifter", "entry"),
        *(f"{block}.{name}" for block in blocks for name in inside),
        *(f"c{i}.body.0" for i in (1, 2, 3)),
        *upsampling,
        "exit",
    ]


_CARN_NUMBERS = {
    f"{layer}.{part}": f"arg:learned_{2 * i + j}"
    for i, layer in enumerate(_carn_names())
    for j, part in enumerate(("weight", "bias"))
}
_CARN_IGNORED = {number for name, number in _CARN_NUMBERS.items() if _carn_ignored(name)}

RELEASES = (
    Release("drrn", _all_scales("arg:learned_1", (128, 128, 3, 3)), _drrn),
    Release(
        "drrn", _all_scales("conv1.weight", (128, 128, 3, 3)), torch_network()
    ),  # github.com/jt827859032/DRRN-pytorch
    Release("memnet", _all_scales("conv_end_01.0", (1, 64, 3, 3)), _memnet, _memnet_copy),  # github.com/tyshiwo/MemNet
    Release("idn", _idn_scales, _idn, _idn_stride),  # github.com/Zheng222/IDN-Caffe
    _srmdnf("Conv_"),  # github.com/nihui/srmd-ncnn-vulkan
    _srmdnf("model."),  # github.com/cszn/KAIR
    Release("carn", _carn_scales(64), _carn(1), _carn_ignored),  # github.com/nmhkahn/CARN-pytorch
    Release("carn-m", _carn_scales(16), _carn(GROUPS), _carn_ignored),
    Release("carn", _carn_scales(64, _CARN_NUMBERS.get), _carn(1, _CARN_NUMBERS.get), _CARN_IGNORED.__contains__),
)
