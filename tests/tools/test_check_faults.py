import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.system.errors import UserError
from tools import check_faults, check_faults_jobs, check_faults_kinds


def trace(*lines):
    return [f"{line}\n" for line in lines]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out/state").mkdir(parents=True)
    return tmp_path


def test_a_file_that_is_flushed_before_it_gets_its_name(folder):
    (folder / "out/a.png").touch()
    lines = trace(
        '10 mkdir("out", 0777)           = 0',
        f"10 fsync(3<{folder}>)         = 0",
        f'10 write(4<{folder}/out/a.tmp.png>, ""..., 99) = 99',
        f"10 fsync(4<{folder}/out/a.tmp.png>) = 0",
        '10 rename("out/a.tmp.png", "out/a.png") = 0',
        f"10 fsync(4<{folder}/out>) = 0",
        '10 write(1</dev/null>, ""..., 3) = 3',
        '10 rename("/elsewhere/a", "/elsewhere/b") = 0',
    )
    assert check_faults_kinds.unsynced(lines, folder) == []
    assert check_faults_kinds.unsynced(lines[:-3], folder) == [f"names in {folder}/out were not on the disk at the end"]
    named_early = check_faults_kinds.unsynced([line for line in lines if "fsync(4" not in line], folder)
    assert named_early == [
        "out/a.png got its name before its content was on the disk",
        f"{folder}/out/a.png was not on the disk at the end",
        f"names in {folder}/out were not on the disk at the end",
    ]
    assert check_faults_kinds.unsynced(trace(*(line.strip() for line in lines), lines[2].strip()), folder) == []


def test_an_older_state_goes_after_the_new_one_is_on_the_disk(folder):
    state = "out/state/ckpt"
    flush = [f"10 fsync(4<{folder}/{state}-{step}.index>) = 0" for step in (1, 2, 3)]
    remove = [f'10 unlink("{state}-{step}.{kind}") = 0' for step in (1, 2) for kind in ("index", "data")]
    assert check_faults_kinds.unsynced(trace(*flush[:2], *remove[:2], flush[2], *remove[2:]), folder) == []
    assert check_faults_kinds.unsynced(trace(flush[0], *remove[:2], flush[1]), folder) == [
        f"{state}-1.index went before another state was on the disk",
        f"{state}-1.data went before another state was on the disk",
    ]


def test_calls_that_others_interrupt_are_put_together():
    lines = trace("10 fsync(4</a> <unfinished ...>", '11 write(1</b>, "", 3) = 3', "10 <... fsync resumed>) = 0",
                  "10 fsync(5</c>) = -1 EINVAL (Invalid argument)")  # fmt: skip
    assert [*check_faults_kinds.joined(lines)] == [("write", '1</b>, "", 3'), ("fsync", "4</a>")]


def test_a_file_cut_short_is_no_content(tmp_path):
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "a.bmp")
    assert len(check_faults_jobs._content(tmp_path / "a.bmp")) == 2700
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:-20])
    with pytest.raises(OSError, match="truncated"):
        check_faults_jobs._content(tmp_path / "a.bmp")


def test_unknown_words_are_refused():
    with pytest.raises(UserError, match="flood is unknown; choose from kill, full disk"):
        check_faults.main(check_faults.CheckFaultsConfig(kinds=("kill", "flood")))


def test_faults_of_a_video_are_survived(root, tmp_path):
    """The command itself, in a process that has computed nothing: it forks."""
    words = ["--jobs", "video", "--kinds", "kill", "two runs", "--kills", "3", "--keep", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "tools.check_faults", *map(str, words)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^video +3 survived +2 survived$", done.stdout, re.M)
