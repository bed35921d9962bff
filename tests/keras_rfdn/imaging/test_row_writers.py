import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_rfdn.imaging import row_writers, sixteen_bits

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def random_pixels(rng, mode, dtype):
    return rng.integers(0, np.iinfo(dtype).max + 1, (130, 37, MODES[mode])).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", MODES)
def test_png_comes_back_exactly(rng, mode, dtype):
    pixels, file = random_pixels(rng, mode, dtype), io.BytesIO()
    row_writers.write_png(file, [pixels[:70], pixels[70:]], (37, 130), mode, {"dpi": (300, 300)})
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        read = np.asarray(image) if dtype == np.uint8 else sixteen_bits.read(image, file.getvalue())
    np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)


def test_png_filters_make_smooth_images_small():
    y, x = np.mgrid[:200, :300]
    pixels, file = (x * 150 + y * 90)[..., None].astype(np.uint16), io.BytesIO()
    row_writers.write_png(file, [pixels], (300, 200), "L", {})
    assert len(file.getvalue()) < pixels.nbytes / 20


@pytest.mark.parametrize("most_bytes", [0, 2**33])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", MODES)
def test_tiff_pages_come_back_exactly(rng, monkeypatch, mode, dtype, most_bytes):
    monkeypatch.setattr(row_writers, "STRIP", 5000)
    pixels, file = random_pixels(rng, mode, dtype), io.BytesIO()
    writer = row_writers.TiffWriter(file, most_bytes)
    writer.write([pixels[:70], pixels[70:]], (37, 130), mode, dtype, {"dpi": (300, 300)})
    writer.write([pixels[:9]], (37, 9), mode, dtype, {})
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        assert tiff.is_bigtiff == bool(most_bytes)
        read = [page.asarray() for page in tiff.pages]
    np.testing.assert_array_equal(read[0].reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(read[1].reshape(9, 37, -1), pixels[:9])
    if (mode, dtype) != ("LA", np.uint16):  # which Pillow doesn't know
        with Image.open(file) as image:
            assert image.n_frames == 2
            assert image.info["dpi"] == (300, 300)
            if dtype == np.uint8:
                np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ppm_of_16_bits(rng, dtype):
    pixels, file = random_pixels(rng, "RGB", dtype), io.BytesIO()
    row_writers.write_ppm(file, [pixels[:7], pixels[7:]], (37, 130), "RGB")
    header = b"P6\n37 130\n%d\n" % np.iinfo(dtype).max
    assert file.getvalue() == header + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def test_bmp_with_alpha(rng):
    pixels, file = random_pixels(rng, "RGBA", np.uint8), io.BytesIO()
    row_writers.write_bmp(file, Image.fromarray(pixels), (300, 300))
    with Image.open(file) as image:
        assert (image.mode, image.format) == ("RGBA", "BMP")
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        np.testing.assert_array_equal(image, pixels)
