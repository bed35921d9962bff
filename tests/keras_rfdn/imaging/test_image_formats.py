import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import image_formats


def test_every_format_is_one_that_pillow_reads_and_writes():
    Image.init()
    for name, form in image_formats.FORMATS.items():
        assert form.name == name
        assert name in Image.SAVE
        assert image_formats.of_suffix(f"a{form.suffix}").name == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.JPG", "JPEG"),
        ("a.jfif", "JPEG"),
        ("b/c.tiff", "TIFF"),
        ("a.apng", "PNG"),
        ("a.dib", "BMP"),
        ("a.j2k", "JPEG2000"),
    ],
)
def test_suffixes(name, wanted):
    assert image_formats.of_target(name).name == wanted
    assert image_formats.named(name.rpartition(".")[2]).name == wanted


@pytest.mark.parametrize("name", ["a.psd", "a", "a.pbm", "a.pfm", "a.eps", "a.ico"])
def test_formats_that_are_not_written(name):
    assert image_formats.of_suffix(name) is None
    with pytest.raises(UserError, match=r"must end in \.png, \.jpg"):
        image_formats.of_target(name)


def test_modes():
    forms = image_formats.FORMATS
    assert forms["JPEG"].mode_for("LA") == "L"
    assert forms["WEBP"].mode_for("LA") == "RGBA"
    assert forms["SGI"].mode_for("LA") == "RGBA"
    assert forms["PCX"].mode_for("RGBA") == "RGB"
    assert forms["TIFF"].mode_for("LA", deep=True) == "RGBA"
    assert forms["TIFF"].mode_for("LA") == "LA"
    with pytest.raises(UserError, match=r"has colours.*write \.ppm"):
        image_formats.of_target("a.pgm").mode_for("RGB")


def test_which_hold_16_bits():
    held = {name for name, form in image_formats.FORMATS.items() if form.dtype_for("RGB", deep=True) == np.uint16}
    assert held == {"PNG", "TIFF", "PPM"}
    assert image_formats.FORMATS["JPEG2000"].dtype_for("L", deep=True) == np.uint16
    assert image_formats.FORMATS["PNG"].dtype_for("L", deep=False) == np.uint8


@pytest.mark.parametrize(
    ("size", "name", "message"),
    [
        ((65_501, 4), "JPEG", r"65501x4 pixels are more than JPEG's 65,500 a side; write \.png"),
        ((20_000, 4), "WEBP", r"WEBP's 16,383 a side; write \.png or \.tif"),
        ((30_000, 20_000), "AVIF", r"more than AVIF's 268,435,456; write"),
        ((40_000, 30_000), "BMP", r"more than the 4 GB of a BMP file; write"),
    ],
)
def test_limits_are_named(size, name, message):
    with pytest.raises(UserError, match=message):
        image_formats.check_size(size, image_formats.FORMATS[name], "RGBA")
    image_formats.check_size((16_000, 16_000), image_formats.FORMATS[name], "RGBA")
    image_formats.check_size(size, image_formats.FORMATS["PNG"], "RGBA")
