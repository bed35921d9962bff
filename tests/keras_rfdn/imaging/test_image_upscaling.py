import io
import warnings

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.imaging.image_upscaling import upscale_file, upscale_image

LOSSLESS = [".png", ".webp", ".jp2", ".j2k", ".tif", ".bmp", ".dib", ".tga", ".ppm", ".pcx", ".sgi", ".dds", ".qoi"]
LOSSY = [".jpg", ".jfif", ".avif", ".mpo"]
NO_ALPHA = {".jpg", ".jfif", ".mpo", ".ppm", ".pcx"}


@pytest.fixture
def road(tmp_path, repeat):
    """road(image, suffix, save options) -> (upscaled file opened again and loaded, notes)."""

    def run(image, suffix, target=None, upscale=repeat, **options):
        source = tmp_path / f"in{suffix}"
        image.save(source, **options) if isinstance(image, Image.Image) else source.write_bytes(image)
        path = tmp_path / f"out{target or suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            notes = upscale_file(source, path, upscale, 2)
        with Image.open(path) as result:
            result.load()
        return result, notes

    return run


def ramp(mode):
    """14x15 pixels of few colours; of those with alpha the left half is transparent."""
    y, x = np.mgrid[:15, :14]
    pixels = np.dstack([10 * x, 15 * y, 5 * (x + y), 255 * (x > 6)]).astype(np.uint8)
    image = Image.fromarray(pixels)
    return image.convert(mode) if mode.endswith("A") else image.convert("RGB").convert(mode)


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_every_format(road, suffix, mode):
    image = ramp(mode)
    result, notes = road(image, ".png", suffix)
    assert result.size == (28, 30)
    grey = mode in ("1", "L", "LA")
    transparent = mode in ("LA", "RGBA")
    shown = image.convert("RGBA")
    if transparent and suffix in NO_ALPHA:
        assert any("laid on white" in note for note in notes)
        shown = Image.alpha_composite(Image.new("RGBA", image.size, "white"), shown)
    else:
        assert notes == []
    found = np.asarray(result.convert("RGBA")).astype(int)[::2, ::2]
    # Well within what is visible; JPEG and AVIF ring a little.
    np.testing.assert_allclose(found[:, 10:], np.asarray(shown)[:, 10:], atol=0 if suffix in LOSSLESS else 20)
    assert result.has_transparency_data == (transparent and suffix not in NO_ALPHA)
    if grey:
        assert (found[..., :3] == found[..., :1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (14, 14), (15, 15), (2, 3)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_small_images(road, size, mode):
    result, _ = road(ramp("RGBA").resize(size).convert(mode), ".png")
    assert (result.mode, result.size) == (mode, (2 * size[0], 2 * size[1]))


TRANSPARENT = [("1", 0), ("L", 40), ("P", None), ("P", bytes(range(255, 155, -1))), ("RGB", (0, 0, 0))]


@pytest.mark.parametrize(("mode", "transparency"), TRANSPARENT, ids=str)
def test_one_transparent_colour(road, mode, transparency):
    image = ramp("RGB").convert(mode)
    transparency = image.getpixel((5, 5)) if transparency is None else transparency
    result, notes = road(image, ".png", transparency=transparency)
    assert result.mode == ("LA" if mode in "1L" else "RGBA")
    assert notes == []
    image.info["transparency"] = transparency
    wanted = np.asarray(image.convert("RGBA"))
    visible = wanted[..., 3] == 255
    np.testing.assert_array_equal(np.asarray(result.convert("RGBA"))[::2, ::2][visible][:, :3], wanted[visible][:, :3])
    assert result.getchannel("A").getextrema()[0] < 200


def test_16_bit_grey_with_a_transparent_level(road):
    """Pillow's own conversion would clip at 255."""
    deep = np.broadcast_to(np.linspace(0, 61440, 24).round().astype(np.uint16), (16, 24))
    result, notes = road(Image.fromarray(deep), ".png", transparency=0)
    pixels = np.asarray(result)
    assert notes == []
    # 16 bits, which Pillow reads as 8.
    np.testing.assert_allclose(pixels[16, 3::8, 0], [11, 52, 94, 136, 178, 219], atol=8)
    assert (pixels[:, :2, 3] < 255).any()
    assert (pixels[:, 4:, 3] == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
def test_16_bit_grey(road, suffix):
    deep = np.broadcast_to(np.arange(20_000, 24_000, 100, dtype=np.uint16), (9, 40))
    result, notes = road(Image.fromarray(deep), suffix)
    assert notes == []
    assert result.mode.startswith("I")
    np.testing.assert_allclose(np.asarray(result)[4, 4:-4].astype(int), np.arange(20_000 + 175, 23_750, 50), atol=60)


def test_formats_of_8_bits_say_so(road):
    deep = Image.fromarray(np.full((9, 40), 25_700, np.uint16))
    result, notes = road(deep, ".png", ".jpg")
    assert notes == ["its 16 bits a channel become 8, which is what JPEG holds"]
    assert result.getextrema() == (100, 100)


@pytest.mark.parametrize(
    ("values", "wanted"), [(np.array([[0.0, 0.5, 1.0]], np.float32), [0, 32768, 65535])], ids=["floats from 0 to 1"]
)
def test_floating_point(road, values, wanted):
    result, _ = road(Image.fromarray(np.repeat(values, 4, axis=1)), ".tif", ".png")
    np.testing.assert_allclose(np.asarray(result)[0, [2, 12, 22]].astype(int), wanted, atol=130)


@pytest.mark.parametrize("values", [np.array([[0, 255]], np.float32), np.array([[0, 70_000]], np.int32)])
def test_numbers_without_black_and_white_are_refused(road, values):
    with pytest.raises(UserError, match=r"in\.tif holds .*doesn't say which is black and which white; convert"):
        road(Image.fromarray(values), ".tif")


def test_stated_range_of_32_bits(road):
    values = np.repeat(np.array([[1000, 2000, 3000]], np.int32), 4, axis=1)
    result, _ = road(Image.fromarray(values), ".tif", ".png", tiffinfo={340: 1000, 341: 3000})
    np.testing.assert_allclose(np.asarray(result)[0, [2, 12, 22]].astype(int), [0, 32768, 65535], atol=130)


def test_colours_for_a_suffix_of_grey(road):
    with pytest.raises(UserError, match=r"in\.png: has colours.*write \.ppm"):
        road(ramp("RGB"), ".png", ".pgm")
    assert road(ramp("L"), ".png", ".pgm")[0].mode == "L"


def test_limits_are_told_before_the_network_runs(tmp_path):
    Image.new("L", (40_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: 80000x2 pixels are more than JPEG's 65,500 a side; write \.png"):
        upscale_file(tmp_path / "a.png", tmp_path / "a.jpg", None, 2)
    assert not (tmp_path / "a.jpg").exists()


def test_memory_is_told_before_the_network_runs(tmp_path, monkeypatch, repeat):
    Image.new("RGB", (3000, 2000)).save(tmp_path / "a.png")
    monkeypatch.setattr("keras_rfdn.data.system.memory.available", lambda: 500e6)
    with pytest.raises(UserError, match=r"a\.png needs about 1\.2 GB of memory to become 6000x4000 pixels in AVIF"):
        upscale_file(tmp_path / "a.png", tmp_path / "a.avif", None, 2)
    # What is written band by band does without.
    assert upscale_file(tmp_path / "a.png", tmp_path / "b.png", repeat, 2) == []
    with Image.open(tmp_path / "b.png") as image:
        assert (image.size, image.getextrema()) == ((6000, 4000), ((0, 0),) * 3)


def test_more_pixels_than_pillows_limit(tmp_path, monkeypatch, repeat, rng):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    pixels = rng.integers(0, 256, (15, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert upscale_file(tmp_path / "a.png", tmp_path / "b.png", repeat, 2) == []
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_results_above_memory_go_to_the_file_band_by_band(road, monkeypatch, mode, suffix):
    monkeypatch.setattr("keras_rfdn.imaging.image_jobs.STREAMED_PIXELS", 0)
    result, notes = road(ramp(mode), ".png", suffix, dpi=(300, 300))
    assert (result.mode, result.size, notes) == (mode, (28, 30), [])
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    whole = upscale_image(ramp(mode), lambda lr: lr.repeat(2, 0).repeat(2, 1), 2)
    np.testing.assert_array_equal(result, whole)


def test_orientation_and_date_are_those_of_the_upright_picture(road):
    exif = Image.Exif()
    exif[274], exif[306] = 6, "2020:01:02 03:04:05"
    image = Image.new("RGB", (10, 6), "red")
    image.paste("blue", (0, 0, 5, 6))
    for suffix in (".jpg", ".png", ".tif", ".webp"):
        result, _ = road(image, ".jpg", suffix, exif=exif, quality=95)
        assert result.size == (12, 20)
        assert result.getpixel((6, 2))[2] > 200  # what was left is on top
        assert result.getexif().get(274, 1) == 1
        assert result.getexif()[306] == "2020:01:02 03:04:05"


def test_metadata_is_dropped_on_request(tmp_path, repeat):
    exif = Image.Exif()
    exif[306] = "2020:01:02 03:04:05"
    Image.new("RGB", (10, 6)).save(tmp_path / "a.jpg", exif=exif)
    upscale_file(tmp_path / "a.jpg", tmp_path / "b.jpg", repeat, 2, strip=True)
    with Image.open(tmp_path / "b.jpg") as image:
        assert not image.getexif()


def test_streams(repeat):
    source, target = io.BytesIO(), io.BytesIO()
    ramp("RGB").save(source, "PNG")
    assert upscale_file(source.getvalue(), target, repeat, 2, format="tif") == []
    with Image.open(target) as image:
        assert (image.format, image.size) == ("TIFF", (28, 30))
    with pytest.raises(UserError, match="standard input is not a readable image"):
        upscale_file(b"no image", target, repeat, 2, format="png")
    with pytest.raises(UserError, match="must end in"):
        upscale_file(source.getvalue(), target, repeat, 2, format="psd")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(28, "No space left on device"), StoppedError, r"out\.png has no room on its disk; free some"),
        (PermissionError(13, "Permission denied"), UserError, r"out\.png may not be written .*name another folder"),
        (OSError(5, "Input/output error"), UserError, r"out\.png can't be written as PNG \(Input/output error\)"),
        (MemoryError(), UserError, r"out\.png needs more memory than there is"),
    ],
)
def test_what_stops_the_writing_is_told(road, monkeypatch, error, kind, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("keras_rfdn.imaging.image_targets.save", fail)
    with pytest.raises(kind, match=message):
        road(ramp("RGB"), ".png")


def test_names_too_long_for_the_disk(tmp_path, repeat):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert upscale_file(tmp_path / "a.png", tmp_path / ("é" * 125 + ".png"), repeat, 2) == []
    with pytest.raises(UserError, match=r"is too long a name for its disk; shorten it"):
        upscale_file(tmp_path / "a.png", tmp_path / ("n" * 252 + ".png"), repeat, 2)


def test_the_networks_own_errors_pass(road):
    def broken(lr):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        road(ramp("RGB"), ".png", upscale=broken)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "F"])
def test_pillow_images(mode, repeat):
    image = ramp("L" if mode in ("I;16", "F") else mode).convert(mode)
    image = image.point(lambda v: v / 256) if mode == "F" else image
    result = upscale_image(image, repeat, 2)
    assert result.size == (28, 30)
    assert result.mode == {"1": "L", "P": "RGB", "F": "I;16"}.get(mode, mode)
