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
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.images.patches import center_crop
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.images import bicubic, image_files
    from keras_rfdn.data.sources import folders
    from keras_rfdn.upscaling import keras_upscalers, tiling

SET = "ensemble"  # what the folders are named, as data/sources/folders.py reads DIV2K's
NOTE = "distilled.json"  # what the pairs of a folder are made with
LOCK = "lock"


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """Write LR images, and the self-ensemble's HR images of them, as a folder to train on."""

    images: str = simple_parsing.field(positional=True, metavar="IMAGES")  # a folder as train's --data takes it
    pairs: str = simple_parsing.field(positional=True, metavar="PAIRS")  # the folder to write
    weights: tuple[str, ...]  # weight files or workdirs of one scale; of several, the mean of their ensembles
    largest: int | None = number(None, least=1)  # LR pixels a side: of larger images the middle alone


def main(config):
    """Writes the pairs that are not there yet. Returns the number of pairs in the folder.

    Raises UserError for weights of several scales, images that would share a name, and a folder that other weights
    have begun or that lies among the images.
    """
    check_fields(config)
    weights = [checkpoint.resolve(path) for path in config.weights]
    scales = [checkpoint.about(path)[0].scale for path in weights]
    if len(set(scales)) > 1:
        raise UserError(f"weights of one scale are needed, got x{', x'.join(map(str, scales))}")
    source = folders.find_pairs(config.images, scales[0])
    source = source.split_published()[0] or source  # what DIV2K keeps for validation is not learnt from
    files.check_outside(config.pairs, config.images)
    named = _named(source.files, config.images)
    write(named, pathlib.Path(config.pairs), weights, scales[0], largest=config.largest)
    print(f"{len(named)} pairs at x{scales[0]} in {config.pairs}")
    return len(named)


def write(named, target, weights, scale, *, largest=None):
    """Data distillation into a folder: the pairs that are not there yet.

    named: {name of the pair: (HR file, LR file or None)}. target: folder. weights: files of this scale. largest: as in
    DistillConfig. Raises UserError when the folder holds pairs of other weights, or of another largest, or is another
    run's at the moment.
    """
    busy = f"another run is at work in {target}; wait for it, or name another folder"
    with files.locked(target / LOCK, busy):  # one with other weights, begun at the same moment, would mix with it
        _claim(target, {"teachers": [files.sha256(path) for path in weights], "largest": largest})
        hr_folder, lr_folder = target / f"{SET}_HR", target / f"{SET}_LR_bicubic" / f"X{scale}"
        # The HR file is written last: it says that both are there.
        todo = {name: paths for name, paths in named.items() if not (hr_folder / f"{name}.png").exists()}
        if len(todo) < len(named):
            logging.info("%d of %d are in %s already", len(named) - len(todo), len(named), target)
        if not todo:
            return
        models = [checkpoint.load(path)[0] for path in weights]
        ensembles = [keras_upscalers.self_ensemble(keras_upscalers.float_from_model(model)) for model in models]
        mean = keras_upscalers.to_pixels(lambda lr: np.mean([ensemble(lr) for ensemble in ensembles], axis=0))
        teacher = tiling.tiled(mean, scale)
        for name, paths in track(todo.items(), "distilling"):
            lr = _lr_image(*paths, scale, largest)
            for path, pixels in ((lr_folder / f"{name}x{scale}.png", lr), (hr_folder / f"{name}.png", teacher(lr))):
                with files.atomic_write(path) as partial:
                    Image.fromarray(pixels).save(partial)


def _lr_image(hr_path, lr_path, scale, largest):
    if largest is None:
        return folders.load_pair(hr_path, lr_path, scale)[1]
    if lr_path is not None:
        return _middle(image_files.read(lr_path), largest, 1)
    return bicubic.downscale(_middle(image_files.read(hr_path), largest * scale, scale), scale)


def _middle(image, most, multiple):
    """The middle of an image: sides of at most `most` pixels, and multiples of `multiple`."""
    return center_crop(image, *(min(size, most) // multiple * multiple for size in image.shape[:2]))


def _claim(folder, facts):
    """Note in the folder what its pairs are made with; raise UserError when it holds others, or such without a note."""
    note = folder / NOTE
    if note.exists() and json.loads(note.read_text()) != facts:
        raise UserError(f"{folder} was begun with other weights or another largest ({NOTE}); name another folder")
    if not note.exists():
        if (folder / f"{SET}_HR").exists():
            raise UserError(f"{folder} holds pairs, and no {NOTE} says by which weights; name another folder")
        files.write_json(note, facts)


def _named(image_files, folder):
    """{name of the pair: (HR file, LR file or None)}"""
    named = {}
    for paths in image_files:
        name = "_".join(paths[0].relative_to(folder).with_suffix("").parts)
        if name in named:
            raise UserError(f"{named[name][0]} and {paths[0]} would both be {name}.png; rename or remove one")
        named[name] = paths
    return named


if __name__ == "__main__":
    command.run(main, DistillConfig)
