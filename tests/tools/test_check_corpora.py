"""The check itself, as a developer starts it: a process without threads, from which it forks."""

import re
import shutil
import subprocess
import sys
import types

import pytest
from PIL import Image

from keras_rfdn.checkpoints import pretrained
from tools import check_corpora, check_corpora_runs


def check(root, *words):
    command = [sys.executable, "-m", "tools.check_corpora", *map(str, words)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def test_a_few_mutants_give_results_and_error_lines_alone(root, tmp_path):
    done = check(root, "--mutants", 80, "--keep", tmp_path / "keep")
    assert done.returncode == 0, done.stdout
    (results, errors, *others) = map(int, re.search(r"^rfdn FILE +(.*)$", done.stdout, re.MULTILINE)[1].split())
    assert results + errors == 109
    assert min(results, errors) > 10  # few bytes of a format matter, and readers pad what is cut
    assert not any(others)
    assert not (tmp_path / "keep").exists()


def test_an_offender_is_found_and_named(root, tmp_path):
    """A limit that the network alone is above stands for a fault of a file."""
    Image.new("RGB", (20, 18), "red").save(tmp_path / "a.png")
    done = check(root, tmp_path, "--memory", 0.05, "--keep", tmp_path / "keep")
    assert done.returncode == 1
    assert f"over memory: rfdn FILE: {tmp_path}/a.png: " in done.stdout
    assert [path.name for path in (tmp_path / "keep").iterdir()] == ["a.png"]


@pytest.mark.parametrize(("side", "bad"), [(8, True), (1001, False)])
def test_every_page_counts_to_a_small_image(tmp_path, side, bad):
    first, second = Image.new("L", (8, 8)), Image.new("L", (side, 1000))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    call = types.SimpleNamespace(name=("rfdn FILE", [tmp_path / "a.tif"]))
    assert check_corpora.is_bad(types.SimpleNamespace(call=call, kind=check_corpora_runs.TIME)) == bad


def test_mutants_of_weight_files(root, tmp_path):
    for name in ("rfdn-mobile-x2.h5", "rfdn-mobile-x2_int8.tflite"):
        shutil.copy(pretrained.FOLDER / name, tmp_path)
    done = check(root, tmp_path, "--mutants", 8)
    assert done.returncode == 0, done.stdout
    assert "rfdn FILE" not in done.stdout
    (results, errors, *others) = map(int, re.search(r"^weights +(.*)$", done.stdout, re.MULTILINE)[1].split())
    assert results + errors == 8
    assert errors >= 4  # those cut
    assert not any(others)


def test_no_folder(root):
    done = check(root, "nowhere")
    assert (done.returncode, done.stderr) == (
        2,
        "error: nowhere is not a folder; name one of images, or none for mutants\n",
    )


@pytest.mark.slow
def test_the_small_failing_inputs(root, shared):
    done = check(root, shared / "cases", "--seconds", 600, "--memory", 6)
    assert done.returncode == 0, done.stdout
