"""Tiling and padding: an upscaler of bounded size becomes one for images of any size. No TensorFlow here."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from keras_rfdn.networks.config import SMALLEST_INPUT

OVERLAP = 16  # LR pixels of context around the part of a tile that is used
LARGEST_AREA = 320 * 256  # LR pixels of a tile whose size is free: E-RFDN's int8 file takes 0.2 GB for them


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


def tiled(upscale, scale: int, tile: tuple[int, int] | None = None, **options) -> Callable[[np.ndarray], np.ndarray]:
    """Tiles: upscale for images of any size, in parts, which bounds memory. Arguments and errors: as for parts."""

    def wrapped(lr):
        sr = np.empty((lr.shape[0] * scale, lr.shape[1] * scale, 3), np.uint8)
        for top, left, part in parts(upscale, lr, scale, tile, **options):
            sr[top : top + part.shape[0], left : left + part.shape[1]] = part
        return sr

    return wrapped


def parts(
    upscale, lr: np.ndarray, scale: int, tile: tuple[int, int] | None = None, *,
    smallest: int = SMALLEST_INPUT, area: int = LARGEST_AREA, overlap: int = OVERLAP,
) -> Iterator[tuple[int, int, np.ndarray]]:  # fmt: skip
    """Parts of an upscaled image, tile by tile: (top, left, uint8 RGB [h, w, 3]) each, in HR pixels, rows first.

    upscale: uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], called with tiles of one size. lr: uint8 RGB.
    tile: that size, (height, width); smaller images are padded by reflection. None lets each image have the size that
    covers it with the fewest pixels, of no more than area pixels and at least smallest on a side. overlap: LR pixels of
    context on each side of what is used of a tile; of a given tile at most a quarter of its shorter side.

    Tiles are spread evenly, and each pixel comes from the tile that has more context around it. The result is that
    without tiles for an upscaler that looks no further than overlap; an attention looks at all of its input, so the
    results of RFDN and E-RFDN differ a little.
    """
    h, w = lr.shape[:2]
    if tile is None:
        height, width = free_size(h, w, smallest=smallest, area=area, overlap=overlap)
    else:
        height, width = tile
        overlap = min(overlap, min(tile) // 4)
    upscale = padded(upscale, height, width)
    for (y, y0, y1), (x, x0, x1) in itertools.product(_windows(h, height, overlap), _windows(w, width, overlap)):
        sr = upscale(lr[y : y + height, x : x + width])
        used = sr[(y0 - y) * scale : (y1 - y) * scale, (x0 - x) * scale : (x1 - x) * scale]
        yield y0 * scale, x0 * scale, used


def free_size(h: int, w: int, *, smallest=SMALLEST_INPUT, area=LARGEST_AREA, overlap=OVERLAP) -> tuple[int, int]:
    """Size (height, width) of the equal tiles that cover h x w with the fewest pixels, of at most area pixels each.

    Arguments: as for parts.
    """
    area = max(area, (4 * overlap) ** 2, smallest**2)
    sizes = []
    for rows in range(1, 1 + -(-h // (2 * overlap))):
        height = max(smallest, _cover(h, rows, overlap))
        widest = max(area // height, 4 * overlap)
        columns = 1 if w <= widest else -((2 * overlap - w) // (widest - 2 * overlap))
        width = max(smallest, _cover(w, columns, overlap))
        if height * width <= area:
            sizes.append((rows * columns * height * width, height, width))
    return min(sizes)[1:]


def _cover(size, count, overlap):
    """Length of each of count windows that share 2 * overlap and cover size together."""
    return -((-size - 2 * overlap * (count - 1)) // count)


def _windows(size, tile, overlap):
    """Along one axis: (start of the tile, start and end of the part that is used) for each tile."""
    count = 1 if size <= tile else -((2 * overlap - size) // (tile - 2 * overlap))
    starts = np.linspace(0, max(0, size - tile), count).round().astype(int).tolist()
    cuts = [0] + [(a + tile + b) // 2 for a, b in itertools.pairwise(starts)] + [size]
    return list(zip(starts, cuts[:-1], cuts[1:], strict=True))
