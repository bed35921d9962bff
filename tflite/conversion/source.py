"""Source of a conversion: a network of this project from its weights, or anyone's Keras model from its file."""

import dataclasses
import json
import pathlib
import zipfile

import h5py
import numpy as np
import tf_keras as keras

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SCALES, SMALLEST_INPUT, name_of


@dataclasses.dataclass(frozen=True)
class Source:
    """A float network to convert. model: float32 RGB 0..255 in and out. name: of the variant, or of its own file."""

    model: keras.Model
    name: str
    scale: int
    path: pathlib.Path


def load(weights: str | None, *, variant: str | None = None, scale: int | None = None) -> Source:
    """Network of a weight file, workdir or None (checkpoint.resolve), or of a Keras model's own file.

    The latter is a .keras file, or a .h5 file of tf_keras' model.save. Raises UserError for one that is no functional
    network from RGB to RGB of 2, 3 or 4 times the size, that holds code, or that is not of the variant or scale asked
    for.
    """
    if weights is None or not _is_whole_model(pathlib.Path(weights)):
        path = checkpoint.resolve(weights, variant=variant, scale=scale)
        model, config = checkpoint.load(path)
        return Source(model, name_of(config), config.scale, path)
    path = pathlib.Path(weights)
    if variant is not None:
        raise UserError(f"{path} is a Keras model of its own, of no variant; leave variant {variant} out")
    model = _load_whole(path)
    found = _scale_of(model, path)
    if scale not in (None, found):
        raise UserError(f"{path} enlarges {found} times, not {scale}")
    return Source(model, path.stem, found, path)


def _is_whole_model(path):
    """Whether a file holds a model's layers, not only weights of a known network."""
    if not path.is_file():
        return False
    if path.suffix == ".keras":
        return True
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        return "model_config" in file.attrs and checkpoint.ATTRIBUTE not in file.attrs


def _load_whole(path):
    try:
        if "Lambda" in _layer_kinds(_config_text(path)):
            raise UserError(
                f"{path} has a Lambda layer, which holds code in the file; write it as a layer of a class of its own"
            )
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} is no model that tf_keras {keras.__version__} can load ({error}); save it with tf_keras, and "
            "register classes of your own with keras.saving.register_keras_serializable before"
        ) from error
    if not isinstance(model, keras.Sequential) and not model._is_graph_network:
        raise UserError(f"{path} holds a {type(model).__name__}, which is no functional model; build it as one")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; need one of each")
    return model


def _config_text(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json").decode()
    with h5py.File(path) as file:
        text = file.attrs["model_config"]
        return text.decode() if isinstance(text, bytes) else text


def _layer_kinds(text):
    """Names of all classes in a model's JSON."""
    found = set()

    def visit(value):
        found.add(value.get("class_name"))
        return value

    json.loads(text, object_hook=visit)
    return found


def _scale_of(model, path):
    """How many times a model enlarges an image along each side."""
    height, width = (size or SMALLEST_INPUT for size in model.input_shape[1:3])
    if len(model.input_shape) != 4 or model.input_shape[-1] != 3:
        raise UserError(f"{path} takes {model.input_shape}; need float RGB [n, h, w, 3]")
    shape = model(np.zeros((1, height, width, 3), np.float32)).shape
    for scale in SCALES:
        if tuple(shape) == (1, height * scale, width * scale, 3):
            return scale
    raise UserError(
        f"{path} makes {tuple(shape)} of (1, {height}, {width}, 3); need RGB of {', '.join(map(str, SCALES))} times "
        "the size"
    )
