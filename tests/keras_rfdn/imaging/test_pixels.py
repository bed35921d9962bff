import numpy as np
import pytest
from PIL import Image

from keras_rfdn.imaging import pixels


class Tiles:
    """Upscaler x2 with parts of 5x7 LR pixels, as keras_rfdn.upscaling.upscaler.Upscaler has them."""

    def __call__(self, lr):
        return lr.repeat(2, axis=0).repeat(2, axis=1)

    def parts(self, lr):
        for top in range(0, lr.shape[0], 5):
            for left in range(0, lr.shape[1], 7):
                yield 2 * top, 2 * left, self(lr[top : top + 5, left : left + 7])


def tinted(lr):
    """Upscaler x2 that makes red 8 levels brighter and blue 5 levels darker, as networks tint grey."""
    return (lr.repeat(2, axis=0).repeat(2, axis=1).astype(int) + np.array([8, 0, -5])).clip(0, 255).astype(np.uint8)


def smooth(lr):
    """Upscaler x2: bicubic, to whole grey levels."""
    return np.asarray(Image.fromarray(lr).resize((2 * lr.shape[1], 2 * lr.shape[0]), Image.Resampling.BICUBIC))


def bands(apart, upscale, mode, dtype):
    return np.concatenate(list(pixels.to_bands(apart, upscale, 2, mode, dtype)))


STEPS = {"PA": "P", "La": "LA", "RGBa": "RGBA"}  # modes that Pillow reaches by another
MODES = ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "RGBX", *STEPS]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_8_bits_comes_out_as_pillow_shows_it(rng, mode):
    image = Image.fromarray(rng.integers(1, 256, (9, 11, 3), dtype=np.uint8))
    image = image.convert(STEPS.get(mode, mode)).convert(mode)
    apart = pixels.of_image(image)
    wanted = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGBA": "RGBA", "PA": "RGBA", "RGBa": "RGBA"}
    assert apart.mode == wanted.get(mode, "RGB")
    result = pixels.to_image(apart, Tiles(), 2, apart.mode)
    shown = image.convert(STEPS[mode]) if mode in ("La", "RGBa") else image
    np.testing.assert_array_equal(np.asarray(result)[::2, 1::2], np.asarray(shown.convert(apart.mode)))


@pytest.mark.parametrize("alike", ["L", "RGB"])
def test_grey_stays_grey(alike):
    grey = Image.fromarray(np.arange(60, 180, dtype=np.uint8).reshape(10, 12)).convert(alike)
    apart = pixels.of_image(grey)
    result = pixels.to_image(apart, tinted, 2, apart.mode)
    assert result.mode == alike
    # The mean of +8, 0 and -5.
    np.testing.assert_array_equal(np.asarray(result.convert("RGB"))[::2, ::2], np.asarray(grey.convert("RGB")) + 1)


def test_colour_keeps_the_networks_tint(rng):
    image = Image.fromarray(rng.integers(10, 240, (6, 7, 3), dtype=np.uint8))
    np.testing.assert_array_equal(pixels.to_image(pixels.of_image(image), tinted, 2, "RGB"), tinted(np.asarray(image)))


def test_alpha_is_pillows_bicubic_whatever_the_tiles(rng):
    image = Image.fromarray(rng.integers(0, 256, (13, 18, 4), dtype=np.uint8))
    result = pixels.to_image(pixels.of_image(image), Tiles(), 2, "RGBA")
    whole = image.getchannel("A").resize((36, 26), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(result.getchannel("A"), whole)


@pytest.mark.parametrize("level", [0, 1, 77, 254, 255])
def test_constant_alpha_stays_constant(rng, level):
    image = Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    image.putalpha(level)
    result = pixels.to_image(pixels.of_image(image), Tiles(), 2, "RGBA")
    assert result.getchannel("A").getextrema() == (level, level)
    deep = np.full((9, 8, 4), 257 * level, np.uint16)
    assert set(np.unique(bands(pixels.of_deep(deep), Tiles(), "RGBA", np.uint16)[..., 3])) == {257 * level}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colours_stay_and_do_not_reach_the_network(rng, dtype):
    levels = rng.integers(1, 256, (8, 10, 4)).astype(np.uint8)
    levels[..., :3] = (200, 100, 50)
    levels[:, :5] = (0, 255, 3, 0)
    levels[:, 5:, 3] = 255
    seen = []

    def upscale(lr):
        seen.append(lr)
        return smooth(lr)

    deep = dtype == np.uint16
    apart = pixels.of_deep(levels.astype(np.uint16) * 257) if deep else pixels.of_image(Image.fromarray(levels))
    result = bands(apart, upscale, "RGBA", dtype) // (257 if deep else 1)
    np.testing.assert_array_equal(seen[0].reshape(-1, 3), np.broadcast_to((200, 100, 50), (80, 3)))
    np.testing.assert_array_equal(result[:, :8], np.broadcast_to((0, 255, 3, 0), (16, 8, 4)))
    np.testing.assert_array_equal(result[result[..., 3] > 0][:, :3].min(axis=0), (200, 100, 50))


def test_transparency_is_laid_on_white_for_modes_without_it():
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    result = pixels.to_image(pixels.of_image(red), Tiles(), 2, "RGB")
    # 128/255 of red and 127/255 of white: green is 127.
    assert result.getcolors() == [(64, (255, 127, 127))]


def test_16_bits_of_a_smooth_ramp_are_not_banded():
    levels = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)[..., None] // 48 * 20 + 20_000
    levels = np.repeat(levels, 3, axis=2) + np.array([0, 3000, 9000], np.uint16)
    result = bands(pixels.of_deep(levels), smooth, "RGB", np.uint16).astype(int)
    assert result.shape == (80, 96, 3)
    steps = np.diff(result[8:-8, 10, 0])
    # Rows differ by 20; eight bits alone would stand still, and then go up by 257.
    assert steps.min() >= 0
    assert steps.max() <= 25
    np.testing.assert_allclose(result[9:-8:2, 1::2], levels[4:-4] + 5, atol=12)


def test_detail_that_the_network_adds_reaches_16_bits(rng):
    def sharper(lr):
        return (smooth(lr).astype(int) + 20).clip(0, 255).astype(np.uint8)

    levels = np.full((8, 9, 3), 30_000, np.uint16) + rng.integers(0, 200, (8, 9, 3)).astype(np.uint16)
    result = bands(pixels.of_deep(levels), sharper, "RGB", np.uint16).astype(int)
    assert abs(result.mean() - levels.mean() - 20 * 257) < 40


def test_16_bits_come_out_as_8_rounded_and_8_bits_as_16(rng):
    levels = (rng.integers(0, 256, (6, 7, 3)) * 257).astype(np.uint16)
    apart = pixels.of_deep(levels)
    np.testing.assert_array_equal(bands(apart, smooth, "RGB", np.uint8), smooth((levels // 257).astype(np.uint8)))
    eight = pixels.of_image(Image.fromarray((levels // 257).astype(np.uint8)))
    np.testing.assert_array_equal(bands(eight, Tiles(), "RGB", np.uint16)[::2, ::2], levels)


def test_16_bit_grey_with_alpha(rng):
    levels = rng.integers(0, 65536, (11, 12, 2)).astype(np.uint16)
    levels[..., 0] = 40_000
    apart = pixels.of_deep(levels)
    assert (apart.mode, apart.neutral, apart.opaque) == ("LA", True, False)
    result = bands(apart, Tiles(), "LA", np.uint16)
    np.testing.assert_allclose(result[..., 0], 40_000, atol=130)
    assert result[..., 1].min() == 0
    assert result[..., 1].max() == 65535


def test_bands_are_whole_rows_in_order(rng):
    image = Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8))
    found = list(pixels.to_bands(pixels.of_image(image), Tiles(), 2, "RGB", np.uint8))
    assert [band.shape for band in found] == [(10, 30, 3), (10, 30, 3), (4, 30, 3)]
    np.testing.assert_array_equal(np.concatenate(found)[::2, ::2], image)
