"""Upscaling: functions `upscale(lr) -> sr` on uint8 RGB images, and the command

python -m keras_rfdn.upscale IN OUT            an image, or every image of a folder
"""

import dataclasses
import pathlib

import simple_parsing
import tqdm
from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.data.images import image_files
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling.image_upscaling import upscale_file
from keras_rfdn.upscaling.tiling import tiled
from keras_rfdn.upscaling.upscalers import open_upscaler


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
    """Upscale an image, or every image of a folder; transparency, orientation and colour profile are kept."""

    input: str = simple_parsing.field(positional=True, metavar="IN")  # image or folder
    output: str = simple_parsing.field(positional=True, metavar="OUT")  # image or folder
    weights: str | None = None  # weight file, workdir, .tflite or released .pth; by default the newest run or shipped
    variant: str | None = None  # by default that of the weights
    scale: int | None = None  # by default that of the weights
    tile: int = 384  # LR pixels a side, above which an image is cut into tiles to bound memory
    overwrite: bool = False  # write over files that are there


def main(config):
    """Writes the upscaled files and returns their paths. Files of a folder that can't be read are named at the end."""
    jobs = _jobs(config)
    upscaler, scale, source = open_upscaler(config.weights, variant=config.variant, scale=config.scale)
    upscaler = tiled(upscaler, config.tile, config.tile)
    logging.info("x%d with %s", scale, source)
    failed = []
    for lr_path, sr_path in tqdm.tqdm(jobs, unit=" images", disable=len(jobs) < 2 or None):
        try:
            upscale_file(lr_path, sr_path, upscaler)
        except ValueError as error:
            failed.append(str(error))
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} not upscaled:\n" + "\n".join(failed))
    return [sr_path for _, sr_path in jobs]


def _jobs(config):
    """[(LR file, SR file)]: of a folder those that are not there yet, so that a killed run goes on where it was."""
    source, target = pathlib.Path(config.input), pathlib.Path(config.output)
    if not source.is_dir():
        if not source.is_file():
            raise UserError(f"no image or folder at {source}")
        if target.is_dir():
            target = target / source.name
        if target.exists() and not config.overwrite:
            raise UserError(f"{target} is there already; name another file, or say --overwrite")
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
