import numpy as np
import pytest
from PIL import Image, ImageSequence

from keras_rfdn.imaging import image_sources
from keras_rfdn.imaging.image_upscaling import upscale_file

ANIMATIONS = [".gif", ".png", ".webp", ".avif"]


def frames(count=4, mode="RGB"):
    """A square that wanders over a ground: few colours, so that a GIF holds them."""
    made = []
    for i in range(count):
        image = Image.new("RGBA", (24, 20), (0, 0, 0, 0) if mode == "RGBA" else (10, 200, 90, 255))
        image.paste((250 - 40 * i, 30, 40 * i, 255), (4 * i, 4, 4 * i + 8, 14))
        made.append(image.convert(mode))
    return made


def save(path, images, **options):
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


def shown(path):
    """All frames as RGBA, as a viewer shows them, and their durations."""
    with Image.open(path) as image:
        pictures, durations = [], []
        for frame in ImageSequence.Iterator(image):
            pictures.append(np.asarray(frame.convert("RGBA")).astype(int))
            durations.append(frame.info.get("duration", 0))
        return np.array(pictures), durations, image.info


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("target", ANIMATIONS)
@pytest.mark.parametrize("source", ANIMATIONS)
def test_all_frames_of_an_animation(tmp_path, repeat, source, target, mode):
    options = {
        ".webp": {"lossless": True},
        ".avif": {"quality": 100, "subsampling": "4:4:4"},
        ".gif": {"disposal": 2, "loop": 0},
    }
    made = save(tmp_path / f"a{source}", frames(mode=mode), duration=[100, 200, 300, 400], **options.get(source, {}))
    notes = upscale_file(made, tmp_path / f"b{target}", repeat, 2)
    assert notes == []
    pictures, durations, _ = shown(tmp_path / f"b{target}")
    assert durations == [100, 200, 300, 400]
    wanted = np.array([np.asarray(frame.convert("RGBA")) for frame in frames(mode=mode)]).astype(int)
    assert pictures.shape == (4, 40, 48, 4)
    found = pictures[:, ::2, ::2]
    for now, then in zip(found, wanted, strict=True):
        inside = np.asarray(Image.fromarray((then[..., 3] > 0).astype(np.uint8)).resize((24, 20))) > 0
        lossy = ".avif" in (source, target)
        np.testing.assert_allclose(now[inside][:, :3], then[inside][:, :3], atol=40 if lossy else 0)
    if mode == "RGBA":
        assert (found[:, -1, -1, 3] == 0).all()
        assert (found[1, 8, 7:9, 3] == 255).all()


@pytest.mark.parametrize(
    ("source", "loop", "target", "wanted"),
    [
        (".gif", 0, ".gif", 0), (".gif", 3, ".gif", 3), (".gif", None, ".gif", None),
        # A GIF counts repeats, the others count how often it is shown.
        (".gif", 3, ".png", 4), (".gif", None, ".png", 1), (".gif", None, ".webp", 1), (".gif", 0, ".webp", 0),
        (".png", 0, ".png", 0), (".png", 4, ".gif", 3), (".png", 1, ".gif", None), (".webp", 2, ".png", 2),
    ],
)  # fmt: skip
def test_how_often_it_is_shown(tmp_path, repeat, source, loop, target, wanted):
    options = {} if loop is None else {"loop": loop}
    made = save(tmp_path / f"a{source}", frames(), duration=100, **options)
    upscale_file(made, tmp_path / f"b{target}", repeat, 2)
    assert shown(tmp_path / f"b{target}")[2].get("loop") == wanted


def test_a_gif_of_parts_is_shown_whole(tmp_path, repeat):
    """Frames of a GIF may hold what has changed alone."""
    made = save(tmp_path / "a.gif", frames(), duration=100, disposal=1)
    with Image.open(made) as image:
        image.seek(1)
        assert image.tile[0][1] != (0, 0, 24, 20)
    upscale_file(made, tmp_path / "b.webp", repeat, 2)
    pictures, _, _ = shown(tmp_path / "b.webp")
    np.testing.assert_array_equal(pictures[2, ::2, ::2], np.asarray(frames()[2].convert("RGBA")))


def test_the_still_picture_of_an_animated_png_is_no_frame(tmp_path, repeat):
    made = frames()
    still = Image.new("RGB", (24, 20), "white")
    still.save(tmp_path / "a.png", save_all=True, append_images=made, default_image=True, duration=100)
    notes = upscale_file(tmp_path / "a.png", tmp_path / "b.png", repeat, 2)
    assert notes == ["its still picture for programs without animation is left out"]
    pictures, _, _ = shown(tmp_path / "b.png")
    assert len(pictures) == 4
    np.testing.assert_array_equal(pictures[0, ::2, ::2, :3], made[0])


def test_formats_without_frames_take_the_first_and_say_so(tmp_path, repeat):
    made = save(tmp_path / "a.gif", frames(), duration=100)
    notes = upscale_file(made, tmp_path / "b.bmp", repeat, 2)
    assert notes == ["the first of its 4 frames is taken; .gif, .png, .webp and .avif hold them all"]
    pages = save(tmp_path / "a.tif", frames())
    notes = upscale_file(pages, tmp_path / "b.gif", repeat, 2)
    assert notes == ["the first of its 4 pages is taken; .tif holds them all"]


def test_times_are_lost_in_tiff_and_told(tmp_path, repeat):
    made = save(tmp_path / "a.gif", frames(), duration=100)
    notes = upscale_file(made, tmp_path / "b.tif", repeat, 2)
    assert notes == ["the times of its frames are lost, for which TIFF has no place"]
    assert len(shown(tmp_path / "b.tif")[0]) == 4


def test_pages_of_a_tiff_keep_their_size_and_mode(tmp_path, repeat, rng):
    deep = Image.fromarray(np.full((5, 9), 30_000, np.uint16))
    pages = [Image.new("RGB", (8, 6), "red"), Image.new("L", (3, 4), 77), Image.new("RGBA", (7, 7), (1, 2, 3, 4)), deep]
    upscale_file(save(tmp_path / "a.tif", pages), tmp_path / "b.tif", repeat, 2)
    with Image.open(tmp_path / "b.tif") as image:
        found = [(frame.mode, frame.size, frame.getpixel((1, 1))) for frame in ImageSequence.Iterator(image)]
    assert found == [
        ("RGB", (16, 12), (255, 0, 0)), ("L", (6, 8), 77), ("RGBA", (14, 14), (1, 2, 3, 4)), ("I;16", (18, 10), 30_000),
    ]  # fmt: skip


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path, repeat):
    image, small = Image.new("RGB", (8, 6)), Image.new("RGB", (4, 3))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    save(tmp_path / "a.tif", [image, small])
    with image_sources.Source(tmp_path / "a.tif") as source:
        assert (source.frames, source.kind) == ((0,), None)
        assert source.notes == ["1 smaller copies of its pictures are left out"]


def test_both_eyes_of_a_stereo_picture(tmp_path, repeat):
    made = save(tmp_path / "a.mpo", [Image.new("RGB", (16, 8), "red"), Image.new("RGB", (16, 8), "blue")], quality=95)
    assert upscale_file(made, tmp_path / "b.mpo", repeat, 2) == []
    pictures, _, _ = shown(tmp_path / "b.mpo")
    np.testing.assert_allclose(pictures[:, 3, 3, :3], [[254, 0, 0], [0, 0, 254]], atol=2)
    notes = upscale_file(made, tmp_path / "b.jpg", repeat, 2)
    assert notes == ["1 further pictures in it (a second eye's, previews, gain maps) are left out"]


def test_one_frame_at_a_time_is_decoded_and_made(tmp_path, repeat):
    made = save(tmp_path / "a.webp", frames(4), duration=100, lossless=True)
    alive = []

    def counted(lr):
        alive.append(lr.shape)
        return repeat(lr)

    upscale_file(made, tmp_path / "b.webp", counted, 2)
    assert alive == [(20, 24, 3)] * 4  # each frame goes through the network once


def test_pages_of_a_tiff_keep_their_own_words(tmp_path, repeat):
    pages = []
    for words in ("first", "second"):
        page = Image.new("RGB", (8, 6))
        page.encoderinfo = {"tiffinfo": {285: words, 270: f"of the {words}"}}
        pages.append(page)
    made = save(tmp_path / "a.tif", pages, tiffinfo={285: "first", 270: "of the first"})
    upscale_file(made, tmp_path / "b.tif", repeat, 2)
    with Image.open(tmp_path / "b.tif") as image:
        found = [(page.tag_v2[285], page.tag_v2[270], page.size) for page in ImageSequence.Iterator(image)]
    assert found == [("first", "of the first", (16, 12)), ("second", "of the second", (16, 12))]
