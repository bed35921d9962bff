"""Data distillation: LR images, and for HR what the self-ensemble of trained networks makes of them, to train on.

    python -m tools.distill IMAGES PAIRS --weights runs/A
    python -m keras_rfdn.train --data PAIRS --valid VALID --init runs/A --loss l2

The mean over eight flips and quarter turns (evaluate.py --ensemble) is nearer to the truth than each of the eight, and
a network that learns it needs one pass for what took eight: Radosavovic et al., "Data Distillation" (CVPR 2018). Unlike
the originals it holds no detail that can't be told from the LR image, so each patch says more of what to learn.
"""

import dataclasses
import json
import pathlib

import numpy as np
import simple_parsing
from absl import logging
from PIL import Image

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.sources import folders
    from keras_rfdn.upscaling import keras_upscalers, tiling

SET = "ensemble"  # what the folders are named, as data/sources/folders.py reads DIV2K's
TEACHERS = "teachers.json"


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Write LR images, and the self-ensemble's HR images of them, as a folder to train on."""

    images: str = simple_parsing.field(positional=True, metavar="IMAGES")  # a folder as train's --data takes it
    pairs: str = simple_parsing.field(positional=True, metavar="PAIRS")  # the folder to write
    weights: tuple[str, ...]  # weight files or workdirs of one scale; of several, the mean of their ensembles


def main(config):
    """Writes the pairs that are not there yet. Returns the number of pairs in the folder.

    Raises UserError for weights of several scales, images that would share a name, and a folder that other weights
    have begun or that lies among the images.
    """
    weights = [checkpoint.resolve(path) for path in config.weights]
    models = [checkpoint.load(path) for path in weights]
    scale = models[0][1].scale
    if any(model_config.scale != scale for _, model_config in models):
        raise UserError(f"weights of one scale are needed, got x{', x'.join(str(c.scale) for _, c in models)}")
    source = folders.find_pairs(config.images, scale)
    source = source.split_published()[0] or source  # what DIV2K keeps for validation is not learnt from
    target = pathlib.Path(config.pairs)
    files.check_outside(target, config.images)
    jobs = _jobs(source, config.images, target)
    _claim(target, [files.sha256(path) for path in weights])
    ensembles = [keras_upscalers.self_ensemble(keras_upscalers.float_from_model(model)) for model, _ in models]
    mean = keras_upscalers.to_pixels(lambda lr: np.mean([ensemble(lr) for ensemble in ensembles], axis=0))
    teacher = tiling.tiled(mean, scale)
    todo = [(paths, written) for paths, written in jobs if not written[1].exists()]
    if len(todo) < len(jobs):
        logging.info("%d of %d are in %s already", len(jobs) - len(todo), len(jobs), target)
    for paths, written in track(todo, "distilling"):
        _, lr, _ = folders.load_pair(*paths, scale)
        for path, pixels in zip(written, (lr, teacher(lr)), strict=True):
            with files.atomic_write(path) as partial:
                Image.fromarray(pixels).save(partial)
    print(f"{len(jobs)} pairs at x{scale} in {target}")
    return len(jobs)


def _claim(folder, teachers):
    """Note in the folder whose ensembles it holds; raise UserError when it holds those of others."""
    note = folder / TEACHERS
    if note.exists() and json.loads(note.read_text()) != teachers:
        raise UserError(f"{folder} was begun with other weights (sha256 in {note.name}); name another folder")
    if not note.exists():
        files.write_json(note, teachers)


def _jobs(source, folder, target):
    """[((HR file, LR file or None), (LR file, HR file) to write)]; the HR file comes last: it says that both are."""
    named = {}
    for paths in source.files:
        name = "_".join(paths[0].relative_to(folder).with_suffix("").parts)
        if name in named:
            raise UserError(f"{named[name][0]} and {paths[0]} would both be {name}.png; rename or remove one")
        named[name] = paths
    hr_folder, lr_folder = target / f"{SET}_HR", target / f"{SET}_LR_bicubic" / f"X{source.scale}"
    return [
        (paths, (lr_folder / f"{name}x{source.scale}.png", hr_folder / f"{name}.png")) for name, paths in named.items()
    ]


if __name__ == "__main__":
    command.run(main, DistillConfig)
