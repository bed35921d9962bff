"""Bicubic resizing as MATLAB's imresize does it, in NumPy: the degradation that every super-resolution paper uses.

Bit-equal to MATLAB for uint8: float64 arithmetic, antialiasing when shrinking, half-sample symmetric border,
normalised weights, the dimension with the smaller factor first (rows on a tie), and a rounding to uint8 after each
of the two passes. The kernel is Keys', a = -0.5 (Keys: Cubic Convolution Interpolation for Digital Image Processing,
1981).
"""

import functools

import numpy as np

from keras_rfdn.data.system.errors import UserError


def downscale(hr: np.ndarray, scale: int) -> np.ndarray:
    """HR -> LR. hr: uint8 [h, w, c], h and w multiples of scale. Returns uint8 [h // scale, w // scale, c]."""
    _check_scale(scale)
    h, w = hr.shape[:2]
    if h % scale or w % scale:
        raise UserError(f"need height and width in multiples of {scale}, got {h}x{w}; crop with bicubic.modcrop first")
    return resize(hr, (h // scale, w // scale))


def upscale(lr: np.ndarray, scale: int) -> np.ndarray:
    """LR -> SR, the papers' bicubic baseline. lr: uint8 [h, w, c]. Returns uint8 [h * scale, w * scale, c]."""
    _check_scale(scale)
    h, w = lr.shape[:2]
    return resize(lr, (h * scale, w * scale))


def modcrop(hr: np.ndarray, scale: int) -> np.ndarray:
    """Crop rows and columns at the bottom and right until both are multiples of scale, as the benchmarks do."""
    _check_scale(scale)
    h, w = hr.shape[:2]
    return hr[: h - h % scale, : w - w % scale]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """MATLAB's imresize(image, size). image: uint8 [h, w, c]. size: (height, width). Returns uint8 [*size, c]."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise UserError(f"need a uint8 image [h, w, c], got {image.dtype} {image.shape}")
    if min(*size, *image.shape) < 1:
        raise UserError(f"need an image and a size of 1 pixel or more, got {image.shape} and {size}")
    for axis in np.argsort([size[0] / image.shape[0], size[1] / image.shape[1]], kind="stable"):
        image = _resize_axis(image, size[axis], axis)
    return image


def upscaling_kernel(scale: int) -> np.ndarray:
    """Enlargement along one axis as a convolution: block_kernel of one pixel to scale pixels, float64 [5, scale]."""
    _check_scale(scale)
    return block_kernel(1, scale)


def block_kernel(before: int, after: int) -> np.ndarray:
    """Resizing along one axis as a convolution of stride before: float64 [before + 4, after].

    Column k weighs the pixels of a block of `before`, and two either side, for the k-th of the `after` pixels in its
    place. Two are enough to enlarge, and from 4 to 3.
    """
    indices, weights = _contributions(5 * before, 5 * after)  # of these, the middle block's neighbours are in the image
    kernel = np.zeros((5 * before, after))
    for index, weight in zip(indices, weights, strict=True):
        np.add.at(kernel, (index[2 * after : 3 * after], np.arange(after)), weight[2 * after : 3 * after])
    return kernel[2 * before - 2 : 3 * before + 2]


def _check_scale(scale):
    if scale < 1:
        raise UserError(f"scale must be 1 or above, got {scale}")


def _resize_axis(image, size, axis):
    indices, weights = _contributions(image.shape[axis], size)
    shape = [1, 1, 1]
    shape[axis] = size
    total = np.zeros((*image.shape[:axis], size, *image.shape[axis + 1 :]))
    for index, weight in zip(indices, weights, strict=True):  # a tap at a time, in MATLAB's order of summation
        total += weight.reshape(shape) * image.take(index, axis)
    return np.floor(total + 0.5).clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _contributions(in_size, out_size):
    """Source indices and weights, each [taps, out_size], of one axis."""
    scale = out_size / in_size
    stretch = min(scale, 1.0)  # antialiasing: below 1 the kernel grows wider
    width = 4 / stretch
    centre = np.arange(1, out_size + 1) / scale + 0.5 * (1 - 1 / scale)
    index = np.floor(centre - width / 2)[None] + np.arange(int(np.ceil(width)) + 2)[:, None]
    weight = stretch * _cubic(stretch * (centre[None] - index))
    weight /= weight.sum(axis=0)
    mirrored = np.concatenate([np.arange(in_size), np.arange(in_size)[::-1]])
    index = mirrored[(index.astype(np.int64) - 1) % (2 * in_size)]
    used = weight.any(axis=1)
    return index[used], weight[used]


def _cubic(x):
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
