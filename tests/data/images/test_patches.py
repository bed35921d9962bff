import numpy as np
import pytest

from keras_rfdn.data.images import patches


def test_crops_are_the_same_square():
    y, x = np.mgrid[:10, :12].astype(np.uint8)
    lr = np.dstack([y, x, y])
    hr = lr.repeat(3, axis=0).repeat(3, axis=1)  # an HR pixel holds the place of its LR pixel
    lr_crop, hr_crop = patches.crop(lr, hr, top=4, left=7, lr_patch=5, scale=3)
    assert lr_crop[0, 0].tolist() == [4, 7, 4]
    np.testing.assert_array_equal(hr_crop, lr_crop.repeat(3, axis=0).repeat(3, axis=1))


def test_orientations_are_the_eight_symmetries_of_the_square(rng):
    image = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    symmetries = {np.rot90(side, k).tobytes() for side in (image, image[:, ::-1]) for k in range(4)}
    assert {patches.orient(image, i).tobytes() for i in range(8)} == symmetries
    assert len(symmetries) == 8
    np.testing.assert_array_equal(patches.orient(image, 0), image)


@pytest.mark.parametrize("orientation", range(8))
def test_orientation_does_not_move_pixels_apart(rng, orientation):
    lr = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    hr = lr.repeat(2, axis=0).repeat(2, axis=1)
    turned = patches.orient(lr, orientation)
    np.testing.assert_array_equal(patches.orient(hr, orientation), turned.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("orientation", range(8))
def test_a_copy_is_the_view(rng, orientation):
    image = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)[1:6, 2:9]  # a crop: its rows do not touch
    view = patches.orient(image, orientation)
    target = np.zeros_like(view)
    patches.copy_oriented(target, image, orientation)
    np.testing.assert_array_equal(target, view)


def test_center_crop_is_the_middle_and_never_larger_than_the_image(rng):
    image = rng.integers(0, 256, (9, 6, 3), np.uint8)
    np.testing.assert_array_equal(patches.center_crop(image, 4, 100), image[2:6])
    np.testing.assert_array_equal(patches.center_crop(image, 100, 3), image[:, 1:4])
