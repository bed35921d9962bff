import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_rfdn.imaging import sixteen_bits

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def png(pixels, *, interlaced=False, more=b""):
    """16-bit PNG of uint16 [h, w, c]. more: chunks before the pixels."""
    passes = [pixels[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [pixels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes if part.size for row in part)
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    header = struct.pack(">IIBBBBB", *pixels.shape[1::-1], 16, colours, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def read(data, frame=0):
    with Image.open(io.BytesIO(data)) as image:
        if frame:
            image.seek(frame)
        assert sixteen_bits.is_deep(image)
        return sixteen_bits.read(image, data)


@pytest.fixture
def pixels(rng):
    return lambda channels: rng.integers(0, 65536, (13, 17, channels)).astype(np.uint16)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png(pixels, channels, interlaced):
    wanted = pixels(channels)
    np.testing.assert_array_equal(read(png(wanted, interlaced=interlaced)), wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_with_one_transparent_colour(pixels, channels):
    wanted = pixels(channels)
    found = read(png(wanted, more=chunk(b"tRNS", wanted[5, 6].astype(">u2").tobytes())))
    np.testing.assert_array_equal(found[..., :channels], wanted)
    alpha = np.full((13, 17), 65535)
    alpha[5, 6] = 0
    np.testing.assert_array_equal(found[..., -1], alpha)


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize(
    "options",
    [
        {}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)}, {"tile": (16, 16), "compression": "zlib"}, {"rowsperstrip": 3},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff(pixels, channels, options, byteorder):
    wanted = pixels(channels)
    data = tiff(wanted, photometric="rgb", byteorder=byteorder, **options)
    np.testing.assert_array_equal(read(data), wanted)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_tiff_in_planes(pixels, options):
    wanted = pixels(3)
    planes = np.moveaxis(wanted, 2, 0)
    np.testing.assert_array_equal(read(tiff(planes, photometric="rgb", planarconfig="separate", **options)), wanted)


def test_tiff_by_lzw_of_pillow(pixels):
    grey, file = pixels(1), io.BytesIO()
    Image.fromarray(grey[..., 0]).save(file, "TIFF", compression="tiff_lzw")
    np.testing.assert_array_equal(read(file.getvalue()), grey)


def test_premultiplied_alpha_is_divided_out():
    pixels = np.array([[[10_000, 20_000, 30_000, 40_000], [7, 7, 7, 0]]], np.uint16)
    data = tiff(pixels, photometric="rgb", extrasamples=["assocalpha"])
    # 10,000 of 40,000 of 65,535.
    np.testing.assert_array_equal(read(data)[0, 0], [16_384, 32_768, 49_151, 40_000])


def test_white_is_zero(pixels):
    grey = pixels(1)
    np.testing.assert_array_equal(read(tiff(grey[..., 0], photometric="miniswhite")), 65535 - grey)


def test_page_by_page(pixels):
    pages, file = [pixels(3), pixels(3)], io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, photometric="rgb")
    np.testing.assert_array_equal(read(file.getvalue(), frame=1), pages[1])


@pytest.mark.parametrize("maximum", [65535, 1023])
@pytest.mark.parametrize("channels", [1, 3])
def test_ppm(rng, channels, maximum, tmp_path):
    pixels = rng.integers(0, maximum + 1, (5, 7, channels)).astype(np.uint16)
    data = b"P%d\n7 5\n%d\n" % (6 if channels == 3 else 5, maximum) + pixels.astype(">u2").tobytes()
    wanted = np.rint(pixels * (65535 / maximum)).astype(np.uint16)
    np.testing.assert_allclose(read(data), wanted, atol=1)
    (tmp_path / "a.ppm").write_bytes(data)
    with Image.open(tmp_path / "a.ppm") as image:
        np.testing.assert_allclose(sixteen_bits.read(image, tmp_path / "a.ppm"), wanted, atol=1)


CMYK = tiff(np.zeros((4, 5, 4), np.uint16), photometric="separated")


@pytest.mark.parametrize("data", [CMYK, b"P3 1 1 65535 1 2 3 "], ids=["CMYK", "plain PPM"])
def test_low_bytes_out_of_reach(data):
    assert read(data) is None


def test_8_bits_are_not_deep(rng):
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        file = io.BytesIO()
        Image.new(mode, (4, 4)).save(file, "PNG")
        with Image.open(file) as image:
            assert not sixteen_bits.is_deep(image)
