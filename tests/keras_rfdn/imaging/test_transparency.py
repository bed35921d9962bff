import numpy as np
import pytest
from PIL import Image

from keras_rfdn.imaging import transparency


def test_hidden_colours_become_those_of_their_visible_neighbours():
    pixels = np.zeros((32, 40, 4), np.uint8)
    pixels[:, :20] = (200, 100, 50, 255)
    pixels[:, 20:] = (0, 0, 0, 0)
    filled = np.asarray(transparency.fill(Image.fromarray(pixels)))
    np.testing.assert_array_equal(filled, np.broadcast_to((200, 100, 50), (32, 40, 3)))


def test_visible_colours_stay_exactly(rng):
    pixels = rng.integers(0, 256, (33, 21, 4), dtype=np.uint8)
    pixels[..., 3] = rng.choice([0, 1, 128, 255], (33, 21))
    filled = np.asarray(transparency.fill(Image.fromarray(pixels)))
    visible = pixels[..., 3] > 0
    np.testing.assert_array_equal(filled[visible], pixels[visible][:, :3])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (15, 14)])
def test_one_visible_pixel_fills_all(size):
    image = Image.new("RGBA", size)
    image.putpixel((size[0] - 1, 0), (9, 8, 7, 1))
    assert transparency.fill(image).getcolors() == [(size[0] * size[1], (9, 8, 7))]


@pytest.mark.parametrize("alpha", [0, 255])
def test_all_or_nothing_visible_leaves_colours_alone(rng, alpha):
    pixels = rng.integers(0, 256, (8, 9, 4), dtype=np.uint8)
    pixels[..., 3] = alpha
    np.testing.assert_array_equal(transparency.fill(Image.fromarray(pixels)), pixels[..., :3])


def test_grey_with_alpha():
    image = Image.new("LA", (6, 6))
    image.paste((90, 255), (0, 0, 3, 6))
    assert transparency.fill(image).getcolors() == [(36, 90)]
