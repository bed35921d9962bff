"""Paired crops and the eight flips and quarter turns, on NumPy images: pure functions."""


def crop(lr, hr, *, top, left, lr_patch, scale):
    """The same square of both images, as views: lr [p, p, 3], hr [p*s, p*s, 3]. top, left, lr_patch: LR pixels."""
    y, x, size = top * scale, left * scale, lr_patch * scale
    return lr[top : top + lr_patch, left : left + lr_patch], hr[y : y + size, x : x + size]


def orient(image, orientation):
    """One of the eight flips and quarter turns of a [h, w, c] image; 0 leaves it as it is. Returns a view.

    orientation: 0..7; bit 0 flips left-right, bit 1 upside-down, bit 2 transposes.
    """
    if orientation & 1:
        image = image[:, ::-1]
    if orientation & 2:
        image = image[::-1]
    if orientation & 4:
        image = image.swapaxes(0, 1)
    return image
