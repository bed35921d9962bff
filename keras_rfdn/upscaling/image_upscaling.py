"""Upscaling of image files, with their transparency, orientation and colour profile."""

import pathlib

import numpy as np
from PIL import Image

from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError


def upscale_image(image, upscale):
    """Pillow image of any mode -> Pillow image, RGB or RGBA; transparency is upscaled by bicubic."""
    if not image.has_transparency_data:
        return Image.fromarray(upscale(image_files.to_rgb(image)))
    rgba = np.asarray(image.convert("RGBA"))
    sr = upscale(np.ascontiguousarray(rgba[..., :3]))
    alpha = bicubic.upscale(rgba[..., 3:], sr.shape[0] // rgba.shape[0])
    return Image.fromarray(np.concatenate([sr, alpha], axis=2))


def file_format(path):
    """Pillow's name of the format that a path's suffix asks for. Raises UserError for one that we don't write."""
    name = Image.registered_extensions().get(pathlib.Path(path).suffix.lower())
    if name not in ("PNG", "JPEG", "WEBP", "BMP", "TIFF"):
        raise UserError(f"{path} must end in .png, .jpg, .webp, .bmp or .tif")
    return name


def upscale_file(source, target, upscale):
    """Image file -> upscaled image file of the format that target's suffix names, written by atomic_write.

    Raises UserError when source can't be read or target's format is unknown. A JPEG or BMP, which hold no
    transparency, gets it laid on white.
    """
    kind = file_format(target)
    image = image_files.open_upright(source)
    keep = {"icc_profile": profile} if (profile := image.info.get("icc_profile")) else {}
    result = upscale_image(image, upscale)
    if kind in ("JPEG", "BMP"):
        result = Image.fromarray(image_files.to_rgb(result))
    quality = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    with files.atomic_write(target) as partial:
        result.save(partial, kind, **keep, **quality)
