import subprocess
import sys

import pytest

from keras_rfdn import prepare
from keras_rfdn.prepare import PrepareConfig


def truncate(path, size=200):
    path.write_bytes(path.read_bytes()[:size])


def test_a_whole_set(benchmark_set, capsys):
    found = prepare.main(PrepareConfig(str(benchmark_set), patch=4))
    assert found.rows == [["HR", 3, "", 3, 0, 0, 0]]
    assert found.problems == found.notes == []
    assert "LR images" in capsys.readouterr().out


def test_images_below_a_patch_are_only_noted(benchmark_set, save_noise):
    save_noise(benchmark_set / "HR/d.png", 32, 40)
    save_noise(benchmark_set / "LR_bicubic/X4/dx4.png", 8, 10)
    found = prepare.main(PrepareConfig(str(benchmark_set), patch=8))
    assert found.rows == [["HR", 4, "", 4, 0, 0, 3]]
    assert found.notes == ["HR: training leaves out a.png, b.png, c.png: an LR side is below a patch of 8 pixels"]


def test_the_command_ends_with_2_when_something_is_broken(benchmark_set, root):
    command = [sys.executable, "-m", "keras_rfdn.prepare", str(benchmark_set), "--patch", "4"]
    assert subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0
    truncate(benchmark_set / "HR/a.png")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a.png is not a readable image" in done.stdout
    assert done.stderr.splitlines()[-1] == f"error: {benchmark_set} is not ready for training; problems named above: 1"


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="is neither div2k nor a folder"):
        prepare.main(PrepareConfig(str(tmp_path / "absent")))
    with pytest.raises(ValueError, match="--download is for div2k"):
        prepare.main(PrepareConfig(str(tmp_path), download=True))
    with pytest.raises(ValueError, match="--scale must be one of 2, 3, 4, got 5"):
        prepare.main(PrepareConfig(str(tmp_path), scale=5))
    with pytest.raises(ValueError, match="--patch must be above 0, got 0"):
        prepare.main(PrepareConfig(str(tmp_path), patch=0))
