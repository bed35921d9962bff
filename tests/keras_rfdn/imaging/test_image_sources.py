import io
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import image_sources


def saved(path, image, **options):
    image.save(path, **options)
    return path


def source_of(path):
    with image_sources.Source(path) as source:
        return source


@pytest.mark.parametrize(("mode", "wanted"), [("1", "L"), ("LA", "LA"), ("P", "RGB"), ("RGBA", "RGBA"), ("I;16", "L")])
def test_the_header_tells_the_mode(tmp_path, mode, wanted):
    source = source_of(saved(tmp_path / "a.png", Image.new(mode, (5, 4))))
    assert (source.mode, source.size, source.deep, source.kind) == (wanted, (5, 4), mode == "I;16", None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "deep"), [(".png", False), (".png", True), (".tif", False), (".tif", True), (".jpg", False)]
)
def test_pictures_are_upright(tmp_path, suffix, deep, orientation):
    pixels = np.full((16, 24), 8000, np.uint16)
    pixels[:8, :8] = 40_000
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(pixels if deep else (pixels // 257).astype(np.uint8))
    path = saved(tmp_path / f"a{suffix}", image, exif=exif)
    with image_sources.Source(path) as source:
        (frame,) = source.read()
        turned = np.zeros((2, 3), bool)
        turned[0, 0] = True
        # The EXIF standard, tag 274: how the stored rows and columns have to be turned to stand upright.
        turns = [
            lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud, np.transpose, lambda a: np.rot90(a, -1),
            lambda a: np.rot90(a, 2).T, np.rot90,
        ]  # fmt: skip
        upright = turns[orientation - 1](turned)
        assert source.size == (8 * upright.shape[1], 8 * upright.shape[0]) == frame.pixels.size
        np.testing.assert_array_equal(frame.pixels.colour[4::8, 4::8, 0] > 100, upright)


def test_what_pillow_reads_as_8_bits_is_told(tmp_path):
    cmyk = np.zeros((4, 5, 4), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", cmyk, photometric="separated")
    with image_sources.Source(tmp_path / "a.tif") as source:
        next(source.read())
        assert source.notes == ["its CMYK colours become RGB", "its 16 bits a channel are read as 8"]
    pixels = saved(tmp_path / "a.jp2", Image.new("RGB", (64, 64), (10, 20, 30)))
    assert source_of(pixels).notes == []
    data = bytearray(pixels.read_bytes())
    at = data.find(b"\xff\x4f\xff\x51")
    data[at + 42] = 11
    pixels.write_bytes(data)
    assert source_of(pixels).notes == ["its 12 bits a channel are read as 8"]
    pixels = saved(tmp_path / "a.avif", Image.new("RGB", (64, 64), (10, 20, 30)))
    assert source_of(pixels).notes == []


def test_camera_files_are_not_taken_for_their_preview(tmp_path):
    saved(tmp_path / "a.tif", Image.new("RGB", (5, 4))).rename(tmp_path / "a.NEF")
    with pytest.raises(UserError, match=r"a\.NEF is a camera's raw file; develop it to TIFF or PNG first"):
        image_sources.Source(tmp_path / "a.NEF")


def test_long_texts_stop_nothing(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "a" * 2_000_000, zip=True)
    path = saved(tmp_path / "a.png", Image.new("RGB", (5, 4)), pnginfo=text)
    with image_sources.Source(path) as source:
        assert next(source.read()).pixels.size == (5, 4)


def test_damaged_exif_stops_nothing(tmp_path, recwarn):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (5, 4)), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x01")
    with image_sources.Source(path) as source:
        assert next(source.read()).pixels.size == (5, 4)
    assert not recwarn.list


def test_layers_of_a_psd_are_told(tmp_path):
    header = b"8BPS\0\1" + bytes(6) + (3).to_bytes(2, "big") + (4).to_bytes(4, "big") + (5).to_bytes(4, "big")
    channels = np.arange(60, dtype=np.uint8).tobytes()
    data = header + b"\0\x08\0\3" + bytes(12) + b"\0\0" + channels
    (tmp_path / "a.psd").write_bytes(data)
    with image_sources.Source(tmp_path / "a.psd") as source:
        assert (source.notes, source.kind) == ([], None)
        np.testing.assert_array_equal(next(source.read()).pixels.colour[0, 1], [1, 21, 41])


def test_what_a_header_leads_to_later_is_named_too(tmp_path):
    """A PSD that says it has 5,000 layers in two bytes, which Pillow finds out when it is asked for them."""
    header = b"8BPS\0\1" + bytes(6) + (3).to_bytes(2, "big") + (4).to_bytes(4, "big") + (5).to_bytes(4, "big")
    layers = (6).to_bytes(4, "big") + (2).to_bytes(4, "big") + (5000).to_bytes(2, "big")
    (tmp_path / "a.psd").write_bytes(header + b"\0\x08\0\3" + bytes(8) + layers + b"\0\0" + bytes(60))
    with pytest.raises(UserError, match=r"a\.psd is not a readable image \(Layer block too short"):
        image_sources.Source(tmp_path / "a.psd")


def test_bytes_in_place_of_a_path():
    file = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(file, "PNG")
    with image_sources.Source(file.getvalue()) as source:
        assert (source.name, source.size) == ("standard input", (5, 4))
    with pytest.raises(UserError, match=r"^standard input is not a readable image"):
        image_sources.Source(zlib.compress(b"nothing"))
