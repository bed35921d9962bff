"""Commands as users start them write nothing but our own lines: no log of TensorFlow, LiteRT, absl's C++ or CUDA."""

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from keras_rfdn.data.sources import sample

OUR_LINE = re.compile(r"\d\d:\d\d:\d\d (?!warning: )")
FOREIGN = re.compile(r"\w+\.(cc|cpp|cu|h):\d+\]|^INFO: |^WARNING: |Warning: |site-packages")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """HR images and one LR image; where the commands run, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("quiet")
    (folder / "images").mkdir()
    for seed in range(3):
        Image.fromarray(sample.dead_leaves(144, seed=seed)).save(folder / f"images/{seed}.png")
    Image.fromarray(sample.dead_leaves(40, seed=9)).save(folder / "lr.png")
    return folder


@pytest.fixture
def run(root, folder):
    """Function (words of a command) -> its standard output and the log's messages, all of which must be ours."""
    plain = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }  # the Makefile sets it

    def run(*words, verbose=False):
        command = [sys.executable, *(str(root / word) if word.endswith(".py") else word for word in words)]
        environment = plain | {"PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if not verbose:
            assert [line for line in done.stderr.splitlines() if not OUR_LINE.match(line)] == []
            assert [line for line in done.stdout.splitlines() if FOREIGN.search(line)] == []
        return done.stdout, done.stderr

    return run


def test_upscale(run):
    run("-m", "keras_rfdn.upscale", "lr.png", "sr.png", "--weights", "rfdn-mobile-x2")


CONVERT = ["tflite/convert.py", "--weights", "rfdn-mobile-x2", "--shape", "1,24,32,3", "--out", "a.tflite"]


def test_convert(run):
    run(*CONVERT)


@pytest.mark.slow
def test_verbosity_shows_what_libraries_say(run):
    _, log = run(*CONVERT, "--verbosity", "0", verbose=True)
    assert "All log messages before absl::InitializeLog" in log
    assert "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." in log


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "-m keras_rfdn.average {w}x2.h5 {w}x2.h5 --out mean.h5",
        "-m keras_rfdn.complexity rfdn-mobile",
        "-m keras_rfdn.evaluate images --weights rfdn-mobile-x2 {w}x2_int8.tflite --out scores",
        "-m keras_rfdn.prepare images --scale 2 --patch 16",
        "-m keras_rfdn.train --variant rfdn-mobile --scale 2 --data images --steps 3 --batch 2 --patch 16",
        "tflite/benchmark.py {w}x2_int8.tflite --rounds 1 --warmup 0 --height 24 --width 24",
        "tflite/convert.py --int8 --weights rfdn-mobile-x2 --shape 1,24,32,3 --out int8.tflite --calibration images",
        "tflite/describe.py {w}x2_int8.tflite",
        "tflite/qat.py --data images --weights rfdn-mobile-x2 --steps 2 --batch 2 --patch 16 --shape 1,24,32,3",
        "tflite/sensitivity.py --data images --calibration images --weights rfdn-mobile-x2 --images 1",
        "tflite/validate.py {w}x2_int8.tflite --data images --weights rfdn-mobile-x2",
        "-m tools.distill images pairs --weights rfdn-mobile-x2",
        "-m benchmarks.train_step --variant rfdn-mobile --scale 2 --batch 1 --patch 16 --rounds 1 --warmup 1",
    ],
)
def test_others(run, root, words):
    run(*words.format(w=root / "keras_rfdn/weights/rfdn-mobile-").split())
