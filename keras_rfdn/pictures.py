"""Crops of images side by side, each under its name."""

import numpy as np
from PIL import Image, ImageDraw

from data import files

MARGIN, TITLE = 2, 18  # pixels: around a crop, and above it for its name


def panel(crop, label, *, factor):
    """uint8 RGB [h, w, 3] -> the same `factor` times as large, pixels repeated, on white with a label above."""
    height, width = (round(factor * side) for side in crop.shape[:2])
    framed = Image.new("RGB", (width + 2 * MARGIN, height + TITLE + MARGIN), "white")
    enlarged = Image.fromarray(crop).resize((width, height), Image.Resampling.NEAREST)
    framed.paste(enlarged, (MARGIN, TITLE))
    ImageDraw.Draw(framed).text((MARGIN + 2, MARGIN + 2), label, fill="black")
    return np.asarray(framed)


def write(image, path):
    """uint8 RGB [h, w, 3] -> an image file, whole or not at all."""
    with files.whole(path) as partial:
        Image.fromarray(image).save(partial)
