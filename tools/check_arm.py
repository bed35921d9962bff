"""ARM check of int8 files: the same bytes as on this machine?

    python -m tools.check_arm                   all shipped int8 files
    python -m tools.check_arm MODEL.tflite      another

Each file, for images of 40x32, runs in LiteRT for aarch64 under QEMU on three CPUs, and here; by the Interpreter and by
CompiledModel. Exit status 1 when a value differs. The first run downloads
80 MB into build/arm (Debian's QEMU and arm64 Python, PyPI's wheels); nothing is installed.
"""

import dataclasses
import functools
import itertools
import pathlib
import platform
import subprocess
import sys
import tempfile

import numpy as np
import simple_parsing
from absl import logging

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.progress import track

with lazy_imports():
    from keras_rfdn.data.sources import sample
    from keras_rfdn.upscaling import litert, reshaping
    from tools import arm_machine

FOLDER = pathlib.Path("build/arm")
HERE = platform.machine()
RUN = pathlib.Path(__file__).resolve().parent / "litert_run.py"
RUNTIMES = ("interpreter", "compiled-cpu")
HEIGHT, WIDTH = 32, 40  # of the images; an emulated CPU is some hundred times slower


@dataclasses.dataclass(frozen=True)
class CheckArmConfig:
    """Compare what int8 files give on ARM CPUs, under QEMU, with what they give here."""

    # shipped networks by name, or .tflite files; by default all that are shipped
    models: tuple[str, ...] = simple_parsing.field(default=(), positional=True, nargs="*", metavar="MODEL")


def main(config):
    """Prints a table and returns {(model, runtime, machine): values that differ, or in words why there are none}."""
    models = config.models or tuple(pretrained.names())
    arm_machine.prepare(FOLDER)
    differing = {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        np.save(scratch / "images.npy", images())
        paths = {model: scratch / f"{i}.tflite" for i, model in enumerate(models)}
        for model, path in paths.items():
            content = litert.read_bytes(pretrained.int8(model) if model in pretrained.names() else model)
            path.write_bytes(reshaping.reshape(content, HEIGHT, WIDTH))
        machines = {HERE: _run_here} | {
            name: functools.partial(arm_machine.run, FOLDER, cpu) for name, cpu in arm_machine.CPUS.items()
        }
        reference = {}  # {model: output} of the first
        jobs = list(itertools.product(machines, RUNTIMES))
        for machine, runtime in track(jobs, "running", unit="runs"):
            done = machines[machine](_words(runtime, paths, scratch))
            if done.returncode:
                logging.warning("%s on %s: %s", runtime, machine, done.stderr.strip()[-300:])
            outputs = _outputs(paths, scratch)
            reference = reference or outputs
            for model in models:
                result = f"no result, exit status {done.returncode}"
                if model in outputs:
                    result = int((outputs[model] != reference[model]).sum())
                differing[model, runtime, machine] = result
    print(f"QEMU {arm_machine.version(FOLDER)}; values that differ from the {RUNTIMES[0]}'s on {HERE}:")
    print(table(differing))
    return differing


def images():
    """uint8 [2, HEIGHT, WIDTH, 3]: edges of every angle, and noise."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return np.stack([sample.dead_leaves(48, seed=0)[:HEIGHT, :WIDTH], noise])


def table(differing):
    """{(model, runtime, machine): result} -> text, a column for each machine."""
    models, machines = (list(dict.fromkeys(key[i] for key in differing)) for i in (0, 2))
    cells = [
        [model, runtime, *(differing[model, runtime, machine] or "equal" for machine in machines)]
        for model in models
        for runtime in RUNTIMES
    ]
    return text_table(["", "runtime", *machines], cells)


def exit_with_verdict(config):
    """Run main, and exit with status 1 when there is a difference."""
    if any(main(config).values()):
        sys.exit(1)


def _run_here(words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def _words(runtime, paths, scratch):
    """Words for Python: run the models of paths into scratch."""
    pairs = [word for path in paths.values() for word in (path, path.with_suffix(".npy"))]
    return list(map(str, [RUN, runtime, scratch / "images.npy", *pairs]))


def _outputs(paths, scratch):
    """{model: output} of those that are there; the files are removed, so that the next run's are its own."""
    outputs = {}
    for model, path in paths.items():
        out = path.with_suffix(".npy")
        if out.is_file():
            outputs[model] = np.load(out)
            out.unlink()
    return outputs


if __name__ == "__main__":
    command.run(exit_with_verdict, CheckArmConfig)
