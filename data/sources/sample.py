"""Sample images that need no download: photographs inside the scikit-image package, and dead-leaves images.

The photographs are in the public domain or CC0 (scikit-image's data/README names each). Dead leaves are random discs
covering each other, the classic statistical model of natural images (Lee, Mumford, Huang: Occlusion Models for
Natural Images, 2001); here they add edges of every angle and contrast.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import skimage.data

from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources.pair_source import Pair

TRAIN = ("astronaut", "brick", "camera", "grass", "gravel", "hubble_deep_field", "rocket")
VALID = ("chelsea", "coffee")
DEAD_LEAVES = 24
PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "rocket")  # of things, not of a texture that fills them


@dataclasses.dataclass(frozen=True)
class SamplePairs:
    """PairSource of scikit-image's photographs, by their names, and a number of dead-leaves images."""

    photographs: tuple[str, ...]
    dead_leaves: int
    scale: int

    def __len__(self) -> int:
        return len(self.photographs) + self.dead_leaves

    def __iter__(self) -> Iterator[Pair]:
        for name in self.photographs:
            yield _pair(name, photograph(name), self.scale)
        for seed in range(self.dead_leaves):
            yield _pair(f"dead_leaves_{seed}", dead_leaves(384, seed=seed), self.scale)

    def fingerprint(self) -> str:
        return f"sample-{'-'.join(self.photographs)}-{self.dead_leaves}-x{self.scale}"


def train(scale: int) -> SamplePairs:
    return SamplePairs(TRAIN, DEAD_LEAVES, scale)


def photographs(scale: int) -> SamplePairs:
    """The training photographs alone."""
    return SamplePairs(TRAIN, 0, scale)


def valid(scale: int) -> SamplePairs:
    return SamplePairs(VALID, 0, scale)


def photograph(name: str) -> np.ndarray:
    """A photograph of scikit-image by its name -> uint8 RGB [h, w, 3]."""
    image = getattr(skimage.data, name)()
    return np.ascontiguousarray(image_files.rgb_from_grey(image) if image.ndim == 2 else image)


def dead_leaves(size: int, *, seed: int) -> np.ndarray:
    """Dead-leaves image: discs of random place, colour and radius, the later ones in front. uint8 [size, size, 3].

    A radius has density ~ radius^-3. Drawn at twice the size and halved, so that edges are smooth.
    """
    rng = np.random.default_rng(seed)
    big, smallest, largest, discs = 2 * size, 4, size, 4000
    # Inverse transform of a density r^-3 between the two radii.
    u = rng.random(discs)
    radii = (smallest**-2.0 - u * (smallest**-2.0 - largest**-2.0)) ** -0.5
    image = np.full((big, big, 3), 128, np.uint8)
    for radius, (cy, cx), colour in zip(
        radii, rng.uniform(0, big, (discs, 2)), rng.integers(0, 256, (discs, 3)), strict=True
    ):
        top, left = int(max(0, cy - radius)), int(max(0, cx - radius))
        box = image[top : int(cy + radius) + 1, left : int(cx + radius) + 1]
        y, x = np.ogrid[: box.shape[0], : box.shape[1]]
        box[(y + top - cy) ** 2 + (x + left - cx) ** 2 <= radius**2] = colour
    return bicubic.downscale(image, 2)


def _pair(name, image, scale):
    hr = bicubic.modcrop(image, scale)
    return name, bicubic.downscale(hr, scale), hr
