import subprocess

import numpy as np
import pytest

from keras_rfdn.data.system.errors import StoppedError, UserError
from tools import arm_machine, check_arm


@pytest.fixture
def emulator(root, monkeypatch):
    """The unpacked QEMU and Python; a test that asks for them is skipped where they are not."""
    monkeypatch.chdir(root)
    if not arm_machine.is_prepared(check_arm.FOLDER):
        pytest.skip(f"no ARM Python in {check_arm.FOLDER}; make check-arm puts it there")


@pytest.mark.usefixtures("emulator")
def test_a_shipped_file_gives_the_same_bytes_on_arm(monkeypatch, capsys):
    monkeypatch.setattr(arm_machine, "CPUS", {"cortex-a76": arm_machine.CPUS["cortex-a76"]})
    differing = check_arm.main(check_arm.CheckArmConfig(("rfdn-mobile-x4",)))
    assert set(differing.values()) == {0}
    assert [machine for *_, machine in differing] == [check_arm.HERE] * 2 + ["cortex-a76"] * 2
    assert "equal" in capsys.readouterr().out


@pytest.mark.usefixtures("emulator")
def test_the_arm_python_is_one():
    done = arm_machine.run(
        check_arm.FOLDER, arm_machine.CPUS["cortex-a53"], ["-c", "import os; print(os.uname().machine)"]
    )
    assert (done.stdout, done.returncode) == ("aarch64\n", 0)


@pytest.fixture
def stand_in(monkeypatch):
    """stand_in(change): in QEMU's place this machine's Python, whose outputs are changed."""
    monkeypatch.setattr(arm_machine, "prepare", lambda folder: None)
    monkeypatch.setattr(arm_machine, "version", lambda folder: "0")

    def replace(change):
        def run(folder, cpu, words):
            done = check_arm._run_here(words)
            for out in words[4::2]:
                change(out)
            return done

        monkeypatch.setattr(arm_machine, "run", run)

    return replace


def test_values_that_differ_are_counted(stand_in, fixed_tflite, capsys):
    def change(out):
        output = np.load(out)
        output.flat[:3] += 1
        np.save(out, output)

    stand_in(change)
    with pytest.raises(SystemExit) as stopped:
        check_arm.exit_with_verdict(check_arm.CheckArmConfig((fixed_tflite,)))
    assert stopped.value.code == 1
    (row, _) = capsys.readouterr().out.splitlines()[-2:]
    assert row.split()[1:] == ["interpreter", "equal", "3", "3", "3"]


def test_a_crash_is_no_equality(stand_in, monkeypatch, fixed_tflite):
    stand_in(lambda out: None)
    crashed = subprocess.CompletedProcess([], -11, "", "Segmentation fault")
    monkeypatch.setattr(arm_machine, "run", lambda *_: crashed)
    differing = check_arm.main(check_arm.CheckArmConfig((fixed_tflite,)))
    assert differing[fixed_tflite, "compiled-cpu", "max"] == "no result, exit status -11"
    assert differing[fixed_tflite, "compiled-cpu", check_arm.HERE] == 0


def test_missing_tools_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get is needed, for Debian's QEMU"):
        arm_machine.prepare(tmp_path / "arm")


def test_a_failed_download_says_why_and_is_not_taken_for_done(tmp_path, monkeypatch):
    for name, script in (("apt-get", "echo E: no network >&2; exit 100"), ("dpkg-deb", ""), ("dpkg", "echo amd64")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(StoppedError, match=r"apt-get update \.\.\. failed: E: no network"):
        arm_machine.prepare(tmp_path / "arm")
    assert not arm_machine.is_prepared(tmp_path / "arm")
