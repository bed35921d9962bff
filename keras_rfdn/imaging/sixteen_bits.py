"""16 bits a channel: read by Pillow, which has modes of 16 bits for grey alone, but whose decoders know both bytes.

RGB;16B, say, takes the first byte of each big-endian number. A file is decoded twice, for its high bytes and for its
low ones; tifffile reads what Pillow can't.
"""

import contextlib
import io
import logging
from collections.abc import Iterator

import numpy as np
import tifffile
from PIL import Image

from keras_rfdn.data.images import image_modes
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.metadata import metadata_opening

OTHER_BYTE = {"B": "L", "L": "B", "N": "B"}  # N: native, which is little-endian wherever LiteRT runs


def is_deep(image: Image.Image) -> bool:
    """Whether an image that Image.open gave, not yet loaded, holds more than 8 bits a channel."""
    if image.format == "TIFF" and max(image.tag_v2.get(image_modes.BITS_PER_SAMPLE, (1,))) > 8:
        return True
    rawmodes = (_rawmode(tile) for tile in image.tile)
    return image_modes.is_high_range(image) or any(";16" in r for r in rawmodes) or _ppm_maximum(image) > 255


def read(image: Image.Image, source) -> np.ndarray | None:
    """Image that is_deep, as Image.open gave it of source -> uint16 [h, w, c], c from 1 to 4, or None.

    c: grey, grey and alpha, RGB, RGBA, alpha not premultiplied. source: path, or a file's bytes. None: for formats and
    colour models whose low bytes are out of reach; Pillow's own decoder gives 8 bits of them.
    """
    if image_modes.is_high_range(image):
        return image_modes.grey16(image)
    if _ppm_maximum(image) > 255:
        return _read_ppm(image, source)
    rawmodes = {_rawmode(tile) for tile in image.tile}
    if image.format == "TIFF" and image.tag_v2.get(284) == 2:  # planes: Pillow would take them for pixels
        return _read_tiff(source, image.tell())
    if len(rawmodes) != 1 or (rawmode := rawmodes.pop()) not in RAWMODES or image.format not in ("PNG", "TIFF"):
        return None
    pixels = _decode(image, source, *RAWMODES[rawmode])
    if rawmode.startswith("RGBa"):
        alpha = np.maximum(pixels[..., 3:], 1).astype(np.float64)
        pixels[..., :3] = np.rint(pixels[..., :3] * (65535 / alpha)).clip(0, 65535)
    elif rawmode.startswith("RGBX"):
        pixels = pixels[..., :3]
    elif image.format == "PNG" and rawmode.startswith("RGB;") and "transparency" in image.info:
        alpha = (pixels != np.array(image.info["transparency"], np.uint16)).any(axis=2, keepdims=True)
        pixels = np.concatenate([pixels, alpha * np.uint16(65535)], axis=2)
    return pixels


# Pillow's raw mode -> (mode, raw mode without the order of its bytes) to decode with, so that no byte is lost.
RAWMODES = {"LA;16B": ("RGBA", None)} | {
    f"{name};16{order}": (mode, mode + ";16")
    for name, mode in {"RGB": "RGB", "RGBA": "RGBA", "RGBa": "RGBA", "RGBX": "RGBA"}.items()
    for order in "BLN"
}


def _decode(image, source, mode, rawmode):
    if rawmode is None:  # two 16-bit channels are as long as four of 8 bits
        return _bytes_of(image, source, mode, lambda args: mode).view(">u2").astype(np.uint16)
    order = _rawmode(image.tile[0])[-1]
    high, low = (_bytes_of(image, source, mode, lambda args, o=o: rawmode + o) for o in (order, OTHER_BYTE[order]))
    pixels = high.astype(np.uint16)
    pixels <<= 8
    pixels |= low
    return pixels


def _bytes_of(opened, source, mode, replace):
    """The frame that an image stands at, decoded again by another raw mode: uint8 [h, w, c]."""
    with metadata_opening.open_image(fresh(source)) as image:
        if opened.format == "TIFF":
            image.seek(opened.tell())
        image._mode = mode
        image.tile = [
            tile._replace(args=replace(a) if isinstance(a := tile.args, str) else (replace(a), *a[1:]))
            for tile in image.tile
        ]
        return np.array(image)


def fresh(source):
    """What Image.open takes, of a path or of a file's bytes."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _rawmode(tile):
    args = tile.args
    return args if isinstance(args, str) else next((a for a in args or () if isinstance(a, str)), "")


def _ppm_maximum(image):
    """The number that white has in a PPM of binary or plain numbers; 255 elsewhere."""
    if image.format != "PPM" or not image.tile or image.mode == "F":
        return 255
    numbers = [a for a in image.tile[0].args if isinstance(a, int)] if isinstance(image.tile[0].args, tuple) else []
    return numbers[-1] if image.tile[0].codec_name in ("ppm", "ppm_plain") and numbers else 255


def _read_ppm(image, source):
    """RGB of binary 16-bit PPM."""
    (tile,) = image.tile
    if tile.codec_name != "ppm" or image.mode != "RGB":
        return None
    count = image.width * image.height * 3
    if isinstance(source, bytes):
        numbers = np.frombuffer(source, ">u2", offset=tile.offset)[:count]
    else:
        numbers = np.fromfile(source, ">u2", count, offset=tile.offset)
    if numbers.size < count:
        raise UserError("is cut off; replace it by an undamaged one")
    pixels = numbers.reshape(image.height, image.width, 3).astype(np.float64) * (65535 / _ppm_maximum(image))
    return np.rint(pixels).clip(0, 65535).astype(np.uint16)


@contextlib.contextmanager
def open_tiff(source) -> Iterator[tifffile.TiffFile]:
    """TIFF file, path or bytes, opened by tifffile without its log lines: what is damaged is told by the error."""
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(fresh(source)) as tiff:
            yield tiff
    finally:
        log.setLevel(level)


def _read_tiff(source, number):
    """A page by tifffile: RGB or RGBA in planes."""
    with open_tiff(source) as tiff:
        page = tiff.pages[number]
        pixels = page.asarray()
    if page.planarconfig == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels.astype(np.uint16) if pixels.dtype.itemsize == 2 and pixels.shape[-1] in (3, 4) else None
