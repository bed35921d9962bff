"""Reproduction: the images, the weights it starts from, and that a stopped one ends as one that never was."""

import csv
import dataclasses
import json
import pathlib
import signal
import subprocess

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.system import files
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.training import loop, recipes, workdir
from keras_rfdn.training.recipes import Stage
from tools import distill, reproduce


@pytest.fixture
def shared(tmp_path, untrained, monkeypatch, rng):
    """A folder like SHARED with three images of two sources, a teacher, and a pinned recipe of two stages."""
    folder = tmp_path / "shared"
    for name in ("pool/a/1.png", "pool/a/2.png", "train/b.png", "valid/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (61, 51, 3), np.uint8)).save(folder / name)
    rows = ["folder\timages\tcount\tsource\tlicence", "pool\ta/*\t2\there\tCC0", "train\tb*\t1\tthere\tMIT"]
    (tmp_path / "images.tsv").write_text("".join(f"{row}\n" for row in rows))
    monkeypatch.setattr(reproduce, "IMAGES", tmp_path / "images.tsv")
    monkeypatch.setattr(reproduce, "TEACHER", f"../{pathlib.Path(untrained('teacher.h5', 1)).name}")
    monkeypatch.setattr(reproduce, "VALID", "valid")
    monkeypatch.setattr(reproduce, "LARGEST", {2: 24})
    weights = tmp_path / "weights"
    weights.mkdir()
    path = pathlib.Path(untrained("tiny-x2.h5", 2)).rename(weights / "tiny-x2.h5")
    (weights / pretrained.CHECKSUMS).write_text(f"{files.sha256(path)}  {path.name}\n")
    monkeypatch.setattr(pretrained, "FOLDER", weights)
    monkeypatch.setitem(VARIANTS, "tiny", checkpoint.about(path)[0])
    stages = (
        Stage(steps=4, batch=2, patch=16, learning_rate=3e-3, schedule="cosine", warmup=1, loss="l2"),
        Stage(steps=3, batch=2, patch=20, learning_rate=1e-3, schedule="cosine", loss="l2"),
    )
    row = recipes.Recipe(
        "here", "noise", "little", 0, "tiny", 2, stages, optimizer="muon", ema=0.9, init_from="tiny-x2",
        init_sha256=files.sha256(path),
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "tiny", row)
    return folder


def run(shared, work, **changes):
    return reproduce.main(reproduce.ReproduceConfig(str(shared), only=("tiny",), work=str(work), **changes))


@pytest.mark.slow
def test_a_stopped_reproduction_ends_as_one_that_never_was(shared, tmp_path, monkeypatch):
    """It is killed among the pairs, stopped in the first stage, stopped in the second, and started again."""
    straight = run(shared, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(distill.tiling, "tiled", lambda *_: lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(shared, tmp_path / "stopped")
    heartbeat = loop.Progress.heartbeat
    for step in (2, 6):

        def stop(progress, now, step=step):
            heartbeat(progress, now)
            if now == step:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Progress, "heartbeat", stop)
            with pytest.raises(reproduce.StoppedError, match="tiny was stopped on its way; the same command goes on"):
                run(shared, tmp_path / "stopped")
        assert checkpoint.about(tmp_path / "stopped/tiny" / checkpoint.LAST)[1]["step"] == step
    resumed = run(shared, tmp_path / "stopped")
    machine = {"time", "hours", "images_per_second", "data_wait", "loss"}  # loss: the mean since the start
    for key in straight["tiny"].keys() - machine:
        assert resumed["tiny"][key] == straight["tiny"][key], key
    assert len(workdir.records(tmp_path / "stopped/tiny")) == 1
    ours, theirs = (checkpoint.load(tmp_path / name / "tiny")[0].get_weights() for name in ("stopped", "straight"))
    start = checkpoint.load(pretrained.FOLDER / "tiny-x2.h5")[0].get_weights()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(ours, start, strict=True))
    assert run(shared, tmp_path / "stopped") == resumed


def test_the_pairs_are_the_middles_of_all_images(shared, tmp_path):
    assert run(shared, tmp_path / "work", pairs_only=True) == {}
    pairs = tmp_path / "work/pairs_x2"
    assert sorted(path.stem for path in (pairs / "ensemble_HR").iterdir()) == ["pool_a_1", "pool_a_2", "train_b"]
    lr = image_files.read(pairs / "ensemble_LR_bicubic/X2/train_bx2.png")
    original = image_files.read(shared / "train/b.png")
    # 61x51: of the first side 48 pixels from (61 - 48) // 2 on, of the second from (51 - 48) // 2 on.
    np.testing.assert_array_equal(lr, bicubic.downscale(original[6:54, 1:49], 2))
    assert image_files.read(pairs / "ensemble_HR/train_b.png").shape == (48, 48, 3)
    assert not (tmp_path / "work/tiny").exists()


def test_a_missing_image_is_refused(shared, tmp_path):
    (shared / "pool/a/2.png").unlink()
    with pytest.raises(ValueError, match=r"need 2 images .*pool/a/\*, found 1; .*images\.tsv lists them"):
        run(shared, tmp_path / "work")


def test_weights_of_an_older_release_come_from_git(shared, tmp_path):
    """The package has newer ones by then: the recipe that made them starts from the older."""
    row, folder = recipes.recipe("tiny"), pretrained.FOLDER
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    older = (folder / "tiny-x2.h5").read_bytes()
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "older"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "tiny-x2.h5").write_bytes(b"newer")
    subprocess.run(["git", *identity, "commit", "-qam", "newer"], cwd=folder, check=True)
    path = reproduce.start(row, shared, tmp_path / "work")
    assert path == tmp_path / "work/start/tiny-x2.h5"
    assert path.read_bytes() == older
    other = dataclasses.replace(row, init_sha256="0" * 64)
    with pytest.raises(ValueError, match=r"no tiny-x2\.h5 with SHA-256 0000.* a clone of the project with all its"):
        reproduce.start(other, shared, tmp_path / "work")


def test_the_authors_weights_come_from_shared(shared, tmp_path):
    path = shared / "weights" / recipes.AUTHORS
    path.parent.mkdir()
    path.write_bytes(b"weights")
    row = dataclasses.replace(recipes.recipe("tiny"), init_from=recipes.AUTHORS, init_sha256=files.sha256(path))
    assert reproduce.start(row, shared, tmp_path / "work") == path
    path.write_bytes(b"others")
    with pytest.raises(ValueError, match=rf"need .*{recipes.AUTHORS} with SHA-256 {row.init_sha256}; docs/evaluation"):
        reproduce.start(row, shared, tmp_path / "work")


def test_other_recipes_are_refused(shared, tmp_path):
    with pytest.raises(ValueError, match=r"paper-rfdn-x2 is for python -m keras_rfdn\.train; here are cpu-e-rfdn-x4, "):
        reproduce.main(reproduce.ReproduceConfig(str(shared), only=("paper-rfdn-x2",), work=str(tmp_path)))


def test_the_list_says_where_each_image_is_from():
    with open(reproduce.IMAGES, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert sum(int(row["count"]) for row in rows) == 801
    assert all(row["source"] and row["licence"] for row in rows)


def test_the_listed_images_are_those_of_the_index(root):
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    assert len(reproduce.images(folder)) == 801
    with open(folder / "data/pool/index.tsv", newline="") as file:
        index = {(r["file"].split("/")[0], r["source"], r["licence"]) for r in csv.DictReader(file, delimiter="\t")}
    with open(reproduce.IMAGES, newline="") as file:
        listed = [row for row in csv.DictReader(file, delimiter="\t") if row["folder"] == "data/pool"]
    assert {(row["images"].removesuffix("/*"), row["source"], row["licence"]) for row in listed} == index


def test_pairs_of_another_largest_are_refused(shared, tmp_path, monkeypatch):
    run(shared, tmp_path / "work", pairs_only=True)
    note = json.loads((tmp_path / "work/pairs_x2" / distill.NOTE).read_text())
    assert (note["largest"], len(note["teachers"])) == (24, 1)
    monkeypatch.setattr(reproduce, "LARGEST", {2: 20})
    with pytest.raises(ValueError, match="was begun with other weights or another largest"):
        run(shared, tmp_path / "work", pairs_only=True)
