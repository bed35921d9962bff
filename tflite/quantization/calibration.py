"""LR frames from which a network's ranges are learnt."""

import itertools

import numpy as np

from keras_rfdn.data.sources import folders, sample

CELL = 64  # LR pixels: the patches a network was trained on


def patches(pairs, *, count, size=CELL, seed=0):
    """Patches of LR images: yields `count` arrays, uint8 RGB [size, size, 3], from as many images as there are.

    pairs: (name, lr, hr) items, as data.folders and data.sample give them.
    """
    images = [lr for _, lr, _ in pairs]
    rng = np.random.default_rng(seed)
    order = []
    for _ in range(count):
        order = order or rng.permutation(len(images)).tolist()
        yield _crop(images[order.pop()], size, size, rng)


def source(folder, scale):
    """Images to calibrate on, (name, lr, hr) each: of a folder of HR images, or with None those of data.sample."""
    return folders.find_pairs(folder, scale) if folder else sample.photographs(scale)


def frames(pairs, height, width, *, count, seed=0):
    """Mosaics of patches of LR images: yields `count` arrays, uint8 RGB [height, width, 3].

    pairs: (name, lr, hr) items, as data.folders and data.sample give them. A frame takes its patches, about 64x64,
    from as many images as fit, so that a few frames, which are slow to run, show a network many textures. One patch
    of each frame holds a black and a white pixel: the input's range is then 0..255, whatever the images are.
    """
    images = [lr for _, lr, _ in pairs]
    rng = np.random.default_rng(seed)
    rows, columns = _edges(height), _edges(width)
    order = []
    for _ in range(count):
        frame = np.empty((height, width, 3), np.uint8)
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                order = order or rng.permutation(len(images)).tolist()
                frame[top:bottom, left:right] = _crop(images[order.pop()], bottom - top, right - left, rng)
        frame[0, :2] = [[0], [255]]
        yield frame


def _edges(size):
    """Cell boundaries along a side."""
    return np.linspace(0, size, max(1, round(size / CELL)) + 1).astype(int)


def _crop(image, height, width, rng):
    missing = [(0, max(0, wanted - have)) for wanted, have in zip((height, width), image.shape[:2], strict=True)]
    image = np.pad(image, [*missing, (0, 0)], "symmetric")
    top, left = (rng.integers(have - wanted + 1) for have, wanted in zip(image.shape[:2], (height, width), strict=True))
    return image[top : top + height, left : left + width]
