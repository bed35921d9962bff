"""Modes of Pillow: images of any mode as grey or RGB of 8 bits a channel, or as 16-bit grey, each with its alpha."""

import numpy as np
from PIL import Image, ImageCms

from keras_rfdn.data.system.errors import UserError

WHITE = {"LA": (255, 255), "RGBA": (255, 255, 255, 255)}
BITS_PER_SAMPLE, PHOTOMETRIC, S_MIN, S_MAX = 258, 262, 340, 341  # tags of TIFF; the last are black and white


def is_high_range(image: Image.Image) -> bool:
    """Whether a Pillow image is grey of more than 8 bits: 16-bit, 32-bit or floating point."""
    return image.mode[0] in "IF"


def to_8_bits(image: Image.Image) -> Image.Image:
    """Pillow image of any mode -> mode L, LA, RGB or RGBA, alpha not premultiplied. Errors: as grey16."""
    if is_high_range(image):
        grey = grey16(image)
        eight = Image.fromarray(((grey[..., 0].astype(np.uint32) + 128) // 257).astype(np.uint8))
        if grey.shape[2] == 2:
            eight.putalpha(Image.fromarray((grey[..., 1] // 257).astype(np.uint8)))
        return eight
    if image.mode == "P" and image.palette is None:  # of an ICNS file, whose plugin forgets it
        image.putpalette(image.im.getpalette("RGB", "RGB"))
    if image.mode in ("LAB", "LCH"):  # Pillow's convert has no way from here
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if image.mode in ("1", "L"):
        return image.convert("LA" if image.has_transparency_data else "L")
    if image.mode in ("LA", "La"):
        return image.convert("LA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def grey16(image: Image.Image) -> np.ndarray:
    """Pillow image of a mode of high range -> uint16 [h, w, 1], or [h, w, 2] with alpha.

    12-bit and 32-bit numbers are stretched from the range that the file states. Raises UserError for numbers without a
    stated range, which nobody knows how bright to show.
    """
    values = np.asarray(image)
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    low, high = _range(image, values)
    if (low, high) == (0, 65535):
        grey = values.astype(np.uint16)
    else:
        grey = np.rint((values.astype(np.float64) - low) * (65535 / (high - low))).clip(0, 65535).astype(np.uint16)
    if _tag(image, PHOTOMETRIC) == 0:  # white is zero, which Pillow heeds up to 8 bits
        grey = 65535 - grey
    if image.info.get("transparency") is None:
        return grey[..., None]
    alpha = np.where(values == image.info["transparency"], 0, 65535).astype(np.uint16)
    return np.stack([grey, alpha], axis=2)


def _range(image, values):
    """(value of black, value of white)."""
    if image.mode.startswith("I;16"):
        bits = _tag(image, BITS_PER_SAMPLE) or 16
        return 0, 2**bits - 1
    lowest, highest = float(np.min(values)), float(np.max(values))  # NaN where there is one
    if (white := _tag(image, S_MAX)) is not None and float(white) > (black := float(_tag(image, S_MIN) or 0)):
        return black, float(white)
    if image.mode == "I" and image.format != "TIFF" and lowest >= 0 and highest <= 65535:
        return 0, 65535  # 16-bit PGM and PNG, as Pillow gives them
    if image.mode == "F" and lowest >= 0 and highest <= 1:
        return 0, 1
    kind = "floating-point" if image.mode == "F" else "32-bit" if _tag(image, BITS_PER_SAMPLE) != 16 else "signed"
    raise UserError(
        f"holds {kind} numbers from {lowest:g} to {highest:g} and doesn't say which is black and which white; convert "
        f"it to 16 bits a channel first"
    )


def _tag(image, number):
    """Value of a TIFF tag, of the first channel; None where there is none."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) else value


def on_white(image: Image.Image) -> Image.Image:
    """Mode LA or RGBA -> L or RGB, transparency laid on white; others as they are."""
    if image.mode not in WHITE:
        return image
    white = Image.new(image.mode, image.size, WHITE[image.mode])
    if image.mode == "RGBA":
        return Image.alpha_composite(white, image).convert("RGB")
    white.paste(image, mask=image.getchannel("A"))
    return white.convert("L")
