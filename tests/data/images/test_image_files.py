import os

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.images import image_files
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError


def saved(path, pixels, mode=None, **options):
    Image.fromarray(pixels, mode).save(path, **options)
    return path


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp"])
def test_lossless_formats_come_back_exactly(tmp_path, rgb, name):
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    np.testing.assert_array_equal(image_files.read(saved(tmp_path / name, rgb, **options)), rgb)


def test_jpeg_comes_back_nearly(tmp_path):
    ramp = np.broadcast_to(np.arange(0, 200, 4, dtype=np.uint8)[:, None, None], (50, 40, 3))
    read = image_files.read(saved(tmp_path / "a.jpg", np.ascontiguousarray(ramp), quality=95))
    np.testing.assert_allclose(read.astype(int), ramp, atol=3)


def test_grey_levels_become_three_equal_channels(tmp_path):
    grey = np.array([[0, 1, 100], [128, 254, 255]], np.uint8)
    read = image_files.read(saved(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(read, np.dstack([grey] * 3))


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 128, 129, 257], [514, 32896, 65406, 65535]], np.uint16)
    # 65535 / 255 = 257 levels of 16 bits to one of 8; 128 is just below half of one, 129 above.
    np.testing.assert_array_equal(
        image_files.read(saved(tmp_path / "a.png", deep))[..., 0], [[0, 0, 1, 1], [2, 128, 254, 255]]
    )


def test_transparency_is_laid_on_white(tmp_path):
    red = np.array([[[255, 0, 0, 255], [255, 0, 0, 128], [255, 0, 0, 0]]], np.uint8)
    # 128/255 of red and 127/255 of white: green is 127.
    np.testing.assert_array_equal(
        image_files.read(saved(tmp_path / "a.png", red)), [[[255, 0, 0], [255, 127, 127], [255, 255, 255]]]
    )


def test_transparent_palette_index_is_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.png"), [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        # The EXIF standard, tag 274: how the stored rows and columns have to be turned to stand upright.
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation(tmp_path, rgb, orientation, upright):
    exif = Image.Exif()
    exif[274] = orientation
    np.testing.assert_array_equal(image_files.read(saved(tmp_path / "a.png", rgb, exif=exif)), upright(rgb))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_tiff(tmp_path, rgb, orientation, compression):
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / "a.tif", rgb, exif=exif, compression=compression)
    png = saved(tmp_path / "a.png", rgb, exif=exif)
    np.testing.assert_array_equal(image_files.read(path), image_files.read(png))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_truncated_file_is_refused_by_name(tmp_path, rgb, name):
    whole = saved(tmp_path / name, rgb).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(ValueError, match=rf"{name} is not a readable image .*remove it"):
        image_files.read(tmp_path / name)


def test_find_looks_into_subfolders_in_order(tmp_path, rgb):
    (tmp_path / "b").mkdir()
    for name in ("c.PNG", "b/a.jpeg", "a.webp"):
        saved(tmp_path / name, rgb)
    (tmp_path / "notes.txt").write_text("no image")
    assert [str(p.relative_to(tmp_path)) for p in image_files.find(tmp_path)] == ["a.webp", "b/a.jpeg", "c.PNG"]


def test_find_follows_links_once(tmp_path, rgb):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    for made in (elsewhere, folder):
        made.mkdir()
    saved(elsewhere / "a.png", rgb)
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "upwards").symlink_to(folder)
    assert image_files.find(folder) == [folder / "linked/a.png"]


def test_find_leaves_out_what_a_killed_process_had_begun(tmp_path, rgb):
    with files.atomic_write(tmp_path / "a.png") as partial:
        Image.fromarray(rgb).save(partial)
        (tmp_path / "b.1.tmp").mkdir()
        Image.fromarray(rgb).save(tmp_path / "b.1.tmp" / "b.tmp.png")
        assert image_files.find(tmp_path) == [tmp_path / "b.1.tmp" / "b.tmp.png"]
    assert (tmp_path / "a.png") in image_files.find(tmp_path)


def test_find_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"no image in .*\.bmp, \.gif"):
        image_files.find(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        image_files.find(tmp_path / "absent")


def test_every_raster_format_of_pillow_is_found():
    found = image_files.extensions()
    assert found >= {".png", ".jpg", ".jfif", ".tif", ".tiff", ".gif", ".webp", ".avif", ".jp2", ".bmp", ".tga", ".psd"}
    assert found >= {".dds", ".pcx", ".sgi", ".qoi", ".ppm", ".pgm", ".ico", ".apng", ".mpo", ".xpm"}
    assert not found & {".pdf", ".eps", ".ps", ".h5", ".mpg", ".wmf", ".txt", ".heic"}
    assert found == image_files.EXTENSIONS


def test_find_passes_over_what_systems_put_beside_images(tmp_path, rgb):
    junk = ["._a.png", "__MACOSX/b.png", "@eaDir/a.png/THUMB.jpg", ".thumbnails/c.png", "$RECYCLE.BIN/d.png"]
    for name in [*junk, "a.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path / name, rgb)
    (tmp_path / "Thumbs.db").touch()
    assert image_files.find_all(tmp_path) == image_files.Found((tmp_path / "a.png",), ())


def test_find_tells_what_it_passes_over(tmp_path, rgb):
    saved(tmp_path / "a.png", rgb)
    for name in ("b.heic", "c.heic", "d.txt", "e"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")  # which would be waited for
    found = image_files.find_all(tmp_path)
    assert found.passed_over_in_words() == "2 .heic (b.heic), 1 .png (pipe.png), 1 .txt (d.txt), 1 without suffix (e)"
    assert found.images == (tmp_path / "a.png",)


def test_find_leaves_out_links_to_nothing(tmp_path, rgb):
    saved(tmp_path / "a.png", rgb)
    (tmp_path / "b.png").symlink_to(tmp_path / "nowhere")
    assert image_files.find(tmp_path) == [tmp_path / "a.png"]
    assert image_files.find_all(tmp_path).images == (tmp_path / "a.png", tmp_path / "b.png")


def test_more_pixels_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_PIXELS", 2_000_000)
    Image.new("1", (2000, 1500)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png has 3 megapixels, and at most 2 are read; cut it up"):
        image_files.read(tmp_path / "a.png")


def test_large_images_are_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("1", (15, 10)).save(tmp_path / "a.png")
    assert image_files.read(tmp_path / "a.png").shape == (10, 15, 3)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied"), r"a\.png may not be read; give yourself the right"),
        (OSError(5, "Input/output error"), r"a\.png can't be read from the disk \(Input/output error\); try again"),
        (MemoryError(), r"a\.png needs more memory than there is"),
        (IsADirectoryError(21, "Is a directory"), r"a\.png is a folder"),
        (SyntaxError("broken PNG file"), r"a\.png is not a readable image \(broken PNG file\); remove it"),
    ],
)
def test_what_is_wrong_is_told_truly(tmp_path, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(UserError, match=message):
        image_files.read(tmp_path / "a.png")


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(UserError, match=r"empty\.png is not a readable image \(it is empty\)"):
        image_files.read(tmp_path / "empty.png")
    with pytest.raises(UserError, match=r"text\.png is not a readable image \(damaged at its start, or of a format"):
        image_files.read(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError):
        image_files.read(tmp_path / "absent.png")
