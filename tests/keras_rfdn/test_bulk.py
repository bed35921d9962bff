"""The command with two worker processes. Run where apache-beam is, without TensorFlow: pytest --noconftest."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("apache_beam")

from keras_rfdn import bulk


def save(folder, count, side):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"{i:02d}.png")


def start(*words):
    command = [sys.executable, "-m", "keras_rfdn.bulk", *map(str, words), "--weights", "rfdn-mobile-x2"]
    return subprocess.Popen(
        [*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(*words):
    """(exit status, output, errors) of a run; a slow machine's reports of how far it is are left out of the errors."""
    process = start(*words)
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, "".join(line for line in errors.splitlines(True) if not line.endswith(" so far\n"))


def test_a_broken_image_and_a_second_run(tmp_path):
    save(tmp_path / "in", 5, 24)
    good = (tmp_path / "in/03.png").read_bytes()
    (tmp_path / "in/03.png").write_bytes(good[:300])
    failed = f"error: 1 images failed; {tmp_path}/out/failed.tsv says which, and why\n"
    words = tmp_path / "in/*.png", tmp_path / "out"
    assert finish(*words) == (2, "done 4, failed 1, skipped 0, passed over 0\n", failed)
    assert (tmp_path / "out/failed.tsv").read_text().splitlines()[1].startswith(f"{tmp_path}/in/03.png\t")
    assert finish(*words) == (2, "done 0, failed 1, skipped 4, passed over 0\n", failed)
    (tmp_path / "in/03.png").write_bytes(good)
    assert finish(*words) == (0, "done 1, failed 0, skipped 4, passed over 0\n", "")
    assert (tmp_path / "out/failed.tsv").read_text() == "image\tfailed\n"
    for i in range(5):
        with Image.open(tmp_path / f"out/{i:02d}.png") as image:
            assert image.size == (48, 48)


def test_a_killed_run_goes_on(tmp_path):
    save(tmp_path / "in", 40, 192)
    out = tmp_path / "out"
    process = start(tmp_path / "in", out)
    deadline = time.monotonic() + 300
    while not (there := list(out.glob("??.png"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1)  # for a worker that is ended by its lost connection
    there = {path: path.read_bytes() for path in out.glob("??.png")}
    assert 0 < len(there) < 40
    status, printed, errors = finish(tmp_path / "in", out)
    assert (status, errors) == (0, "")
    assert printed == f"done {40 - len(there)}, failed 0, skipped {len(there)}, passed over 0\n"
    assert len(list(out.glob("??.png"))) == 40
    assert all(path.read_bytes() == content for path, content in there.items())


def test_workers_are_of_this_machine():
    with pytest.raises(ValueError, match="--workers is for this machine"):
        bulk.main(bulk.BulkConfig("a", "b", workers=2), ["--runner=DataflowRunner"])
    with pytest.raises(ValueError, match="--threads must be 1 or above"):
        bulk.main(bulk.BulkConfig("a", "b", threads=0))
