"""Transparent pixels get the colours of their visible neighbours, so that nothing bleeds into visible edges."""

import numpy as np
from PIL import Image


def fill(image: Image.Image) -> Image.Image:
    """Pillow image RGBA or LA -> RGB or L, fully transparent pixels filled from the nearest visible colours.

    Games and drawing programs leave black or anything under alpha 0, which the network would smear over the edges. The
    fill is push-pull: averages of the visible pixels on ever coarser grids, each shown through the holes of the finer
    one. Unchanged where all is visible, or nothing.
    """
    colour, visible = np.asarray(image)[..., :-1], np.asarray(image)[..., -1] > 0
    if not visible.any() or visible.all():
        return image.convert(image.mode[:-1])
    filled = _filled(colour, visible)
    return Image.fromarray(filled if filled.shape[2] == 3 else filled[..., 0])


def _filled(colour, visible):
    """uint8 [h, w, c] with the pixels that are not visible filled."""
    if visible.all():
        return colour
    height, width, channels = colour.shape
    odd = [(0, height % 2), (0, width % 2)]
    cells = np.pad(visible, odd).reshape(-(-height // 2), 2, -(-width // 2), 2)
    counts = cells.sum(axis=(1, 3), dtype=np.uint16)[..., None]
    shown = np.pad(colour * visible[..., None], [*odd, (0, 0)])
    sums = shown.reshape(*cells.shape, channels).sum(axis=(1, 3), dtype=np.uint16)
    coarse = _filled(((sums + counts // 2) // np.maximum(counts, 1)).astype(np.uint8), counts[..., 0] > 0)
    behind = np.dstack([_enlarged(coarse[..., c], width, height) for c in range(channels)])
    return np.where(visible[..., None], colour, behind)


def _enlarged(channel, width, height):
    box = 0, 0, width / 2, height / 2  # a last cell may be half full
    return Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR, box=box)
