"""Robustness check: every file of a folder through upscaling, evaluation and training's reader, in limited processes.

    python -m tools.check_corpora FOLDER          a corpus of images, damaged ones too (docs/robustness.md names some)
    python -m tools.check_corpora                 mutants that the check makes itself: images cut and with bytes flipped
    python -m tools.check_corpora --mutants 300   a few of them
    python -m tools.check_corpora FOLDER --mutants 300      mutants of the folder's files

Weight files (WEIGHTS) are evaluated on an image. Each other file is upscaled alone; rfdn, keras_rfdn.prepare,
keras_rfdn.evaluate and training's reader then take all of them in small folders, those that fail in halves until the
file is found, and the folder as it is. Good are a result and one `error:` line with status 2; anything else is named,
and the exit status is 1. Images above SMALL_PIXELS may take more than the limits.
"""

import collections
import contextlib
import dataclasses
import functools
import importlib
import os
import pathlib
import shutil
import sys
import tempfile

import simple_parsing
from absl import logging
from PIL import Image, ImageSequence

from keras_rfdn import evaluate, prepare, upscale
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from keras_rfdn.checkpoints import pretrained
    from keras_rfdn.data.images import image_files, pillow_limits
    from keras_rfdn.data.sources import sample
    from keras_rfdn.data.streams import pipeline
    from keras_rfdn.imaging import image_formats
    from tools import check_corpora_mutants, check_corpora_runs

NETWORK = "rfdn-mobile-x2"  # the fastest
SCALE, PATCH = 2, 4
SMALL_PIXELS = 1_000_000  # four make a processor without integer dot products work for 20 seconds
WEIGHTS = (".h5", ".pth", ".pt", ".mat", ".pb", ".caffemodel", ".params", ".param", ".bin", ".tflite")  # suffixes
TOGETHER = 32  # files of a small folder
SIDE = 48  # pixels of the image that weights are evaluated on
# What the calls need, and commands import lazily.
NEEDED = (
    "keras_rfdn.evaluation.measurement", "keras_rfdn.evaluation.plots", "keras_rfdn.evaluation.reports",
    "keras_rfdn.evaluation.tables", "keras_rfdn.data.sources.checks", "keras_rfdn.data.sources.downloads",
    "keras_rfdn.imaging.image_folders", "keras_rfdn.imaging.image_upscaling", "keras_rfdn.upscaling.upscaler",
    "keras_rfdn.video.video", "keras_rfdn.data.streams.pipeline",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CheckCorporaConfig:
    """Check that every file of a folder gives a result or one error line, within limits of memory and time."""

    folder: str | None = simple_parsing.field(default=None, positional=True, nargs="?", metavar="FOLDER")
    # how many mutants, of FOLDER's files or the check's own; by default all of its own and none of FOLDER's
    mutants: int | None = number(None, above=0)
    memory: float = number(2.0, above=0, most=1024)  # GiB that one process may take
    seconds: float = number(20.0, above=0, most=100_000)  # of the processor that one file may take
    jobs: int = number(os.cpu_count() or 1, above=0, most=MOST_THREADS)  # processes at a time
    keep: str | None = None  # folder that gets a copy of the offending files


@dataclasses.dataclass(frozen=True)
class ReaderSettings:
    """Training's reader: find the images of a folder, decode them into a cache, make a batch."""

    data: str
    cache: str  # folder
    scale: int = simple_parsing.choice(*SCALES, default=SCALE)


def load(config):
    """The part of training that reads files."""
    train, valid = pipeline.sources(config.data, config.scale, skip_broken=True)
    pipeline.validation_images(valid, 1)
    pairs = pipeline.cache(train, config.cache, smallest=PATCH)
    pipeline.batch_at(0, pairs, lr_patch=PATCH, batch=8, seed=0)


def main(config):
    """Prints a table and the offenders, and returns the outcomes as a list of check_corpora_runs.Ended."""
    check_fields(config)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        scratch = pathlib.Path(scratch)
        if config.folder:
            folder = pathlib.Path(config.folder)
            if not folder.is_dir():
                raise UserError(f"{folder} is not a folder; name one of images, or none for mutants")
            paths = sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
            if config.mutants:
                folder = scratch / "mutants"
                folder.mkdir()
                paths = check_corpora_mutants.write_of(paths, folder, config.mutants)
        else:
            folder = scratch / "mutants"
            folder.mkdir()
            paths = check_corpora_mutants.write(folder, config.mutants)
        outcomes = check(folder, paths, scratch, config)
        offenders = [outcome for outcome in outcomes if is_bad(outcome)]
        print(f"{len(paths)} files of {config.folder or 'mutants'}, {config.memory:g} GiB, {config.seconds:g} s")
        print(table(outcomes))
        for offender in offenders:
            name, files = offender.call.name
            print(f"{offender.kind}: {name}: {files[0] if len(files) == 1 else folder}: {offender.words}")
            print(f"    {offender.memory_bytes / 2**20:.0f} MiB, {offender.seconds:.1f} s")
            if config.keep and len(files) == 1:
                pathlib.Path(config.keep).mkdir(parents=True, exist_ok=True)
                shutil.copy(files[0], config.keep)
    return outcomes


def check(folder, paths, scratch, config):
    """Run everything over the files -> [Ended]. The name of each call is (what was run, its files)."""
    for name in NEEDED:
        vars(importlib.import_module(name))  # loads a lazy module
    image_files.extensions()
    pretrained.int8(NETWORK)  # its checksum, once
    limits = check_corpora_runs.Limits(int(config.memory * 2**30), config.seconds)
    numbers = iter(range(sys.maxsize))
    weights = [path for path in paths if path.suffix in WEIGHTS]
    calls = collections.deque()
    if weights:
        (scratch / "image").mkdir()
        Image.fromarray(sample.dead_leaves(SIDE, seed=0)).save(scratch / "image/leaves.png")
        calls.extend(_of_weights(path, scratch / "image", scratch / str(next(numbers)), limits) for path in weights)
    images = [path for path in paths if path.suffix not in WEIGHTS]
    calls.extend(_alone(path, scratch / str(next(numbers)), limits) for path in images)
    for start in range(0, len(images), TOGETHER):
        few = images[start : start + TOGETHER]
        calls.extend(_together(kind, few, scratch / str(next(numbers)), limits) for kind in FOLDER_CALLS)
    if images:
        for kind in FOLDER_CALLS:
            calls.append(_of_folder(kind, f"{kind}, whole", folder, images, scratch / str(next(numbers)), limits))
    outcomes = []
    with track(None, "checking", total=len(calls), unit="runs") as bar:
        for ended in check_corpora_runs.run(calls, config.jobs):
            bar.update()
            name, files = ended.call.name
            if not (bad := is_bad(ended)) or len(files) == 1 or name.endswith("whole"):
                outcomes.append(ended)
                if bad:
                    logging.info("%s: %s: %s", ended.kind, name, files[0] if len(files) == 1 else folder)
            else:
                halves = files[: len(files) // 2], files[len(files) // 2 :]
                calls.extend(_together(name, half, scratch / str(next(numbers)), limits) for half in halves)
            shutil.rmtree(ended.call.scratch)
    return outcomes


def is_bad(ended):
    """Whether a call ended otherwise than it should. Limits are for small images, as their headers tell the size."""
    if ended.kind in (check_corpora_runs.MEMORY, check_corpora_runs.TIME):
        return not any(_pixels(path) > SMALL_PIXELS for path in ended.call.name[1])
    return ended.kind not in check_corpora_runs.GOOD


@functools.cache
def _pixels(path):
    """Pixels of an image, all frames and pages together, as far as its file can be read."""
    pixels = 0
    with contextlib.suppress(Exception), pillow_limits.taken_over(), Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):  # pages differ in size
            pixels += frame.width * frame.height
    return pixels


def table(outcomes):
    """Ended calls -> text: what was run, and how many ended in which way."""
    counts = collections.Counter((ended.call.name[0], ended.kind) for ended in outcomes)
    names = dict.fromkeys(name for name, _ in counts)
    rows = [[name, *(counts[name, kind] for kind in check_corpora_runs.KINDS)] for name in names]
    return text_table(["", *check_corpora_runs.KINDS], rows)


def _run(main, config_class, *words):
    """A command as a user starts it, in this process."""
    sys.argv = [main.__module__, *map(str, words)]
    command.run(main, config_class)


def _alone(path, scratch, limits):
    kept = image_formats.of_suffix(path) is not None
    target = scratch / f"out{path.suffix if kept else '.png'}"
    function = functools.partial(_upscale, path, target)
    return check_corpora_runs.Call(("rfdn FILE", (path,)), function, scratch, limits, target)


def _upscale(path, target):
    try:
        _run(upscale.main, upscale.UpscaleConfig, path, target, "--weights", NETWORK)
    except SystemExit as error:
        if error.code:
            raise
    with pillow_limits.taken_over(), Image.open(target) as image:  # what was written must be readable
        image.load()


def _of_weights(path, image, scratch, limits):
    named = path.with_suffix(".bin") if path.suffix == ".param" else path  # ncnn's network is two files
    function = functools.partial(_run, evaluate.main, evaluate.EvaluateConfig, image, "--weights", named)
    return check_corpora_runs.Call(("weights", (path,)), function, scratch, limits)


FOLDER_CALLS = {
    "rfdn FOLDER": lambda folder, out: _run(
        upscale.main, upscale.UpscaleConfig, folder, out / "images", "--weights", NETWORK
    ),
    "prepare": lambda folder, out: _run(prepare.main, prepare.PrepareConfig, folder, "--scale", SCALE),
    "evaluate": lambda folder, out: _run(
        evaluate.main, evaluate.EvaluateConfig, folder, "--weights", pretrained.int8(NETWORK), "--skip_broken"
    ),
    "training's reader": lambda folder, out: _run(load, ReaderSettings, "--data", folder, "--cache", out),
}


def _together(kind, files, scratch, limits):
    """Call of a folder of links to files, whose names tell nothing but a format."""
    folder = scratch / "in"
    folder.mkdir(parents=True)
    for i, path in enumerate(files):
        suffix = path.suffix if path.suffix.lower() in image_files.extensions() else ".png"
        (folder / f"f{i:03d}{suffix}").symlink_to(path.resolve())
    return _of_folder(kind, kind, folder, files, scratch, limits)


def _of_folder(kind, name, folder, files, scratch, limits):
    limits = dataclasses.replace(limits, seconds=limits.seconds * (1 + len(files) / 8))
    function = functools.partial(FOLDER_CALLS[kind], folder, scratch)
    return check_corpora_runs.Call((name, tuple(files)), function, scratch, limits)


def exit_with_verdict(config):
    """Run main, and exit with status 1 when a file gave anything but a result or one error line."""
    if any(map(is_bad, main(config))):
        sys.exit(1)


if __name__ == "__main__":
    command.run(exit_with_verdict, CheckCorporaConfig)
