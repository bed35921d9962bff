"""Released PyTorch weights of the authors as Keras models, without PyTorch: RFDN_AIM.pth (github.com/njulj/RFDN) and
IMDN_x2.pth, _x3, _x4 (github.com/Zheng222/IMDN).
"""

import dataclasses
import functools
import os
import pathlib

import numpy as np
import tf_keras as keras

from keras_rfdn.checkpoints import torch_state_dict
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import SCALES, ModelConfig, variant

SUFFIX = ".pth"
# What has been released, and what white is in the images that its PyTorch network takes and gives.
RELEASED = {"e-rfdn": 255.0, "imdn": 1.0}
FIRST, LAST = "fea_conv", "upsampler.0"
MOST_SHOWN = 8  # differences named in an error


@dataclasses.dataclass(frozen=True)
class ReleasedWeights:
    """Released network with its weights. state: {key: array} as PyTorch names and orders them."""

    variant: str
    config: ModelConfig
    state: dict[str, np.ndarray]


def read(path: str | os.PathLike) -> ReleasedWeights:
    """Released weights of a PyTorch file. Raises UserError, naming the file, where identify does.

    The last file is remembered: a command asks several times, and unpickling takes long.
    """
    path = pathlib.Path(path)
    stat = path.stat() if path.exists() else None
    return _read(path, stat and (stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _read(path, _version):
    state = torch_state_dict.read(path)
    try:
        return ReleasedWeights(*identify(state), state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def identify(state: dict[str, np.ndarray]) -> tuple[str, ModelConfig]:
    """Variant and ModelConfig of a released network's state dict {key: array}.

    Variant and scale follow from keys and shapes. Raises UserError that names those that fit no released network.
    """
    shapes = {_our_key(key): np.shape(array) for key, array in state.items()}
    bias = shapes.get(f"{LAST}.bias")
    scale = next((s for s in SCALES if bias == (3 * s**2,)), 4)
    differences = {name: _differences(shapes, _expected_shapes(variant(name, scale))) for name in RELEASED}
    nearest = min(differences, key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return nearest, variant(nearest, scale)
    shown, more = differences[nearest][:MOST_SHOWN], len(differences[nearest]) - MOST_SHOWN
    raise UserError(
        f"these weights are of no released network ({', '.join(RELEASED)}); nearest is {nearest} x{scale}, but "
        + "; ".join(shown)
        + (f"; and {more} more" if more > 0 else "")
    )


def load(state: dict[str, np.ndarray], **build_options) -> tuple[str, ModelConfig, keras.Model]:
    """(variant, ModelConfig, Keras model) of a released network's state dict. Raises UserError as identify does.

    build_options: as for models.build.
    """
    name, config = identify(state)
    return name, config, build(ReleasedWeights(name, config, state), **build_options)


def build(released: ReleasedWeights, **build_options) -> keras.Model:
    """Keras model with released weights. build_options: as for models.build."""
    model = models.build(released.config, **build_options)
    state = {_our_key(key): array for key, array in released.state.items()}
    _set_weights(model, state, released.config.scale, RELEASED[released.variant])
    return model


def _our_key(key):
    """IMDN was saved from a DataParallel wrapper, and names its blocks IMDB1 to IMDB6 where RFDN has B1 to B4."""
    key = key.removeprefix("module.")
    return key.replace("IMDB", "B", 1) if key.startswith("IMDB") else key


def _layers(model):
    return [layer for layer in model.layers if layer.weights]


@functools.cache
def _expected_shapes(config):
    """{key: shape} of a released network's state dict."""
    expected = {}
    for layer in _layers(models.build(config)):
        h, w, inputs, outputs = layer.kernel.shape
        expected |= {f"{layer.name}.weight": (outputs, inputs, h, w), f"{layer.name}.bias": (outputs,)}
    return expected


def _differences(shapes, expected):
    """What keeps a state dict from fitting a network, in words."""
    return (
        [f"{key} is {shapes[key]}, not {shape}" for key, shape in expected.items() if shapes.get(key, shape) != shape]
        + [f"{key} {shape} is missing" for key, shape in expected.items() if key not in shapes]
        + [f"{key} {shape} is unexpected" for key, shape in shapes.items() if key not in expected]
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
