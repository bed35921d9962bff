"""Panels: crops of images side by side, each under its name."""

import numpy as np
from PIL import Image, ImageDraw

from keras_rfdn.data.system import files

TITLE = 20  # pixels of white: the name above a crop, and the margin below it


def panel(crop, label, *, factor, margin=0):
    """uint8 RGB [h, w, 3] -> the same `factor` times as large, pixels repeated, on white with a label above.

    margin: pixels of white at the sides and below. The result is [TITLE + height, width + 2 margin, 3].
    """
    height, width = (round(factor * side) for side in crop.shape[:2])
    framed = Image.new("RGB", (width + 2 * margin, TITLE + height), "white")
    enlarged = Image.fromarray(crop).resize((width, height), Image.Resampling.NEAREST)
    framed.paste(enlarged, (margin, TITLE - margin))
    ImageDraw.Draw(framed).text((4, 4), label, fill="black")
    return np.asarray(framed)


def write(image, path):
    """uint8 RGB [h, w, 3] -> an image file, written by atomic_write."""
    with files.atomic_write(path) as partial:
        Image.fromarray(image).save(partial)
