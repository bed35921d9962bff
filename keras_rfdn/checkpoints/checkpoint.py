"""Weight files: Keras HDF5 with the configuration inside, so that a file alone is enough to rebuild its network.

Files of other frameworks with released weights (keras_rfdn/checkpoints/author_weights.py) are read wherever a weight
file is.
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterator

import h5py
import tf_keras as keras
from absl import logging
from tf_keras.src.saving.legacy import hdf5_format

from keras_rfdn.checkpoints import author_weights, pretrained
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError, as_user_error
from keras_rfdn.networks import models
from keras_rfdn.networks.config import Config, ModelConfig, ZooConfig, name_of

ATTRIBUTE = "keras_rfdn"
BEST, LAST = "best.h5", "last.h5"  # in a workdir of keras_rfdn.train
RUNS = pathlib.Path("runs")  # where keras_rfdn.train puts its workdirs


def save(model: keras.Model, config: Config, path: str | os.PathLike, **about) -> None:
    """Write a model's weights, its ModelConfig and any facts about them (JSON values) to an HDF5 file, atomically."""
    with hdf5_write(path) as file:
        save_weights(model, file)
        file.attrs[ATTRIBUTE] = json.dumps({"config": dataclasses.asdict(config), **about})


@contextlib.contextmanager
def hdf5_write(path: str | os.PathLike) -> Iterator[h5py.File]:
    """HDF5 file to write, as a context: made in memory, and then written atomically.

    On a full disk HDF5 itself raises RuntimeError when it closes a file, and may end the process later.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with files.atomic_write(path) as temporary:
        temporary.write_bytes(content.getvalue())


def save_weights(model: keras.Model, file: h5py.File) -> None:
    """Write a model's weights as keras.Model.save_weights does, which takes no file in memory."""
    hdf5_format.save_weights_to_hdf5_group(file, model)


def about(path: str | os.PathLike) -> tuple[Config, dict]:
    """Facts of a weight file: (configuration, what save was told). Raises UserError when it is not one of ours."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"no weight file at {path}; train one (python -m keras_rfdn.train), or name another or one of "
            f"those shipped: {', '.join(pretrained.names())}"
        )
    if _is_foreign_format(path):
        released = author_weights.read(path)
        return released.config, {"variant": released.variant, "source": path.name}
    with _reading(path), h5py.File(path) as file:
        facts = json.loads(file.attrs[ATTRIBUTE])
        return _config(facts.pop("config")), facts


def _reading(path):
    """Reading of HDF5, as a context: a damaged file leads to errors of a dozen kinds, all of which become UserError."""
    return as_user_error(
        lambda error: (
            f"{path} is no weight file of keras_rfdn, or a damaged one ({' '.join(str(error).split())}); need one of "
            f"its trainer's, or released weights of another framework"
        )
    )


def _is_foreign_format(path):
    """Whether a file is no HDF5 file, nor means to be one."""
    return path.suffix != ".h5" and not h5py.is_hdf5(path)


def _config(fields):
    """Configuration from the JSON of a weight file, which may be older than a name in it."""
    if fields.keys() == {field.name for field in dataclasses.fields(ZooConfig)}:
        return ZooConfig(**fields)
    fields = {("distillation_rate" if name == "distillation" else name): value for name, value in fields.items()}
    if fields.get("network") == "anchored":
        fields["network"] = "image_residual"
    return ModelConfig(**fields)


def load(path: str | os.PathLike | None = None, **build_options) -> tuple[keras.Model, Config]:
    """Model and configuration of a weight file, workdir or None (see resolve). build_options: as for models.build."""
    path = resolve(path)
    if _is_foreign_format(path):
        released = author_weights.read(path)
        return author_weights.build(released, **build_options), released.config
    config, _ = about(path)
    with _reading(path):  # its configuration may be damaged, and no network's
        model = models.build(config, **build_options)
        model.load_weights(path)
    return model, config


def resolve(
    path: str | os.PathLike | None = None, *, variant: str | None = None, scale: int | None = None
) -> pathlib.Path:
    """Path of the weight file that a user means.

    path: the file, a workdir (its best), or a name of the pretrained weights ("e-rfdn-x4"). With None it is the best of
    the newest run in RUNS, or where there is none the pretrained one. variant, scale: what the weights must be of.
    Raises UserError when there is no such file, or the newest run's is damaged.
    """
    if path is None:
        return _newest_run(variant, scale) or _shipped(variant, scale)
    path = pathlib.Path(path)
    if not path.exists() and str(path) in pretrained.names():
        path = pretrained.named(str(path))
    if path.is_dir():
        path = _of_workdir(path)
    config, _ = about(path)
    if not _fits(config, variant, scale):
        raise UserError(f"{path} holds {name_of(config)} x{config.scale}, not {variant or 'any'} x{scale or 'any'}")
    return path


def _newest_run(variant, scale):
    for run in sorted(RUNS.glob(f"*/{BEST}"), key=lambda p: p.stat().st_mtime, reverse=True):
        if _is_foreign(run):
            logging.info("%s is no weight file of keras_rfdn.train; passed over", run)
            continue
        try:
            config, _ = about(run)
        except UserError as error:
            # An older run's weights in its place would be others than the user means, without a word.
            raise UserError(f"{error}. It is the newest run's: delete it, or name the weights that you mean") from error
        if _fits(config, variant, scale):
            return run
    return None


def _is_foreign(path):
    """Whether a file is undamaged, but not of this trainer: int8 fine-tuning keeps its best weights in RUNS, too."""
    try:
        with h5py.File(path) as file:
            return ATTRIBUTE not in file.attrs
    except OSError:
        return False


def _shipped(variant, scale):
    try:
        return pretrained.find(variant, scale)
    except ValueError as error:
        wanted = f" of {variant or 'any variant'} x{scale or 'any'}" if variant or scale else ""
        raise UserError(
            f"no trained run{wanted} in {RUNS}/, and {error}; train one (python -m keras_rfdn.train) or name weights"
        ) from error


def _of_workdir(workdir):
    for name in (BEST, LAST):
        if (workdir / name).is_file():
            return workdir / name
    raise UserError(f"no {BEST} or {LAST} in {workdir}; is it a workdir of keras_rfdn.train that has validated once?")


def _fits(config, variant, scale):
    return variant in (None, name_of(config)) and scale in (None, config.scale)
