import importlib.util
import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import upscale_process
from keras_rfdn.data.sources import sample

# In place of rfdn: copies a photograph, takes 200 MB for it and says so; fails with --float.
STAND_IN = """
import shutil, sys
if sys.argv[1] == "--help":
    sys.exit()
print("copying")
if "--float" in sys.argv:
    sys.exit("error: no float here")
memory = bytearray(200_000_000)
memory[::4096] = b"1" * len(memory[::4096])
shutil.copy(*sys.argv[1:3])
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / "rfdn.py").write_text(STAND_IN)
    monkeypatch.setattr(upscale_process, "RFDN", (sys.executable, str(tmp_path / "rfdn.py")))
    Image.fromarray(sample.dead_leaves(30, seed=0)).save(tmp_path / "photograph.png")
    return upscale_process.UpscaleProcessConfig(
        str(tmp_path / "photograph.png"), megapixels=0.012, rounds=2, json=str(tmp_path / "processes.json")
    )


def test_each_command_on_each_photograph(config, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else found(name))
    result = upscale_process.main(config)
    labels = ["rfdn", "rfdn --weights rfdn-mobile-x4", "rfdn --float", "Pillow, bicubic"]
    sizes = [(30, 30)] * 4 + [(126, 94)] * 4
    assert [(m.command, m.size) for m in result.measured] == [
        ("rfdn --help", None), *zip(labels * 2, sizes, strict=True)
    ]  # fmt: skip
    for m in result.measured:
        assert (m.failed, len(m.runs)) == (("error: no float here", 0) if "--float" in m.command else (None, 2))
        for run in m.runs:
            large = "rfdn" in m.command and m.size is not None
            assert 0 < run.cpu_seconds < 2 * run.seconds + 1
            assert (run.peak_bytes > 200e6) == large  # and so memory is the process's own, not ours
    assert result.absent == {"OpenCV, FSRCNN": "not installed: opencv-contrib-python-headless"}
    with open(config.json) as file:
        assert json.load(file)["measured"][1]["size"] == [30, 30]
    printed = capsys.readouterr().out
    assert "OpenCV, FSRCNN: not installed: opencv-contrib-python-headless" in printed
    assert "error: no float here" in printed


def test_opencv_wants_a_model(config, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "cv2" or found(name))
    commands, absent = upscale_process._commands(config)
    assert absent == {"OpenCV, FSRCNN": "no FSRCNN_x4.pb in the folder --fsrcnn"}
    assert "OpenCV, FSRCNN" not in commands


def test_a_large_photograph_is_the_small_one_and_its_reflections():
    small = sample.dead_leaves(30, seed=0)
    large = upscale_process.enlarge(small, 0.012)
    assert large.shape == (94, 126, 3)
    np.testing.assert_array_equal(large[:30, :30], small)
    np.testing.assert_array_equal(large[30:60, 60:90], small[::-1])
    assert upscale_process.enlarge(small, 12).shape == (3000, 4000, 3)
    assert upscale_process.enlarge(small, 0.0001).shape == (9, 12, 3)
