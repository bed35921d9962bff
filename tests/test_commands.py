"""What all commands have in common: each is found here by its call of command.run."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = {"keras_rfdn": "keras_rfdn", "tflite": "keras_rfdn.tflite", "tools": "tools", "benchmarks": "benchmarks"}
COMMANDS = {
    f"{package}.{path.stem}": path
    for folder, package in FOLDERS.items()
    for path in sorted((ROOT / folder).glob("*.py"))
    if re.search(r"^    command\.run\(", path.read_text(), re.MULTILINE)
}
# Runs a module as python -m does, and says at its end what heavy packages it has loaded.
HELP = """
import atexit, runpy, sys
heavy = {"tensorflow", "tf_keras", "matplotlib", "skimage"}
atexit.register(lambda: print("heavy:", sorted(heavy & sys.modules.keys())))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def test_all_commands_are_found():
    assert {"keras_rfdn.train", "keras_rfdn.tflite.convert", "tools.distill"} < COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown_without_tensorflow(name):
    done = subprocess.run([sys.executable, "-c", HELP, name, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout
    assert done.stdout.endswith("heavy: []\n")
