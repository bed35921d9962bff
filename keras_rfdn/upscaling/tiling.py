"""Tiling and padding: an upscaler of bounded size becomes one for images of any size. No TensorFlow here."""

import itertools

import numpy as np

from keras_rfdn.data.system.errors import UserError

OVERLAP = 24  # LR pixels of context around the part of a tile that is used


def padded(upscale, height, width):
    """Reflection padding: upscale for images below height x width too; the result is cropped."""

    def wrapped(lr):
        h, w = lr.shape[:2]
        missing = max(0, height - h), max(0, width - w)
        if not any(missing):
            return upscale(lr)
        sr = upscale(np.pad(lr, [(0, missing[0]), (0, missing[1]), (0, 0)], "reflect"))
        scale = sr.shape[0] // max(h, height)
        return sr[: h * scale, : w * scale]

    return wrapped


def tiled(upscale, height, width, *, overlap=OVERLAP):
    """Tiles: upscale for images above height x width too, in parts of that size, which bounds memory.

    Tiles are spread evenly, share 2 * overlap LR pixels or more with the next one, and each pixel comes from the tile
    that has more context around it. The result is that without tiles for an upscaler that looks no further than
    overlap; RFDN's attention looks at all of its input, so its result differs a little.
    """
    if min(height, width) <= 2 * overlap:
        raise UserError(f"tiles of {height}x{width} have no inside with an overlap of {overlap} on every side")

    def wrapped(lr):
        h, w = lr.shape[:2]
        if h <= height and w <= width:
            return upscale(lr)
        sr = None
        for (top, y0, y1), (left, x0, x1) in itertools.product(
            _windows(h, height, overlap), _windows(w, width, overlap)
        ):
            tile = upscale(lr[top : top + height, left : left + width])
            scale = tile.shape[0] // min(height, h)
            if sr is None:
                sr = np.empty((h * scale, w * scale, 3), np.uint8)
            sr[y0 * scale : y1 * scale, x0 * scale : x1 * scale] = tile[
                (y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale
            ]
        return sr

    return wrapped


def fitted(upscale, smallest, largest):
    """Padding and tiles: upscale for images of any size, from one for sizes from smallest to largest, (height, width).

    Images below smallest are padded, images above largest are cut into tiles, whose overlap is OVERLAP pixels or, for
    small tiles, a quarter of their shorter side. smallest == largest makes every call one of exactly that size.
    """
    return tiled(padded(upscale, *smallest), *largest, overlap=min(OVERLAP, min(largest) // 4))


def _windows(size, tile, overlap):
    """Along one axis: (start of the tile, start and end of the part that is used) for each tile."""
    count = 1 if size <= tile else -((2 * overlap - size) // (tile - 2 * overlap))
    starts = np.linspace(0, max(0, size - tile), count).round().astype(int).tolist()
    cuts = [0] + [(a + tile + b) // 2 for a, b in itertools.pairwise(starts)] + [size]
    return list(zip(starts, cuts[:-1], cuts[1:], strict=True))
