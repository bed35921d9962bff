import numpy as np
from PIL import Image

from keras_rfdn.imaging import palettes


def test_few_colours_stay_exactly(rng):
    colours = rng.integers(0, 256, (200, 3), dtype=np.uint8)
    pixels = colours[rng.integers(0, 200, (30, 40))]
    result, notes = palettes.reduce(Image.fromarray(pixels), 256)
    assert (result.mode, notes) == ("P", [])
    np.testing.assert_array_equal(result.convert("RGB"), pixels)


def test_many_colours_are_dithered_and_told(rng):
    y, x = np.mgrid[:64, :64]
    pixels = np.dstack([4 * x, 4 * y, 2 * x + 2 * y]).astype(np.uint8)
    result, notes = palettes.reduce(Image.fromarray(pixels), 256)
    assert notes == ["its colours are reduced to 256"]
    assert np.abs(np.asarray(result.convert("RGB")).astype(int) - pixels).mean() < 8


def test_alpha_becomes_one_transparent_colour(rng):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 250, [0, 127, 128, 255, 255, 255]
    result, notes = palettes.reduce(Image.fromarray(pixels), 256)
    assert notes == []
    shown = np.asarray(result.convert("RGBA"))
    np.testing.assert_array_equal(shown[0, :, 3], [0, 0, 255, 255, 255, 255])
    np.testing.assert_array_equal(shown[0, 2:, :3], [[250, 0, 0]] * 4)
    pixels[..., 3] = 255
    assert "transparency" not in palettes.reduce(Image.fromarray(pixels), 256)[0].info
