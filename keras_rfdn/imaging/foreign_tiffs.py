"""TIFF files that tifffile reads and Pillow does not, 16-bit grey with alpha among them, as TIFF that Pillow reads."""

import io

import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import row_writers, sixteen_bits
from keras_rfdn.metadata import metadata_exif, metadata_tiff

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(source) -> bool:
    """Whether a file, path or bytes, begins as TIFF does."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        return file.read(4) in MAGIC


def convert(source) -> bytes:
    """TIFF file, path or bytes -> TIFF of 8 or 16 bits, grey, RGB or RGBA, with the same tags.

    Raises UserError for numbers whose black and white the file does not state, and for what tifffile can't read.
    """
    result = io.BytesIO()
    with sixteen_bits.open_tiff(source) as tiff:
        pages = [_pixels(page) for page in tiff.pages]
    writer = row_writers.TiffWriter(result, sum(page.nbytes for page in pages))
    for page in pages:
        height, width, channels = page.shape
        writer.write([page], (width, height), {1: "L", 3: "RGB", 4: "RGBA"}[channels], page.dtype, {})
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        old = metadata_tiff.parse(file)
    tags = {tag: value for tag, value in old.tags.items() if tag not in metadata_exif.STORAGE | row_writers.TIFF_OWN}
    metadata_tiff.add_tags(result, tags, old.order)
    return result.getvalue()


def _pixels(page):
    """uint8 or uint16 [h, w, c], c 1, 3 or 4."""
    try:
        pixels = page.asarray()
    except (ValueError, KeyError, RuntimeError) as error:  # a compression for which it needs imagecodecs, say
        raise UserError(f"is a TIFF that can't be read ({error}); convert it to PNG") from error
    if page.planarconfig == 2 and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or page.photometric not in (0, 1, 2) or pixels.shape[2] > 4:
        raise UserError(
            f"is a TIFF of a kind that isn't read ({page.photometric.name}, {page.shape}); convert it to PNG"
        )
    if pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.rint(pixels.astype(np.float64) * 65535).astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"holds {pixels.dtype.name} numbers from {pixels.min():g} to {pixels.max():g} and doesn't say which is "
            f"black and which white; convert it to 16 bits a channel first"
        )
    white = np.iinfo(pixels.dtype).max
    if page.photometric == 0:
        pixels[..., 0] = white - pixels[..., 0]
    colours = 1 if pixels.shape[2] < 3 else 3
    if pixels.shape[2] > colours and 1 in page.extrasamples:  # premultiplied
        alpha = np.maximum(pixels[..., colours:], 1)
        pixels[..., :colours] = np.rint(pixels[..., :colours] * (white / alpha)).clip(0, white)
    return pixels[..., [0, 0, 0, 1]] if pixels.shape[2] == 2 else pixels
