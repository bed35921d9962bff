"""Upscaling of images and videos, also as the command rfdn:

rfdn in.png out.png                          four times as large, by E-RFDN's int8 file
rfdn FOLDER FOLDER --weights rfdn-mobile-x2  every image of a folder
rfdn in.mp4 out.mp4 --scale 2                a video, with its sound
rfdn - - < in.png > out.png                  standard input and output
"""

import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tempfile

import simple_parsing
from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system.errors import UserError

with lazy_imports():
    from keras_rfdn.data.system import files, progress
    from keras_rfdn.imaging import image_folders, image_formats, image_upscaling
    from keras_rfdn.upscaling import upscaler
    from keras_rfdn.video import video

STREAM = "-"


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
    """Upscale an image, every image of a folder, or a video. What a file holds besides pixels is kept, or named."""

    input: str = simple_parsing.field(positional=True, metavar="IN")  # image, folder or video; - for standard input
    output: str = simple_parsing.field(positional=True, metavar="OUT")  # the same; - for standard output
    # Pretrained weights by name (e-rfdn-x4, rfdn-mobile-x2, ...), a .tflite file, or weights of your training.
    weights: str | None = None
    scale: int | None = choice(2, 3, 4, default=None)  # by default that of the weights, and of E-RFDN 4
    float: bool = False  # the pretrained float32 weights in place of the int8 file; needs TensorFlow
    threads: int | None = number(None, above=0, most=MOST_THREADS)  # of the processor; all by default
    format: str | None = None  # of standard output: png (the default), jpg, webp, tif, mp4 ...
    strip: bool = False  # drop what files hold besides pixels: EXIF, XMP, colour profile ...
    overwrite: bool = False  # write over files that are there


def main(config):
    """Writes the upscaled files and returns their paths.

    Raises UserError that names the images of a folder that can't be upscaled, after the others are done.
    """
    check_fields(config)
    if config.format and config.output != STREAM:
        raise UserError("--format is for OUT -; a file has the format that its name asks for")
    if config.input != STREAM and pathlib.Path(config.input).is_dir():
        return _folder(config)
    with _source(config) as source, _target(config, source) as target:
        if is_video := video.is_video(source):
            _check_video(config, target)
        else:
            image_formats.of_target(target)  # refused before the network is loaded
        up = _open(config)
        if is_video:
            identity = f"{files.sha256(up.name)} {config.float}"
            video.upscale_video(source, target, up, up.scale, identity=identity)
        else:
            _say(target, image_upscaling.upscale_file(source, target, up, up.scale, strip=config.strip))
    return [target]


def _open(config):
    up = upscaler.Upscaler(config.weights, scale=config.scale, threads=config.threads, float=config.float)
    logging.info("x%d with %s", up.scale, up.name)
    return up


def _folder(config):
    if config.output == STREAM:
        raise UserError(f"standard output holds one image, and {config.input} is a folder; name a folder")
    plan = image_folders.plan(config.input, config.output, overwrite=config.overwrite)
    if plan.passed_over:
        logging.warning("passed over, for they are no images that are read: %s", plan.passed_over)
    if plan.renamed:
        logging.info("results that are .png, for the format of their source is not written: %d", plan.renamed)
    if plan.done:
        logging.info("in %s already: %d; --overwrite remakes them", config.output, plan.done)
    if not plan.pairs:
        return []
    up = _open(config)
    outcomes = image_folders.upscale_files(plan.pairs, up, up.scale, strip=config.strip)
    errors, written = [], []
    for outcome in progress.track(outcomes, "upscaling", total=len(plan.pairs)):
        if outcome.error:
            errors.append(outcome.error)
        else:
            _say(outcome.target, outcome.notes)
            written.append(outcome.target)
    if errors:
        raise UserError(f"{len(errors)} of {len(plan.pairs)} not upscaled:\n" + "\n".join(errors))
    return written


def _say(target, notes):
    if notes:
        logging.warning("%s: %s", files.printable(target), "; ".join(notes))


@contextlib.contextmanager
def _source(config):
    """Path of the image or video to read; standard input is a file for as long."""
    if config.input != STREAM:
        source = pathlib.Path(config.input)
        if not source.exists():
            raise UserError(f"no image, video or folder at {files.printable(source)}")
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "standard input")
        with open(source, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield source


@contextlib.contextmanager
def _target(config, source):
    """Path of the file to write; what is for standard output is copied there at the end."""
    if config.output != STREAM:
        target = pathlib.Path(config.output)
        if target.is_dir():
            if config.input == STREAM:
                raise UserError(f"{files.printable(target)} is a folder; name a file in it")
            target = target / source.name
        if target.exists() and not config.overwrite:
            raise UserError(f"{files.printable(target)} is there already; name another file, or say --overwrite")
        yield target
        return
    if sys.stdout.isatty():
        raise UserError("an image is nothing for a terminal to show: name a file, or pipe the output")
    with tempfile.TemporaryDirectory() as folder:
        suffix = config.format or ("mkv" if video.is_video(source) else "png")
        target = pathlib.Path(folder, f"standard output.{suffix.lower().removeprefix('.')}")
        yield target
        with open(target, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _check_video(config, target):
    if config.strip:
        raise UserError("--strip is for images; a video keeps what its streams hold")
    if target.suffix.lower() not in video.TARGETS:
        raise UserError(f"{target.name} must end in {', '.join(video.TARGETS)}, as {config.input} is a video")


def run():
    """The console script rfdn."""
    command.run(main, UpscaleConfig)


if __name__ == "__main__":
    run()
