"""Vela, Arm's compiler for Ethos-U: its own verdict on a TFLite model (PyPI: ethos-u-vela)."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite.inspection import targets

# What it says of an operator that it leaves to the CPU; the reason's first line.
REFUSAL = re.compile(r"^Warning \([^)]*\) operator: (\S+), ofm: '(.*)'\nReason: (.*)$", re.MULTILINE)


def find() -> list[str] | None:
    """Words of its command: on the PATH, beside this Python or a module of it; None where it is not installed."""
    beside = pathlib.Path(sys.executable).with_name("vela")
    found = shutil.which("vela") or (str(beside) if beside.exists() else None)
    if found:
        return [found]
    try:
        return [sys.executable, "-m", "ethosu.vela.vela"] if importlib.util.find_spec("ethosu.vela") else None
    except ModuleNotFoundError:
        return None


def verdict(content: bytes, accelerator: str) -> targets.Verdict:
    """What Vela puts on an accelerator, such as ethos-u55-256, of a TFLite model.

    Raises UserError where Vela is not installed or fails.
    """
    command = find()
    if command is None:
        raise UserError("Vela is not installed; pip install ethos-u-vela")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        path.write_bytes(content)
        done = subprocess.run(
            [*command, "--accelerator-config", accelerator, "--output-dir", folder, str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, check=False,
        )  # fmt: skip
    if done.returncode:
        raise UserError(f"Vela failed for {accelerator}: {done.stdout.strip().splitlines()[-1:]}")
    refusals = tuple(targets.Refusal(*found) for found in REFUSAL.findall(done.stdout))
    return targets.Verdict(f"Vela, {accelerator}", len(targets.operators(content)), refusals)
