"""Upscaling: functions `upscale(lr) -> sr` on uint8 RGB images, and the command

python -m keras_rfdn.upscale IN OUT            an image, or every image of a folder
"""

import dataclasses
import itertools
import pathlib

import numpy as np
import simple_parsing
import tensorflow as tf
import tqdm
from absl import logging
from PIL import Image

from data import bicubic, files, images
from keras_rfdn import checkpoint, command
from keras_rfdn.config import SMALLEST_INPUT, name_of
from keras_rfdn.tiling import fitted, padded, tiled


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


def from_model(model):
    """Keras model -> upscale(lr): uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], of any h, w >= 1."""
    return to_pixels(float_from_model(model))


def to_pixels(upscale):
    """An upscaler whose result is float grey levels -> one that rounds and clips them to uint8."""
    return lambda lr: upscale(lr).round().clip(0, 255).astype(np.uint8)


def float_from_model(model):
    """As from_model, but the result is float32, neither rounded nor clipped: what a mean is made of."""
    # One trace for every size; the eager model would dispatch some hundred operations one by one.
    forward = tf.function(model, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])

    def upscale(lr):
        return forward(lr[None].astype(np.float32))[0].numpy()

    return padded(upscale, SMALLEST_INPUT, SMALLEST_INPUT)


def self_ensemble(upscale):
    """Mean of an upscaler's results on the eight flips and quarter turns of an image, turned back ("RFDN+" in papers).

    upscale may give float grey levels (float_from_model), which are then averaged before anything is rounded or
    clipped, or uint8, as an int8 TFLite file must: each of the eight then carries its own rounding. The mean is float.
    """

    def wrapped(lr):
        total = 0.0
        for turns, flip in itertools.product(range(4), (False, True)):
            view = np.rot90(lr, turns)
            sr = upscale(np.ascontiguousarray(view[:, ::-1] if flip else view))
            total = total + np.rot90(sr[:, ::-1] if flip else sr, -turns).astype(np.float64)
        return total / 8

    return wrapped


def open_upscaler(weights=None, *, variant=None, scale=None, ensemble=False):
    """(upscale, scale, what it is in words) from weights as --weights takes them (checkpoint.resolve).

    ensemble: whether to upscale by self_ensemble.
    Raises ValueError when there is no such file, or it is not of the variant or scale asked for.
    """
    if weights is not None and str(weights).endswith(".tflite"):
        # Only here and in evaluate does this package look at the later one, so that its commands take either file.
        from tflite import runtime

        model = runtime.Model(weights)
        if variant is not None or scale not in (None, model.scale):
            raise ValueError(f"{weights} upscales x{model.scale} and tells no variant; leave --variant and --scale out")
        upscaler = fitted(model.upscale, model.smallest, model.largest)
        return to_pixels(self_ensemble(upscaler)) if ensemble else upscaler, model.scale, str(weights)
    path = checkpoint.resolve(weights, variant=variant, scale=scale)
    model, config = checkpoint.load(path)
    upscaler = float_from_model(model)
    upscaler = to_pixels(self_ensemble(upscaler) if ensemble else upscaler)
    return upscaler, config.scale, f"{name_of(config)} of {path}"


def upscale_image(image, upscale):
    """Pillow image of any mode -> Pillow image, RGB or RGBA; transparency is upscaled by bicubic."""
    if not image.has_transparency_data:
        return Image.fromarray(upscale(images.to_rgb(image)))
    rgba = np.asarray(image.convert("RGBA"))
    sr = upscale(np.ascontiguousarray(rgba[..., :3]))
    alpha = bicubic.upscale(rgba[..., 3:], sr.shape[0] // rgba.shape[0])
    return Image.fromarray(np.concatenate([sr, alpha], axis=2))


def upscale_file(source, target, upscale):
    """Image file -> upscaled image file of the format that target's suffix names, written whole or not at all.

    Raises ValueError when source can't be read or target's format is unknown. A JPEG or BMP, which hold no
    transparency, gets it laid on white.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    kind = Image.registered_extensions().get(target.suffix.lower())
    if kind not in ("PNG", "JPEG", "WEBP", "BMP", "TIFF"):
        raise ValueError(f"{target} must end in .png, .jpg, .webp, .bmp or .tif")
    image = images.open_upright(source)
    keep = {"icc_profile": profile} if (profile := image.info.get("icc_profile")) else {}
    result = upscale_image(image, upscale)
    if kind in ("JPEG", "BMP"):
        result = Image.fromarray(images.to_rgb(result))
    quality = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    with files.whole(target) as partial:
        result.save(partial, kind, **keep, **quality)


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
        raise ValueError(f"{len(failed)} of {len(jobs)} not upscaled:\n" + "\n".join(failed))
    return [sr_path for _, sr_path in jobs]


def _jobs(config):
    """[(LR file, SR file)]: of a folder those that are not there yet, so that a killed run goes on where it was."""
    source, target = pathlib.Path(config.input), pathlib.Path(config.output)
    if not source.is_dir():
        if not source.is_file():
            raise ValueError(f"no image or folder at {source}")
        if target.is_dir():
            target = target / source.name
        if target.exists() and not config.overwrite:
            raise ValueError(f"{target} is there already; name another file, or say --overwrite")
        return [(source, target)]
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file, but {source} is a folder; name a folder")
    files.check_outside(target, source)
    jobs = [(path, target / path.relative_to(source)) for path in images.find(source)]
    todo = [job for job in jobs if config.overwrite or not job[1].exists()]
    if len(todo) < len(jobs):
        logging.info("%d of %d are in %s already; --overwrite remakes them", len(jobs) - len(todo), len(jobs), target)
    return todo


if __name__ == "__main__":
    command.run(main, UpscaleConfig)
