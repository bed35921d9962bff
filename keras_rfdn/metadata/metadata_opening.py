"""Image.open for files whose metadata Pillow refuses, and the picture with it.

A PNG's text or profile of over 1 MB, a wrong checksum or a cut value beside the pixels, a JPEG's short segment, an
AVIF's broken EXIF: other programs show these pictures. Here Pillow gets the file without its metadata, and
metadata.read all of it.
"""

import io
import os
import struct
from typing import BinaryIO

from PIL import Image

from keras_rfdn.data.images import image_files
from keras_rfdn.metadata import metadata_jpeg as jpeg
from keras_rfdn.metadata import metadata_png as png


class PixelsAlone(io.BytesIO):
    """A file without its metadata; original: the whole file's bytes."""

    original: bytes


def open_image(source: str | os.PathLike | BinaryIO) -> Image.Image:
    """image_files.open_image of a path or a binary file, which metadata alone never stops. Errors: the same."""
    try:
        image = image_files.open_image(source)
        if image.format != "PNG" or not _refused_behind_pixels(image):
            return image
        if not hasattr(source, "read"):
            image.close()
        error = None
    except Exception as refusal:
        if getattr(refusal, "errno", None) or isinstance(refusal, MemoryError):  # no such file, no right to read it
            raise
        error = refusal
    data = _bytes(source)
    for hide in (_png_pixels, _jpeg_pixels, _avif_pixels):
        if (pixels := hide(data)) is not None:
            file = PixelsAlone(pixels)
            file.original = data
            return image_files.open_image(file)
    raise error


def _refused_behind_pixels(image):
    """Whether a PNG has a chunk after its pixels at which Pillow's load would raise."""
    place = image.fp.tell()
    rows = png.chunks(image.fp)
    image.fp.seek(place)
    return any(name not in png.PIXELS and not png.is_readable(name, data) for name, data in rows)


def _bytes(source):
    if hasattr(source, "read"):
        source.seek(0)
        return source.read()
    with open(source, "rb") as file:
        return file.read()


def _png_pixels(data):
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kept, at = data[:8], 8
    while len(data) >= at + 8:
        length, name = struct.unpack_from(">L4s", data, at)
        end = min(at + length + 12, len(data))
        if name in png.PIXELS:
            kept += data[at:end]
        at = end
    return kept


def _jpeg_pixels(data):
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    file = io.BytesIO(data)
    color = [(marker, body) for marker, body in jpeg.segments(file) if marker == 0xEE and len(body) == 12]
    kept, at = data[:2] + jpeg.to_extra(color), 2  # Adobe's says how the colours are coded
    while len(data) >= at + 4 and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if not (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == jpeg.COMMENT):
            kept += data[at:end]
        at = end
    return kept + data[at:]


def _avif_pixels(data):
    """AVIF whose EXIF item is of a kind that libavif passes over."""
    return data.replace(b"\0\0Exif", b"\0\0free", 1) if data[4:8] == b"ftyp" and b"Exif" in data else None
