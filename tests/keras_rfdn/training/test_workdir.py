import dataclasses
import json
import subprocess
import sys

import pytest

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.training import workdir


@dataclasses.dataclass(frozen=True)
class Settings:
    batch: int = 2
    seed: int = 0
    steps: int = 4
    names: tuple[str, ...] = ()


HOLD = """
import dataclasses, sys, time
from keras_rfdn.training import workdir
with workdir.locked(sys.argv[1], dataclasses.make_dataclass("Settings", ["batch"])(2), resumable=()):
    print("mine", flush=True)
    time.sleep(600)
"""


def claim(folder, config=None):
    with workdir.locked(folder, config or Settings(), resumable={"steps"}) as claimed:
        (claimed / workdir.STATE).mkdir(exist_ok=True)


def test_settings_are_written(tmp_path):
    claim(tmp_path / "a/run")
    assert json.loads((tmp_path / "a/run/config.json").read_text()) == {"batch": 2, "seed": 0, "steps": 4, "names": []}


def test_other_settings_are_refused_and_kept(tmp_path):
    claim(tmp_path)
    with pytest.raises(ValueError, match="with other settings: batch was 2 and is now 3, seed was 0 and is now 1; use"):
        claim(tmp_path, Settings(batch=3, seed=1, steps=9))
    assert json.loads((tmp_path / "config.json").read_text())["batch"] == 2
    claim(tmp_path, Settings(steps=9))
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 9


def test_several_names_are_the_same_when_a_run_goes_on(tmp_path):
    named = Settings(names=("a", "b"))
    claim(tmp_path, named)
    claim(tmp_path, named)
    with pytest.raises(ValueError, match=r"names was \['a', 'b'\] and is now \['a'\]"):
        claim(tmp_path, Settings(names=("a",)))


def test_a_field_that_an_older_version_had_not_counts_as_its_default(tmp_path):
    claim(tmp_path)
    (tmp_path / "config.json").write_text('{"batch": 2}')
    claim(tmp_path)
    with pytest.raises(ValueError, match="seed was 0 and is now 1;"):
        claim(tmp_path, Settings(seed=1))


def test_a_run_that_never_saved_may_be_started_otherwise(tmp_path):
    with workdir.locked(tmp_path, Settings(), resumable=()):
        pass
    claim(tmp_path, Settings(batch=3))


def test_two_runs_in_one_workdir(root, tmp_path):
    """Another process holds the workdir, is killed, and leaves its lock file, which then stops nobody."""
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, cwd=root) as other:
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(
            ValueError, match=rf"another run is training in {tmp_path}; stop it, or use another workdir"
        ):
            claim(tmp_path)
        other.kill()
    assert (tmp_path / workdir.LOCK).exists()
    claim(tmp_path)


def test_a_workdir_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"file/run can't be written .*; use another workdir"):
        claim(tmp_path / "file/run")
    assert (tmp_path / "file").read_text() == "in the way"


def test_records_of_steps_that_are_done_again_are_replaced(tmp_path):
    assert workdir.records(tmp_path) == []
    for step, loss in ((2, 0.5), (4, 0.4), (6, 0.3), (4, 0.2)):
        workdir.add_record(tmp_path, {"step": step, "loss": loss})
    assert workdir.records(tmp_path) == [{"step": 2, "loss": 0.5}, {"step": 4, "loss": 0.2}]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2, "loss": 0.5}\n{"step": 4, "loss": 0.2}\n'


@pytest.mark.parametrize(
    "damage", [b'{"step": 1}\n{"ste', b"\xff\xfe", b"7\n", b"{}\n", b'{"step": "1"}\n', b"[" * 100_000]
)
def test_damaged_records_are_named(tmp_path, damage):
    (tmp_path / workdir.METRICS).write_bytes(damage)
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged \(.*\); delete it"):
        workdir.records(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b"null", b"[1]"])
def test_damaged_settings_are_named(tmp_path, damage):
    claim(tmp_path)
    (tmp_path / workdir.CONFIG).write_bytes(damage)
    with pytest.raises(UserError, match=r"config\.json is damaged \(.*\); restore it"):
        claim(tmp_path)
