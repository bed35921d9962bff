import io
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import keras_rfdn
from keras_rfdn import upscale
from keras_rfdn.data.sources import sample
from keras_rfdn.video import video

WEIGHTS = "rfdn-mobile-x2"


@pytest.fixture(scope="module")
def photograph():
    return sample.dead_leaves(64, seed=5)[:40, :50]


@pytest.fixture(scope="module")
def wanted(photograph):
    return keras_rfdn.Upscaler(WEIGHTS)(photograph)


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return str(path)


def run(source, target, weights=WEIGHTS, **options):
    return upscale.main(upscale.UpscaleConfig(str(source), str(target), weights=weights, **options))


def test_main_writes_what_the_network_gives(photograph, wanted, tmp_path):
    source = save(photograph, tmp_path / "in.png")
    assert run(source, tmp_path / "out.png") == [tmp_path / "out.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), wanted)
    (tmp_path / "folder").mkdir()
    assert run(source, tmp_path / "folder") == [tmp_path / "folder/in.png"]


def test_transparency_orientation_and_metadata_are_kept_or_stripped(photograph, tmp_path):
    alpha = np.zeros((40, 50, 1), np.uint8)
    alpha[10:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    exif[0x8298] = "somebody"  # copyright
    source = save(np.concatenate([photograph, alpha], 2), tmp_path / "in.png", exif=exif)
    for strip in (False, True):
        run(source, tmp_path / "out.png", strip=strip, overwrite=True)
        out = Image.open(tmp_path / "out.png")
        assert (out.size, out.mode) == ((80, 100), "RGBA")
        assert out.getexif().get(0x0112, 1) == 1
        assert out.getexif().get(0x8298) == (None if strip else "somebody")
        assert np.asarray(out)[:, 65:, 3].max() == 0  # the upper quarter, turned to the right


def test_a_folder_goes_on_where_it_was_and_names_what_failed(photograph, tmp_path, caplog):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deeper").mkdir(parents=True)
    save(photograph, source / "a.png")
    save(photograph, source / "deeper" / "b.webp", lossless=True)
    (source / "broken.png").write_bytes((source / "a.png").read_bytes()[:500])
    (source / "notes.txt").write_text("of mine")
    (source / "._a.png").write_bytes(b"macOS' own")
    target.mkdir()
    save(photograph, target / "a.png")
    with pytest.raises(ValueError, match=r"1 of 2 not upscaled:\n.*broken\.png") as caught:
        run(source, target)
    assert str(caught.value).count("\n") == 1
    assert "1 .txt (notes.txt)" in caplog.text
    assert "._a" not in caplog.text
    assert Image.open(target / "a.png").size == (50, 40)  # was there before
    assert Image.open(target / "deeper" / "b.webp").size == (100, 80)
    assert sorted(p.name for p in target.rglob("*.*")) == ["a.png", "b.webp"]
    (source / "broken.png").unlink()
    run(source, target, overwrite=True)
    assert Image.open(target / "a.png").size == (100, 80)
    assert run(source, target) == []


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("in.png", "in.png", {}, "is there already"),
        (".", "out", {}, "lies in"),
        ("in.png", "out.xyz", {}, r"must end in \.png"),
        ("in.png", "out.jpg", {"format": "jpg"}, "--format is for OUT -"),
        ("nothing.png", "out.png", {}, "no image, video or folder at"),
        (".", "-", {}, "name a folder"),
        ("in.png", "out.png", {"scale": 4}, "upscales x2, not x4"),
        ("in.png", "out.png", {"threads": 0}, "--threads must be above 0"),
        ("clip.mp4", "out.png", {}, r"must end in \.mp4"),
        ("clip.mp4", "out.mp4", {"strip": True}, "--strip is for images"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(photograph, tmp_path, source, target, options, message):
    save(photograph, tmp_path / "in.png")
    (tmp_path / "clip.mp4").write_bytes(b"")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message):
        run(tmp_path / source, target if target == "-" else tmp_path / target, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_video_is_handed_on(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(
        upscale, "video",
        types.SimpleNamespace(
            is_video=video.is_video, TARGETS=video.TARGETS, upscale_video=lambda *args, **kw: called.append((args, kw))
        ),
    )  # fmt: skip
    (tmp_path / "clip.mp4").write_bytes(b"frames")
    run(tmp_path / "clip.mp4", tmp_path / "out.mkv")
    (((source, target, up, scale), _),) = called
    assert (source.name, target.name, up.scale, scale) == ("clip.mp4", "out.mkv", 2, 2)


def test_standard_streams(root, photograph, wanted):
    stream = io.BytesIO()
    Image.fromarray(photograph).save(stream, "PNG")
    command = [sys.executable, "-m", "keras_rfdn.upscale", "-", "-", "--weights", WEIGHTS]

    def pipe(content, *words):
        return subprocess.run([*command, *words], cwd=root, input=content, capture_output=True)

    done = pipe(stream.getvalue())
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(done.stdout))), wanted)
    done = pipe(stream.getvalue(), "--format", "jpg")
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"
    done = pipe(b"no image")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr.decode()
