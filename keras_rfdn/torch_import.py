"""The authors' released PyTorch weights -> a weight file of ours, without PyTorch:

    python -m keras_rfdn.torch_import RFDN_AIM.pth --out e-rfdn.h5

Takes RFDN_AIM.pth (github.com/njulj/RFDN) and IMDN_x2.pth, _x3, _x4 (github.com/Zheng222/IMDN).
"""

import dataclasses
import hashlib
import pathlib

import numpy as np
import simple_parsing

from keras_rfdn import checkpoint, command, models, torch_file
from keras_rfdn.config import SCALES, variant

# What has been released, and what white is in the images that its PyTorch network takes and gives.
RELEASED = {"e-rfdn": 255.0, "imdn": 1.0}
FIRST, LAST = "fea_conv", "upsampler.0"
MOST_SHOWN = 8  # differences named in an error


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Turn released PyTorch weights into a weight file that evaluate, upscale and convert take."""

    file: str = simple_parsing.field(positional=True, metavar="FILE.pth")
    out: str  # the weight file to write, .h5


def main(config):
    """Writes the file and returns (variant, ModelConfig)."""
    name, model_config, model = load(torch_file.read(config.file))
    source = pathlib.Path(config.file)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    checkpoint.save(model, model_config, config.out, variant=name, source=source.name, source_sha256=digest)
    print(f"{name} x{model_config.scale}, {model.count_params():,} parameters -> {config.out}")
    return name, model_config


def load(state):
    """State dict {key: array} of a released network -> (variant, ModelConfig, Keras model).

    Variant and scale follow from keys and shapes. Raises ValueError that names those that fit no released network.
    """
    state = {_our_key(key): array for key, array in state.items()}
    bias = np.shape(state.get(f"{LAST}.bias"))
    scale = next((s for s in SCALES if bias == (3 * s**2,)), 4)
    differences = {}
    for name in RELEASED:
        config = variant(name, scale)
        model = models.build(config)
        differences[name] = _differences(state, model)
        if not differences[name]:
            _set_weights(model, state, scale, RELEASED[name])
            return name, config, model
    nearest = min(differences, key=lambda name: len(differences[name]))
    shown, more = differences[nearest][:MOST_SHOWN], len(differences[nearest]) - MOST_SHOWN
    raise ValueError(
        f"these weights are of no released network ({', '.join(RELEASED)}); nearest is {nearest} x{scale}, but "
        + "; ".join(shown)
        + (f"; and {more} more" if more > 0 else "")
    )


def _our_key(key):
    """IMDN was saved from a DataParallel wrapper, and names its blocks IMDB1 to IMDB6 where RFDN has B1 to B4."""
    key = key.removeprefix("module.")
    return key.replace("IMDB", "B", 1) if key.startswith("IMDB") else key


def _layers(model):
    return [layer for layer in model.layers if layer.weights]


def _differences(state, model):
    """What keeps a state dict from fitting a model, in words."""
    wanted = {}
    for layer in _layers(model):
        h, w, inputs, outputs = layer.kernel.shape
        wanted |= {f"{layer.name}.weight": (outputs, inputs, h, w), f"{layer.name}.bias": (outputs,)}
    shapes = {key: array.shape for key, array in state.items()}
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


if __name__ == "__main__":
    command.run(main, ImportConfig)
