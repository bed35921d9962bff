import io

import numpy as np
import pytest
import tifffile
from PIL import Image, UnidentifiedImageError

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import foreign_tiffs


def tiff(pixels, **options):
    """TIFF that Pillow doesn't open."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    with pytest.raises(UnidentifiedImageError):
        Image.open(file)
    assert foreign_tiffs.is_tiff(file.getvalue())
    return file.getvalue()


def read(data):
    return tifffile.imread(io.BytesIO(foreign_tiffs.convert(data)))


def test_16_bit_grey_with_alpha(rng):
    pixels = rng.integers(0, 65536, (9, 11, 2)).astype(np.uint16)
    data = tiff(pixels, photometric="minisblack", extrasamples=["unassalpha"], resolution=(300, 300))
    np.testing.assert_array_equal(read(data), pixels[..., [0, 0, 0, 1]])
    with Image.open(io.BytesIO(foreign_tiffs.convert(data))) as image:
        assert (image.mode, image.info["dpi"]) == ("RGBA", (300, 300))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's
def test_big_endian_bigtiff(rng):
    pixels = rng.integers(0, 65536, (9, 11, 3)).astype(np.uint16)
    np.testing.assert_array_equal(read(tiff(pixels, photometric="rgb", byteorder=">", bigtiff=True)), pixels)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_from_0_to_1(rng, dtype):
    pixels = rng.random((9, 11, 3)).astype(dtype)
    np.testing.assert_array_equal(read(tiff(pixels, photometric="rgb")), np.rint(pixels.astype(float) * 65535))


@pytest.mark.parametrize(("pixels", "message"), [
    (np.full((4, 5, 3), 2, "f4"), r"float32 numbers from 2 to 2 and doesn't say which is black"),
    (np.full((4, 5, 3), 70_000, "u4"), r"uint32 numbers"),
])  # fmt: skip
def test_numbers_without_a_range_are_refused(pixels, message):
    with pytest.raises(UserError, match=message):
        foreign_tiffs.convert(tiff(pixels, photometric="rgb"))


def test_damage_is_an_error_and_no_log_line(caplog):
    with pytest.raises(Exception, match=r"."):
        foreign_tiffs.convert(b"II*\0\xff\xff\0\0" + bytes(20))
    assert caplog.records == []


def test_what_is_no_tiff(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*")
    assert not foreign_tiffs.is_tiff(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(b"MM\0*....")
    assert foreign_tiffs.is_tiff(tmp_path / "a.tif")
