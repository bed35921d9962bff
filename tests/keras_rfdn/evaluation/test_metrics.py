import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from keras_rfdn.evaluation import metrics


@pytest.fixture
def pair(rng):
    """(sr, hr): noise over a ramp, and the same with errors."""
    hr = np.arange(40)[:, None, None] * 4 + rng.integers(0, 90, (40, 33, 3))
    return (hr + rng.integers(-12, 13, hr.shape)).clip(0, 255).astype(np.uint8), hr.astype(np.uint8)


@pytest.mark.parametrize(
    ("rgb", "luma"),
    # BT.601: 16..235; red, green and blue give 65.481, 128.553 and 24.966 of the 219 levels between.
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma(rgb, luma):
    np.testing.assert_allclose(metrics.luma(np.full((2, 3, 3), rgb, np.uint8)), np.full((2, 3), luma))


def test_psnr_y_of_one_grey_level():
    hr = np.full((8, 8, 3), 100, np.uint8)
    # One RGB level is 219/255 of a luma level.
    assert metrics.psnr_y(hr + 1, hr, shave=2) == pytest.approx(49.45, abs=0.01)
    assert metrics.psnr(hr + 1, hr, shave=2) == pytest.approx(20 * np.log10(255))


def test_psnr_does_not_wrap_round():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert metrics.psnr(black, white, shave=0) == 0
    assert metrics.psnr_y(black, white, shave=0) == pytest.approx(20 * np.log10(255 / 219))


def test_equal_images_are_infinitely_good(pair):
    _, hr = pair
    assert metrics.psnr(hr, hr, shave=4) == metrics.psnr_y(hr, hr, shave=4) == float("inf")
    assert metrics.ssim(hr, hr, shave=4) == metrics.ssim_y(hr, hr, shave=4) == pytest.approx(1)


@pytest.mark.parametrize("shave", [0, 3])
def test_agrees_with_scikit_image(pair, shave):
    sr, hr = (image[shave : len(image) - shave, shave : image.shape[1] - shave] for image in pair)
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def ssim_inside(a, b):
        # scikit-image pads by reflection; its mean leaves out 5 pixels at the border, and so its map agrees there.
        return skimage_metrics.structural_similarity(a, b, **settings)

    assert metrics.psnr(*pair, shave=shave) == pytest.approx(skimage_metrics.peak_signal_noise_ratio(hr, sr))
    channels = [ssim_inside(hr[..., i], sr[..., i]) for i in range(3)]
    assert metrics.ssim(*pair, shave=shave) == pytest.approx(np.mean(channels), abs=1e-6)
    # rgb2ycbcr of scikit-image is MATLAB's in float.
    from skimage.color import rgb2ycbcr

    sr_y, hr_y = rgb2ycbcr(sr)[..., 0], rgb2ycbcr(hr)[..., 0]
    psnr_y = skimage_metrics.peak_signal_noise_ratio(hr_y, sr_y, data_range=255)
    assert metrics.psnr_y(*pair, shave=shave) == pytest.approx(psnr_y)
    assert metrics.ssim_y(*pair, shave=shave) == pytest.approx(ssim_inside(hr_y, sr_y), abs=1e-6)


def test_only_the_border_is_shaved():
    hr = np.full((9, 12, 3), 100, np.uint8)
    sr = hr.copy()
    sr[:2], sr[-2:], sr[:, :2], sr[:, -2:] = 0, 0, 0, 0
    assert metrics.psnr(sr, hr, shave=2) == float("inf")
    # One ring of wrong pixels is left: of the inner 7 * 10 the 30 that do not lie in the inner 5 * 8.
    assert metrics.psnr(sr, hr, shave=1) == pytest.approx(10 * np.log10(255**2 / (100**2 * 30 / 70)))


def test_errors_say_what_came():
    image = np.zeros((12, 14, 3), np.uint8)
    with pytest.raises(ValueError, match=r"one shape, got \(12, 14, 3\) and \(12, 12, 3\)"):
        metrics.psnr(image, image[:, :12], shave=0)
    with pytest.raises(ValueError, match="12x14 has nothing left after shaving 6"):
        metrics.psnr_y(image, image, shave=6)
    with pytest.raises(ValueError, match="11 pixels or more a side, got 10x12"):
        metrics.ssim_y(image, image, shave=1)
