"""PSNR and SSIM in NumPy: the numbers that evaluation reports. Images are uint8 RGB [h, w, 3]."""

import numpy as np

from keras_rfdn.data.system.errors import UserError

WINDOW = 11  # pixels a side of SSIM's gaussian


def psnr(sr, hr, *, shave):
    """PSNR in dB over all three channels. shave: border not measured, in HR pixels. Equal images give inf."""
    return _psnr(_shave(sr, hr, shave))


def ssim(sr, hr, *, shave):
    """Mean SSIM of the three channels (see ssim_y)."""
    sr, hr = _shave(sr, hr, shave)
    return float(np.mean([_ssim(sr[..., i], hr[..., i]) for i in range(3)]))


def psnr_y(sr, hr, *, shave):
    """PSNR in dB on BT.601 luma (16..235, unrounded), the number SR papers report.

    shave: border not measured, in HR pixels (papers: scale). Equal images give inf.
    """
    return _psnr(map(luma, _shave(sr, hr, shave)))


def ssim_y(sr, hr, *, shave):
    """SSIM on BT.601 luma with an 11x11 gaussian of 1.5 pixels, unpadded (Wang et al. 2004, their MATLAB code)."""
    return _ssim(*map(luma, _shave(sr, hr, shave)))


def luma(image):
    """uint8 RGB [h, w, 3] -> float64 BT.601 luma [h, w], 16..235: the Y of MATLAB's rgb2ycbcr, not rounded."""
    return 16 + image.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def _shave(sr, hr, border):
    if sr.shape != hr.shape:
        raise UserError(f"need images of one shape, got {sr.shape} and {hr.shape}")
    if min(sr.shape[:2]) <= 2 * border:
        raise UserError(f"an image of {sr.shape[0]}x{sr.shape[1]} has nothing left after shaving {border} pixels")
    window = slice(border, -border or None)
    return sr[window, window], hr[window, window]


def _psnr(pair):
    a, b = (image.astype(np.float64) for image in pair)
    mse = np.mean((a - b) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def _ssim(a, b):
    if min(a.shape) < WINDOW:
        raise UserError(f"SSIM needs {WINDOW} pixels or more a side, got {a.shape[0]}x{a.shape[1]}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))))


def _blur(image):
    """Gaussian window of 11 taps, sigma 1.5, only where it fits: [h, w] -> [h - 10, w - 10]."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    h, w = image.shape
    image = sum(t * image[i : h - 10 + i] for i, t in enumerate(taps))
    return sum(t * image[:, i : w - 10 + i] for i, t in enumerate(taps))
