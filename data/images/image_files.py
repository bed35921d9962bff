"""Image files: reading and finding them; every image is uint8 RGB [h, w, 3]."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read(path: str | os.PathLike) -> np.ndarray:
    """Image file -> uint8 RGB [h, w, 3], upright by its EXIF orientation, transparency laid on white.

    Greyscale becomes three equal channels; 16-bit greyscale is scaled to 8 bits.
    Raises UserError that names the file when it can't be decoded.
    """
    return to_rgb(open_upright(path))


def open_upright(path: str | os.PathLike) -> Image.Image:
    """Image file -> Pillow image of the file's own mode, decoded, upright by its EXIF orientation. Errors: as read."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds for broken files, SyntaxError and struct.error among them
        raise UserError(
            f"{path} is not a readable image ({error}); remove it, or replace it by an undamaged one"
        ) from error


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pillow image of any mode -> uint8 RGB [h, w, 3], transparency laid on white."""
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion would clip at 255
        return rgb_from_grey((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return np.asarray(image.convert("RGB"))


def rgb_from_grey(grey: np.ndarray) -> np.ndarray:
    """uint8 [h, w] -> uint8 [h, w, 3]."""
    return np.repeat(grey[..., None], 3, axis=2)


def find(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Image files in a folder and its subfolders, linked ones too, sorted by path, without half-written ones.

    Raises UserError when the folder is missing or holds no image.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one that holds images")
    images = (p for p in _files(folder) if p.suffix.lower() in EXTENSIONS and p.is_file())
    paths = sorted(p for p in images if not files.is_temporary(p))
    if not paths:
        packed = [path.name for path in sorted(folder.glob("*.zip"))]
        unpack = f", or unpack {', '.join(packed)} there" if packed else ""
        raise UserError(f"no image in {folder}; need {', '.join(sorted(EXTENSIONS))}{unpack}")
    return paths


def _files(folder):
    """Paths below a folder, each real folder once, so that a link upwards is no endless loop."""
    seen = set()
    for here, below, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(here)) in seen:
            below.clear()
            continue
        seen.add(real)
        yield from (pathlib.Path(here, name) for name in names)
