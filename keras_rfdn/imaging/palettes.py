"""Colour quantization: images of many colours for formats that hold a palette, GIF above all."""

import numpy as np
from PIL import Image


def reduce(image: Image.Image, colours: int) -> tuple[Image.Image, list[str]]:
    """RGB or RGBA -> mode P of at most colours, transparency as one of them; and what was changed, in words.

    Exact where the colours suffice, else median cut with Floyd-Steinberg dithering. Alpha below a half becomes
    transparent, the rest opaque.
    """
    colour, notes, transparent = image.convert("RGB"), [], None
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        transparent = alpha.point(lambda a: 255 if a < 128 else 0)
        if transparent.getbbox():  # what is hidden shouldn't take colours of the palette
            shown = int(np.argmin(np.asarray(transparent)))
            colour.paste(colour.getpixel((shown % image.width, shown // image.width)), mask=transparent)
        else:
            transparent = None
    most = colours - (transparent is not None)
    result = _exact(colour, most)
    if result is None:
        notes.append(f"its colours are reduced to {colours}")
        palette = colour.quantize(most, Image.Quantize.MEDIANCUT)
        result = colour.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if transparent is not None:
        entries = (result.getpalette() + [0] * 768)[: 3 * most]
        result.putpalette([*entries, 0, 0, 0])
        result.paste(most, mask=transparent)
        result.info["transparency"] = most
    return result, notes


def _exact(image, most):
    """Mode P without change, or None where there are more colours. Pillow's own palettes are a few levels off."""
    if (counted := image.getcolors(most)) is None:
        return None
    numbers = np.asarray(image).astype(np.int32) @ np.array([65536, 256, 1])
    colours = sorted(colour for _, colour in counted)
    wanted = np.array(colours) @ np.array([65536, 256, 1])
    result = Image.fromarray(np.searchsorted(wanted, numbers).astype(np.uint8), "P")
    result.putpalette([channel for colour in colours for channel in colour])
    return result
