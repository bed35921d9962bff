"""Weight files: Keras HDF5 with the ModelConfig inside, so that a file alone is enough to rebuild its network.

The authors' released .pth files (keras_rfdn/checkpoints/author_weights.py) are read wherever a weight file is.
"""

import contextlib
import dataclasses
import json
import pathlib

import h5py

from keras_rfdn.checkpoints import author_weights, pretrained
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig, name_of

ATTRIBUTE = "keras_rfdn"
BEST, LAST = "best.h5", "last.h5"  # in a workdir of keras_rfdn.train
RUNS = pathlib.Path("runs")  # where keras_rfdn.train puts its workdirs


def save(model, config, path, **about):
    """Write a model's weights, its ModelConfig and any facts about them (JSON values) to an HDF5 file.

    Replaces the file at once when all is written, never before.
    """
    with files.atomic_write(path) as partial:
        model.save_weights(partial, save_format="h5")
        with h5py.File(partial, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps({"config": dataclasses.asdict(config), **about})


def about(path):
    """(ModelConfig, facts) of a weight file. Raises UserError when it is not one of ours."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"no weight file at {path}; train one (python -m keras_rfdn.train), or name another or one of "
            f"those shipped: {', '.join(pretrained.names())}"
        )
    if path.suffix == author_weights.SUFFIX:
        name, config, _ = author_weights.read(path)
        return config, {"variant": name, "source": path.name}
    try:
        with h5py.File(path) as file:
            facts = json.loads(file.attrs[ATTRIBUTE])
        return ModelConfig(**facts.pop("config")), facts
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is no weight file of keras_rfdn ({error}); need one of its trainer's, or a released .pth"
        ) from error


def load(path=None, **build_options):
    """Weight file, workdir or None (see resolve) -> (model, ModelConfig). build_options: as for models.build."""
    path = resolve(path)
    if path.suffix == author_weights.SUFFIX:
        _, config, state = author_weights.read(path)
        return author_weights.load(state, **build_options)[-1], config
    config, _ = about(path)
    model = models.build(config, **build_options)
    model.load_weights(path)
    return model, config


def resolve(path=None, *, variant=None, scale=None):
    """The weight file that a user means.

    path: the file, a workdir (its best), or a name of the pretrained weights ("e-rfdn-x4"). With None it is the best of
    the newest run in RUNS, or where there is none the pretrained one. variant, scale: what the weights must be of.
    Raises UserError when there is no such file.
    """
    if path is None:
        return _newest_run(variant, scale) or _shipped(variant, scale)
    path = pathlib.Path(path)
    if not path.exists() and str(path) in pretrained.names():
        path = pretrained.named(str(path))
    if path.is_dir():
        path = _of_workdir(path)
    if not _fits(path, variant, scale):
        config, _ = about(path)
        raise UserError(f"{path} holds {name_of(config)} x{config.scale}, not {variant or 'any'} x{scale or 'any'}")
    return path


def _newest_run(variant, scale):
    for run in sorted(RUNS.glob(f"*/{BEST}"), key=lambda p: p.stat().st_mtime, reverse=True):
        with contextlib.suppress(ValueError):  # somebody else's file is not what the user means
            if _fits(run, variant, scale):
                return run
    return None


def _shipped(variant, scale):
    try:
        return pretrained.find(variant, scale)
    except ValueError as error:
        wanted = f" of {variant or 'any variant'} x{scale or 'any'}" if variant or scale else ""
        raise UserError(
            f"no trained run{wanted} in {RUNS}/, and {error}; train one (python -m keras_rfdn.train) or name --weights"
        ) from error


def _of_workdir(workdir):
    for name in (BEST, LAST):
        if (workdir / name).is_file():
            return workdir / name
    raise UserError(f"no {BEST} or {LAST} in {workdir}; is it a workdir of keras_rfdn.train that has validated once?")


def _fits(path, variant, scale):
    config, _ = about(path)
    return variant in (None, name_of(config)) and scale in (None, config.scale)
