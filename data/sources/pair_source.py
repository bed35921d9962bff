"""Interface of a source of images, which DIV2K, the sample and the user's folders share."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

Pair = tuple[str, np.ndarray, np.ndarray]  # name, lr uint8 RGB [h, w, 3], hr uint8 RGB [scale*h, scale*w, 3]


class PairSource(Protocol):
    """A sized iterable of (name, lr, hr); it can be read again and gives the same pairs in the same order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Pair]: ...

    def fingerprint(self) -> str:
        """Key for caches: part of a file's name, another one for other images or another scale."""
