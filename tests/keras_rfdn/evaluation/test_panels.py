"""Panels: the crop lies whole in its frame, repeated pixel for pixel, under its name."""

import numpy as np

from keras_rfdn.evaluation import panels


def test_a_panel_holds_the_crop_below_its_name():
    crop = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framed = panels.panel(crop, "bicubic", factor=2, margin=3)
    assert framed.shape == (2 * 40 + panels.TITLE, 2 * 60 + 2 * 3, 3)
    inside = framed[panels.TITLE - 3 : -3, 3:-3]
    np.testing.assert_array_equal(inside, crop.repeat(2, axis=0).repeat(2, axis=1))
    title, below = framed[: panels.TITLE - 3], framed[-3:]
    assert title.min() < 255
    assert below.min() == 255
