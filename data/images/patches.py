"""Paired crops and the eight flips and quarter turns, on NumPy images."""

import numpy as np

LEFT_RIGHT, UPSIDE_DOWN, TRANSPOSED = 1, 2, 4  # bits of an orientation


def crop(
    lr: np.ndarray, hr: np.ndarray, *, top: int, left: int, lr_patch: int, scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paired crop: the same square of both images, as views: lr [p, p, 3] and hr [p*s, p*s, 3].

    top, left, lr_patch: LR pixels.
    """
    y, x, size = top * scale, left * scale, lr_patch * scale
    return lr[top : top + lr_patch, left : left + lr_patch], hr[y : y + size, x : x + size]


def center_crop_pair(lr: np.ndarray, hr: np.ndarray, *, lr_patch: int, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Paired crop, as crop gives it, of the middle of both images; lr is at least lr_patch pixels a side."""
    top, left = ((size - lr_patch) // 2 for size in lr.shape[:2])
    return crop(lr, hr, top=top, left=left, lr_patch=lr_patch, scale=scale)


def center_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a [h, w, c] image, as a view: at most height and width pixels."""
    height, width = min(height, image.shape[0]), min(width, image.shape[1])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Flip or quarter turn, one of eight, of a [h, w, c] image; 0 leaves it as it is. Returns a view.

    orientation: 0..7, a sum of LEFT_RIGHT and UPSIDE_DOWN flips and TRANSPOSED.
    """
    if orientation & LEFT_RIGHT:
        image = image[:, ::-1]
    if orientation & UPSIDE_DOWN:
        image = image[::-1]
    if orientation & TRANSPOSED:
        image = image.swapaxes(0, 1)
    return image


def copy_oriented(target: np.ndarray, image: np.ndarray, orientation: int) -> None:
    """Write orient(image, orientation) into target, [h, w, 3] of the same dtype, by the fastest way NumPy has."""
    turned = orient(image, orientation)
    if orientation & (LEFT_RIGHT | TRANSPOSED):
        # A pixel's three bytes would be NumPy's innermost loop; a channel at a time, a row is: more than twice as fast.
        for channel in range(turned.shape[2]):
            target[..., channel] = turned[..., channel]
    else:
        target[...] = turned  # rows stay whole: copied as fast as memory allows
