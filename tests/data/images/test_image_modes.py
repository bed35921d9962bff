import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from keras_rfdn.data.images import image_modes


def opened(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("CMYK", "RGB"),
        ("YCbCr", "RGB"), ("HSV", "RGB"), ("I", "L"), ("I;16", "L"), ("F", "L"),
    ],
)  # fmt: skip
def test_modes_of_8_bits(mode, wanted):
    assert image_modes.to_8_bits(Image.new(mode, (3, 2))).mode == wanted


STEPS = [("La", "LA", "LA"), ("RGBa", "RGBA", "RGBA"), ("PA", "P", "RGBA")]


@pytest.mark.parametrize(("mode", "between", "wanted"), STEPS)
def test_modes_that_pillow_reaches_by_another(mode, between, wanted):
    assert image_modes.to_8_bits(Image.new(between, (3, 2)).convert(mode)).mode == wanted


def test_lab():
    colours = Image.new("RGB", (2, 2), (200, 90, 40))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
    np.testing.assert_allclose(np.asarray(image_modes.to_8_bits(lab)).astype(int), np.asarray(colours), atol=3)


@pytest.mark.parametrize(("mode", "wanted"), [("L", "LA"), ("1", "LA"), ("P", "RGBA"), ("RGB", "RGBA")])
def test_one_transparent_colour(mode, wanted):
    transparency = (0, 0, 0) if mode == "RGB" else 0
    image = image_modes.to_8_bits(opened(Image.new(mode, (3, 2)), transparency=transparency))
    assert (image.mode, image.getchannel("A").getextrema()) == (wanted, (0, 0))


def test_16_bit_grey_with_a_transparent_level():
    deep = Image.fromarray(np.array([[0, 300, 65535]], np.uint16))
    image = opened(deep, transparency=300)
    np.testing.assert_array_equal(image_modes.grey16(image)[0], [[0, 65535], [300, 0], [65535, 65535]])
    np.testing.assert_array_equal(image_modes.to_8_bits(image), [[[0, 255], [1, 0], [255, 255]]])
    np.testing.assert_array_equal(image_modes.on_white(image_modes.to_8_bits(image)), [[0, 255, 255]])


def test_12_bits_are_stretched_to_16():
    # Two 12-bit numbers in three bytes: 0 and 4095, and 2048 twice.
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((1, 4), np.uint16), photometric="minisblack")
    with Image.open(file) as image:
        image.tag_v2[258] = (12,)
        image.putdata([0, 4095, 2048, 1])
        np.testing.assert_array_equal(image_modes.grey16(image)[0, :, 0], [0, 65535, 32776, 16])


def test_white_is_zero():
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[0, 1, 65535]], np.uint16), photometric="miniswhite")
    with Image.open(file) as image:
        np.testing.assert_array_equal(image_modes.grey16(image)[0, :, 0], [65535, 65534, 0])


def test_big_endian():
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([[1, 258]], np.uint16), photometric="minisblack", byteorder=">")
    with Image.open(file) as image:
        assert image.mode == "I;16B"
        np.testing.assert_array_equal(image_modes.grey16(image)[0, :, 0], [1, 258])


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 1.5]], np.float32), np.array([[-0.1, 1]], np.float32), np.array([[np.nan, 1]], np.float32),
        np.array([[0, 65536]], np.int32), np.array([[-1, 5]], np.int32),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_without_a_range_are_refused(values):
    with pytest.raises(ValueError, match="doesn't say which is black and which white"):
        image_modes.to_8_bits(Image.fromarray(values))


def test_a_range_that_the_file_states():
    image = opened(Image.fromarray(np.array([[-5, 0, 5, 7]], np.float32)), "TIFF", tiffinfo={340: -5.0, 341: 5.0})
    np.testing.assert_array_equal(image_modes.grey16(image)[0, :, 0], [0, 32768, 65535, 65535])
