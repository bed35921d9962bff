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
