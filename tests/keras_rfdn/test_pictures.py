"""Panels: the crop lies whole in its frame, repeated pixel for pixel, under its name."""

import numpy as np

from keras_rfdn import pictures


def test_a_panel_holds_the_crop_below_its_name():
    crop = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framed = pictures.panel(crop, "bicubic", factor=2)
    assert framed.shape == (2 * 40 + pictures.TITLE + pictures.MARGIN, 2 * 60 + 2 * pictures.MARGIN, 3)
    inside = framed[pictures.TITLE : -pictures.MARGIN, pictures.MARGIN : -pictures.MARGIN]
    np.testing.assert_array_equal(inside, crop.repeat(2, axis=0).repeat(2, axis=1))
    title, below = framed[: pictures.TITLE], framed[-pictures.MARGIN :]
    assert title.min() < 255
    assert below.min() == 255
