"""Run where apache-beam is installed, without TensorFlow: pytest --noconftest."""

import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("apache_beam")

from apache_beam.io.filesystem import FileMetadata, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem
from apache_beam.options.pipeline_options import PipelineOptions

from keras_rfdn.imaging import image_upscaling
from keras_rfdn.upscaling import bulk_pipeline
from keras_rfdn.upscaling.bulk_pipeline import Counts, Settings
from keras_rfdn.upscaling.upscaler import Upscaler

WEIGHTS = "rfdn-mobile-x2"


class Elsewhere(LocalFileSystem):
    """The local disk as elsewhere://PATH: a file system that programs can't open files of."""

    @classmethod
    def scheme(cls):
        return "elsewhere"

    def join(self, base, *parts):
        return "/".join([base.rstrip("/"), *parts])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def create(self, path, *args, **kwargs):
        return super().create(_here(path), *args, **kwargs)

    def open(self, path, *args, **kwargs):
        return super().open(_here(path), *args, **kwargs)

    def exists(self, path):
        return super().exists(_here(path))

    def mkdirs(self, path):
        return super().mkdirs(_here(path))

    def rename(self, sources, targets):
        return super().rename([*map(_here, sources)], [*map(_here, targets)])

    def delete(self, paths):
        for path in map(_here, paths):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def match(self, patterns, limits=None):
        found = super().match([*map(_here, patterns)], limits)
        return [
            MatchResult(p, [FileMetadata(f"elsewhere://{m.path}", m.size_in_bytes) for m in result.metadata_list])
            for p, result in zip(patterns, found, strict=True)
        ]


def _here(path):
    return path.removeprefix("elsewhere://")


def save(folder, *names, side=20):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side + 4, 3), np.uint8)).save(folder / name)


def run(pattern, target, weights=WEIGHTS):
    return bulk_pipeline.run(str(pattern), str(target), Settings(weights), PipelineOptions([]))


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def lines(path):
    return path.read_text().splitlines()


@pytest.mark.parametrize("prefix", ["", "elsewhere://"])
def test_from_and_to_any_file_system(tmp_path, prefix):
    save(tmp_path / "in", "a.png", "deep/b.jpg", "deep/c.psd.png")
    (tmp_path / "in/bad.png").write_bytes(b"no image")
    (tmp_path / "in/readme.txt").write_text("x")
    (tmp_path / "in/._a.png").write_bytes(b"x")
    counts = run(f"{prefix}{tmp_path}/in/**", f"{prefix}{tmp_path}/out")
    assert counts == Counts(done=3, failed=1, skipped=0, passed_over=1)
    assert written(tmp_path / "out") == ["a.png", "deep/b.jpg", "deep/c.psd.png", "failed.tsv", "notes.tsv"]
    header, failed = lines(tmp_path / "out/failed.tsv")
    assert header == "image\tfailed"
    name, reason = failed.split("\t")
    assert name == f"{prefix}{tmp_path}/in/bad.png"
    assert "bad.png is not a readable image" in reason
    up = Upscaler(WEIGHTS)
    for name in ("a.png", "deep/b.jpg"):
        image_upscaling.upscale_file(tmp_path / "in" / name, tmp_path / f"alone{name[-4:]}", up, up.scale)
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / f"alone{name[-4:]}").read_bytes()
    (tmp_path / "out/a.png").unlink()
    assert run(f"{prefix}{tmp_path}/in/**", f"{prefix}{tmp_path}/out").skipped == 2
    assert (tmp_path / "out/a.png").exists()


def test_weights_of_another_file_system_and_a_single_image(tmp_path):
    save(tmp_path, "in/a.png", "in/b.png")
    weights = f"elsewhere://{Upscaler(WEIGHTS).name}"
    assert run(tmp_path / "in/a.png", tmp_path / "out", weights) == Counts(done=1)
    with Image.open(tmp_path / "out/a.png") as image:
        assert image.size == (48, 40)


def test_a_folder_is_all_that_is_in_it(tmp_path, monkeypatch):
    save(tmp_path, "in/a.png", "in/b/c.png")
    monkeypatch.chdir(tmp_path)
    assert run("in", "out") == Counts(done=2)
    assert written(tmp_path / "out") == ["a.png", "b/c.png", "failed.tsv", "notes.tsv"]


def test_images_that_want_one_result_each_get_their_own(tmp_path):
    save(tmp_path / "in", "a.png", "a.png.png", "b.ico", "x/b.png", "x/B.bmp")
    save(tmp_path / "in", "a.ico", side=32)
    assert run(tmp_path / "in/**", tmp_path / "out").done == 6
    assert written(tmp_path / "out") == [
        "a.ico.png", "a.png", "a.png.png", "b.png", "failed.tsv", "notes.tsv", "x/B.bmp", "x/b.png",
    ]  # fmt: skip


def test_no_error_of_an_image_stops_others(tmp_path, monkeypatch):
    save(tmp_path / "in", "a.png", "b.png", "c.png")

    def upscale_file(source, target, *args, **kwargs):
        if "b.png" in str(source):
            raise MemoryError("all of it\nis gone")
        return real(source, target, *args, **kwargs)

    real = image_upscaling.upscale_file
    monkeypatch.setattr(image_upscaling, "upscale_file", upscale_file)
    assert run(tmp_path / "in/*", tmp_path / "out") == Counts(done=2, failed=1)
    assert lines(tmp_path / "out/failed.tsv")[1] == f"{tmp_path}/in/b.png\tMemoryError: all of it is gone"


def test_what_is_half_written_has_no_name(tmp_path, monkeypatch):
    save(tmp_path / "in", "a.png")
    monkeypatch.setattr(Elsewhere, "rename", lambda self, sources, targets: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bulk_pipeline._put(str(tmp_path / "in/a.png"), f"elsewhere://{tmp_path}/out/a.png")
    assert written(tmp_path) == ["in/a.png"]


def test_what_is_lost_is_noted(tmp_path):
    save(tmp_path / "in", "a.png")
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "in/b.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert run(tmp_path / "in/*", tmp_path / "out") == Counts(done=2)
    _, note = lines(tmp_path / "out/notes.tsv")
    assert note.startswith(f"{tmp_path}/in/b.jpg\t1 further pictures in it")


@pytest.mark.parametrize(
    ("pattern", "fixed"),
    [
        ("/a/b/*.png", "/a/b/"),
        ("/a/b/c.png", "/a/b/"),
        ("/a/b*/c.png", "/a/"),
        ("gs://bucket/**", "gs://bucket/"),
        ("gs://bucket/x/[ab]/?.png", "gs://bucket/x/"),
    ],
)
def test_fixed_part(pattern, fixed):
    assert bulk_pipeline.fixed_part(pattern) == fixed


def test_options_of_beam_stand_anywhere():
    words = "in --runner DataflowRunner out --weights a --project=p --scale 2 --region r --wieghts b"
    of_beam, others = bulk_pipeline.split_words(words.split())
    assert " ".join(of_beam) == "--runner DataflowRunner --project=p --region r"
    assert " ".join(others) == "in out --weights a --scale 2 --wieghts b"


@pytest.mark.parametrize(
    ("pattern", "target", "weights", "message"),
    [
        ("in/*", "in/out", None, "lies in .*in/, whose images are read"),
        ("in/*.gif", "out", None, "no file matches .*; quote a pattern"),
        ("in/*", "nowhere://out", None, "can't be looked into .*nowhere://out"),
        ("in/*", "out", "absent.tflite", "no file at absent.tflite"),
    ],
)
def test_what_cannot_be_is_told_at_once(tmp_path, monkeypatch, pattern, target, weights, message):
    save(tmp_path, "in/a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run(pattern, target, weights)
    assert not pathlib.Path("out").exists()
    assert os.listdir("in") == ["a.png"]
