"""The authors' released PyTorch weights as Keras models, without PyTorch: RFDN_AIM.pth (github.com/njulj/RFDN) and
IMDN_x2.pth, _x3, _x4 (github.com/Zheng222/IMDN).
"""

import functools

import numpy as np

from keras_rfdn.checkpoints import torch_state_dict
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import SCALES, variant

SUFFIX = ".pth"
# What has been released, and what white is in the images that its PyTorch network takes and gives.
RELEASED = {"e-rfdn": 255.0, "imdn": 1.0}
FIRST, LAST = "fea_conv", "upsampler.0"
MOST_SHOWN = 8  # differences named in an error


def read(path):
    """PyTorch file -> (variant, ModelConfig, state dict). Raises UserError, naming the file, where load would."""
    state = torch_state_dict.read(path)
    try:
        return *identify(state), state
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def identify(state):
    """State dict {key: array} of a released network -> (variant, ModelConfig).

    Variant and scale follow from keys and shapes. Raises UserError that names those that fit no released network.
    """
    shapes = {_our_key(key): np.shape(array) for key, array in state.items()}
    bias = shapes.get(f"{LAST}.bias")
    scale = next((s for s in SCALES if bias == (3 * s**2,)), 4)
    differences = {name: _differences(shapes, _wanted(variant(name, scale))) for name in RELEASED}
    nearest = min(differences, key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return nearest, variant(nearest, scale)
    shown, more = differences[nearest][:MOST_SHOWN], len(differences[nearest]) - MOST_SHOWN
    raise UserError(
        f"these weights are of no released network ({', '.join(RELEASED)}); nearest is {nearest} x{scale}, but "
        + "; ".join(shown)
        + (f"; and {more} more" if more > 0 else "")
    )


def load(state, **build_options):
    """State dict of a released network -> (variant, ModelConfig, Keras model). Raises UserError as identify does.

    build_options: as for models.build.
    """
    name, config = identify(state)
    model = models.build(config, **build_options)
    _set_weights(model, {_our_key(key): array for key, array in state.items()}, config.scale, RELEASED[name])
    return name, config, model


def _our_key(key):
    """IMDN was saved from a DataParallel wrapper, and names its blocks IMDB1 to IMDB6 where RFDN has B1 to B4."""
    key = key.removeprefix("module.")
    return key.replace("IMDB", "B", 1) if key.startswith("IMDB") else key


def _layers(model):
    return [layer for layer in model.layers if layer.weights]


@functools.cache
def _wanted(config):
    """{key: shape} of a released network's state dict."""
    wanted = {}
    for layer in _layers(models.build(config)):
        h, w, inputs, outputs = layer.kernel.shape
        wanted |= {f"{layer.name}.weight": (outputs, inputs, h, w), f"{layer.name}.bias": (outputs,)}
    return wanted


def _differences(shapes, wanted):
    """What keeps a state dict from fitting a network, in words."""
    return (
        [f"{key} is {shapes[key]}, not {shape}" for key, shape in wanted.items() if shapes.get(key, shape) != shape]
        + [f"{key} {shape} is missing" for key, shape in wanted.items() if key not in shapes]
        + [f"{key} {shape} is unexpected" for key, shape in shapes.items() if key not in wanted]
    )


def _set_weights(model, state, scale, white):
    for layer in _layers(model):
        kernel = state[f"{layer.name}.weight"].transpose(2, 3, 1, 0)
        bias = state[f"{layer.name}.bias"]
        # Our images are in 0..1 inside, where the features must stay what they were: attention is not homogeneous.
        if layer.name == FIRST:
            kernel = kernel * white
        if layer.name == LAST:
            kernel, bias = _shuffled(kernel, scale) / white, _shuffled(bias, scale) / white
        layer.set_weights([kernel, bias])


def _shuffled(weights, scale):
    """PyTorch's channel c * scale^2 + k -> TensorFlow's k * 3 + c, in the last axis (see layers.PixelShuffle)."""
    return weights.reshape(*weights.shape[:-1], 3, scale**2).swapaxes(-1, -2).reshape(weights.shape)
