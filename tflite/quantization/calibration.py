"""Calibration images: LR images from which a network's ranges are learned."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from keras_rfdn.data.sources import folders, sample

PATCH = 64  # LR pixels a side: about the patches that a network was trained on
IMAGES = 64  # of a folder, spread over it
PATCHES, MOSAICS = 64, 16  # what int8 is calibrated on, and what the converter itself calibrates on


def source(folder: str | None, scale: int) -> list:
    """Images to calibrate on, (name, lr, hr) each: of a folder of HR images, or with None those of data.sample.

    Of a folder with more than IMAGES files, as many are read, at equal distances in its order of names.
    """
    if not folder:
        return list(sample.photographs(scale))
    pairs = folders.find_pairs(folder, scale)
    chosen = np.unique(np.linspace(0, len(pairs) - 1, IMAGES).round().astype(int))
    return list(dataclasses.replace(pairs, files=tuple(pairs.files[i] for i in chosen)))


def patches(pairs, *, count: int, size: int = PATCH, seed: int = 0) -> Iterator[np.ndarray]:
    """Patches of LR images: `count` arrays, uint8 RGB [size, size, 3], from as many images as there are.

    pairs: (name, lr, hr) items, as data.sources gives them.
    """
    rng = np.random.default_rng(seed)
    images = _shuffled([lr for _, lr, _ in pairs], rng)
    for _ in range(count):
        yield _crop(next(images), size, size, rng)


def mosaics(pairs, height: int, width: int, *, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Mosaics of patches of LR images: `count` arrays, uint8 RGB [height, width, 3].

    pairs: (name, lr, hr) items, as data.sources gives them. A mosaic takes its patches, about 64x64, from as many
    images as fit, so that a few of them, which the converter is slow to run, show a network many textures. One patch
    of each holds a black and a white pixel: the input's range is then 0..255, whatever the images are.
    """
    rng = np.random.default_rng(seed)
    images = _shuffled([lr for _, lr, _ in pairs], rng)
    rows, columns = _edges(height), _edges(width)
    for _ in range(count):
        mosaic = np.empty((height, width, 3), np.uint8)
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                mosaic[top:bottom, left:right] = _crop(next(images), bottom - top, right - left, rng)
        mosaic[0, :2] = [[0], [255]]
        yield mosaic


def _shuffled(images, rng):
    """The images without end, each once before any comes again."""
    while True:
        # From the end, and a new order as soon as one is used up.
        yield from (images[i] for i in reversed(rng.permutation(len(images)).tolist()))


def _edges(size):
    """Cell boundaries along a side."""
    return np.linspace(0, size, max(1, round(size / PATCH)) + 1).astype(int)


def _crop(image, height, width, rng):
    missing = [(0, max(0, wanted - have)) for wanted, have in zip((height, width), image.shape[:2], strict=True)]
    image = np.pad(image, [*missing, (0, 0)], "symmetric")
    top, left = (rng.integers(have - wanted + 1) for have, wanted in zip(image.shape[:2], (height, width), strict=True))
    return image[top : top + height, left : left + width]
