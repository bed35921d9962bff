"""Upscaling of image files:

python -m keras_rfdn.upscale in.png out.png                 by the newest run, or pretrained weights
python -m keras_rfdn.upscale FOLDER FOLDER --weights A      every image of a folder, by weights of yours
"""

import dataclasses
import pathlib

import simple_parsing
import tqdm
from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.data.images import image_files
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling.image_upscaling import file_format, upscale_file
from keras_rfdn.upscaling.tiling import OVERLAP, tiled
from keras_rfdn.upscaling.upscalers import open_upscaler


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
    """Upscale an image, or every image of a folder; transparency, orientation and colour profile are kept."""

    input: str = simple_parsing.field(positional=True, metavar="IN")  # image or folder
    output: str = simple_parsing.field(positional=True, metavar="OUT")  # image or folder
    # Weight file, workdir, .tflite or released .pth; by default the newest run or pretrained.
    weights: str | None = None
    variant: str | None = None  # by default that of the weights
    scale: int | None = None  # by default that of the weights
    # LR pixels a side, above which an image is cut into tiles to bound memory
    tile: int = number(384, above=2 * OVERLAP)
    overwrite: bool = False  # write over files that are there


def main(config):
    """Writes the upscaled files and returns their paths. Images of a folder that can't be read are named at the end."""
    check_fields(config)
    jobs = _jobs(config)
    upscale, scale, description = open_upscaler(config.weights, variant=config.variant, scale=config.scale)
    upscale = tiled(upscale, config.tile, config.tile)
    logging.info("x%d with %s", scale, description)
    failed = []
    for source, target in tqdm.tqdm(jobs, unit=" images", disable=len(jobs) < 2 or None):
        try:
            upscale_file(source, target, upscale)
        except UserError as error:
            failed.append(str(error))
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} not upscaled:\n" + "\n".join(failed))
    return [target for _, target in jobs]


def _jobs(config):
    """[(image to read, image to write)]: of a folder those that are not written yet, so that a killed run resumes."""
    source, target = pathlib.Path(config.input), pathlib.Path(config.output)
    if not source.is_dir():
        if not source.is_file():
            raise UserError(f"no image or folder at {source}")
        if target.is_dir():
            target = target / source.name
        if target.exists() and not config.overwrite:
            raise UserError(f"{target} is there already; name another file, or say --overwrite")
        file_format(target)  # which is refused before the network is loaded
        return [(source, target)]
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file, but {source} is a folder; name a folder")
    files.check_outside(target, source)
    jobs = [(path, target / path.relative_to(source)) for path in image_files.find(source)]
    todo = [job for job in jobs if config.overwrite or not job[1].exists()]
    if len(todo) < len(jobs):
        logging.info("%d of %d are in %s already; --overwrite remakes them", len(jobs) - len(todo), len(jobs), target)
    return todo


if __name__ == "__main__":
    command.run(main, UpscaleConfig)
