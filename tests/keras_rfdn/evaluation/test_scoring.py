import math

import numpy as np
import pytest

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import scoring


@pytest.mark.parametrize(
    ("name", "scale", "psnr_y", "ssim_y"),
    [("Set5", 4, 28.42, 0.8104), ("Set5", 3, 30.39, 0.8682), ("Set5", 2, 33.66, 0.9299)],
)
def test_bicubic_rows_of_the_papers(shared, name, scale, psnr_y, ssim_y):
    """The bicubic row of every SR paper's table, the RFDN paper's Table 3 among them."""
    pairs = folders.find_pairs(shared / "data" / "benchmark" / name, scale)
    scores = scoring.evaluate(lambda lr: bicubic.upscale(lr, scale), pairs, scale)
    mean = scoring.mean(scores.values())
    assert mean.psnr == pytest.approx(psnr_y, abs=0.015)
    assert mean.ssim == pytest.approx(ssim_y, abs=0.001)


@pytest.mark.slow
def test_bicubic_row_of_bsd100(shared):
    pairs = folders.find_pairs(shared / "data" / "benchmark" / "BSD100", 4)
    mean = scoring.mean(scoring.evaluate(lambda lr: bicubic.upscale(lr, 4), pairs, 4).values())
    assert mean.psnr == pytest.approx(25.96, abs=0.01)
    assert mean.ssim == pytest.approx(0.6675, abs=0.001)


def images(count=2, side=40):
    """[(name, lr, hr)] of noise, x2."""
    rng = np.random.default_rng(0)
    hrs = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return [(f"noise{i}", bicubic.downscale(hr, 2), hr) for i, hr in enumerate(hrs)]


def by_bicubic(lr):
    return bicubic.upscale(lr, 2)


@pytest.mark.parametrize(
    ("hr", "why"),
    [
        (np.full((40, 40, 3), 7, np.uint8), "HR image of one colour"),
        (np.pad(np.full((36, 36, 3), 7, np.uint8), [(2, 2), (2, 2), (0, 0)]), "HR image of one colour"),  # once shaved
        (np.zeros((14, 98, 3), np.uint8), "HR image of 98x14 pixels, and 15 a side are needed"),
        (np.zeros((4, 4, 3), np.uint8), "HR image of 4x4 pixels"),
        (by_bicubic(images()[0][1]), "a result equals the HR image"),
    ],
)
def test_what_would_spoil_a_mean_is_left_out_by_name(hr, why, caplog):
    pairs = [*images(), ("odd", bicubic.downscale(hr, 2), hr)]
    if why.startswith("a result"):
        pairs[-1] = ("odd", images()[0][1], hr)
    found = scoring.evaluate_all([lambda lr: 255 - by_bicubic(lr), by_bicubic], pairs, 2)
    assert [list(scores) for scores in found.images] == [["noise0", "noise1"]] * 2  # for all upscalers alike
    assert found.left_out.keys() == {"odd"}
    assert found.left_out["odd"].startswith(why)
    assert scoring.evaluate(by_bicubic, pairs, 2) == found.images[1]
    assert f"odd is left out: {why}" in caplog.text
    assert 0 < scoring.mean(found.images[1].values()).psnr < 30


def test_a_mean_is_finite_or_refused():
    with pytest.raises(ValueError, match="its infinite PSNR has no mean"):
        scoring.mean([scoring.Score(30, 0.9), scoring.Score(math.inf, 1)])
    with pytest.raises(ValueError, match="no image that PSNR"):
        scoring.mean([])


def test_images_to_validate_on(caplog):
    blank = ("blank", np.zeros((6, 6, 3), np.uint8), np.zeros((12, 12, 3), np.uint8))
    kept = images(1, 12)  # too small for SSIM, which a training does not measure
    assert scoring.measurable([blank, *kept], 2) == kept
    assert "blank is left out of validation: HR image of one colour" in caplog.text
    with pytest.raises(ValueError, match="no validation image"):
        scoring.measurable([blank], 2)
