"""The Kotlin example can't be built here: what it says of tiles and files is compared with ours."""

import re

import numpy as np
import pytest

from keras_rfdn.upscaling import litert, tiling


@pytest.fixture(scope="module")
def source(root):
    return (root / "examples" / "android" / "Upscaler.kt").read_text()


def windows(size, tile, overlap):
    """Kotlin's windows, line by line."""
    step = tile - 2 * overlap
    count = 1 if size <= tile else (size - 2 * overlap + step - 1) // step
    starts = [0 if count == 1 else round(it * ((size - tile) / (count - 1.0))) for it in range(count)]
    return [
        (
            start,
            0 if i == 0 else (starts[i - 1] + tile + start) // 2,
            size if i == count - 1 else (start + tile + starts[i + 1]) // 2,
        )
        for i, start in enumerate(starts)
    ]


def reflect(index, size):
    """Kotlin's reflect, line by line."""
    if size == 1:
        return 0
    phase = index % (2 * size - 2)
    return phase if phase < size else 2 * size - 2 - phase


@pytest.mark.parametrize("tile", [180, 320, 65])
def test_windows(tile):
    for size in range(1, 4100, 7):
        assert windows(size, tile, 16) == tiling._windows(size, tile, 16)


@pytest.mark.parametrize("size", [1, 2, 5, 179])
def test_reflection(size):
    padded = np.pad(np.arange(size), (0, 180 - size), "reflect")
    assert [reflect(i, size) for i in range(180)] == padded.tolist()


def test_constants(source, root):
    assert f"const val OVERLAP = {tiling.OVERLAP} " in source
    (asset,) = re.findall(r'asset: String = "(.*)"', source)
    (height,), (width,) = (re.findall(rf"val {side}: Int = (\d+)", source) for side in ("height", "width"))
    model = litert.Model(root / "keras_rfdn" / "weights" / asset)
    assert model.tile == (int(height), int(width))
    assert (model.input_dtype, model.output_dtype) == (np.uint8, np.uint8)
