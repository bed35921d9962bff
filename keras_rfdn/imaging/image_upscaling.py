"""Upscaling of image files and Pillow images of any mode, with all that a file holds besides RGB."""

import os
from typing import BinaryIO

import numpy as np
from PIL import Image

from keras_rfdn.data.images import image_modes
from keras_rfdn.imaging import pixels
from keras_rfdn.imaging.image_jobs import Job, Upscale


def upscale_image(image: Image.Image, upscale: Upscale, scale: int) -> Image.Image:
    """Pillow image of any mode -> Pillow image of mode L, LA, RGB, RGBA or, for grey of more than 8 bits, I;16.

    upscale: uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3]. Grey stays grey; alpha is enlarged by bicubic.
    """
    if not image_modes.is_high_range(image):
        apart = pixels.of_image(image)
        return pixels.to_image(apart, upscale, scale, apart.mode)
    apart = pixels.of_deep(image_modes.grey16(image))
    if apart.mode == "LA":  # of which Pillow has none of 16 bits
        return pixels.to_image(apart, upscale, scale, "LA")
    bands = pixels.to_bands(apart, upscale, scale, "L", np.uint16)
    return Image.fromarray(np.concatenate([band[..., 0] for band in bands]))


def upscale_file(
    source: str | os.PathLike | bytes, target: str | os.PathLike | BinaryIO, upscale: Upscale, scale: int, *,
    format: str | None = None, strip: bool = False,
) -> list[str]:  # fmt: skip
    """Image file -> upscaled image file; returns what was lost or changed, in words for one line.

    Arguments and errors: as for Job, and for Job.enlarge.
    """
    job = Job(source, target, scale, format=format, strip=strip)
    try:
        job.check()
        job.read()
        job.enlarge(upscale)
        return job.write()
    finally:
        job.close()
