"""Time and memory of upscaling a photograph, whole processes: from the command's start to the file's last byte.

    pip install opencv-contrib-python-headless
    python -m benchmarks.upscale_process Kodak24/02.png --fsrcnn FOLDER

rfdn stands beside OpenCV's dnn_superres with FSRCNN and Pillow's bicubic, each as a plain script would use it. The
photograph is upscaled as it is, and as one of 12 megapixels that is made of it by reflection (OpenCV takes 17 GB for
that). Processes take turns, in a new order each round, so that noise from outside hits all alike. FOLDER holds
FSRCNN_x4.pb, by Xavier Weber (github.com/Saafke/FSRCNN_Tensorflow). What is not installed or not named is left out and
said so.
"""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import simple_parsing
from PIL import Image

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from keras_rfdn.data.images import image_files
    from keras_rfdn.tflite.inspection import machine, timing

RFDN = (sys.executable, "-m", "keras_rfdn.upscale")
OPENCV = """
import sys
import cv2
from cv2 import dnn_superres
source, target, model, scale = sys.argv[1:]
network = dnn_superres.DnnSuperResImpl_create()
network.readModel(model)
network.setModel("fsrcnn", int(scale))
cv2.imwrite(target, network.upsample(cv2.imread(source)))
"""
PILLOW = """
import sys
from PIL import Image
source, target, scale = sys.argv[1:]
image = Image.open(source).convert("RGB")
image.resize((image.width * int(scale), image.height * int(scale)), Image.Resampling.BICUBIC).save(target)
"""
# Runs a command. A small process in between, for Linux counts the memory of the one that starts a process as its own.
STOPWATCH = """
import json, os, sys, time
started = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
seconds = time.perf_counter() - started
cpu = usage.ru_utime + usage.ru_stime
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, peak]))
"""


@dataclasses.dataclass(frozen=True)
class UpscaleProcessConfig:
    """Time commands that upscale a photograph, from start to file written, and measure their memory."""

    photograph: str = simple_parsing.field(positional=True, metavar="PHOTOGRAPH")
    scale: int = choice(*SCALES, default=4)
    weights: str = "rfdn-mobile-x4"  # of rfdn's second row; the first is its default
    fsrcnn: str | None = None  # folder of FSRCNN_x4.pb, for OpenCV
    megapixels: float = number(12, above=0, most=1000)  # of the large photograph, before it is upscaled
    rounds: int = number(5, least=1)
    json: str | None = None  # file for all that was measured


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a process, its descendants that it waited for included."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclasses.dataclass(frozen=True)
class Measured:
    """A command on a photograph. size: (width, height) of the photograph, None for --help. failed: why, or None."""

    command: str
    size: tuple[int, int] | None
    runs: tuple[Run, ...]
    failed: str | None = None


@dataclasses.dataclass(frozen=True)
class UpscaleProcesses:
    """What was measured. absent: {command: what it lacks}. surroundings: of inspection.machine."""

    surroundings: dict
    measured: tuple[Measured, ...]
    absent: dict[str, str]


def main(config):
    """Prints a table and returns the UpscaleProcesses that --json writes. Raises UserError for no photograph."""
    check_fields(config)
    small = image_files.read(config.photograph)
    commands, absent = _commands(config)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        jobs = [("rfdn --help", None, [*RFDN, "--help"], None)]
        for name, photograph in (("small", small), ("large", enlarge(small, config.megapixels))):
            source, target = folder / f"{name}.png", folder / f"{name}_sr.png"
            Image.fromarray(photograph).save(source, compress_level=1)
            size = photograph.shape[1], photograph.shape[0]
            jobs += [(label, size, make(str(source), str(target)), target) for label, make in commands.items()]
        functions = [functools.partial(_run, words, target, folder) for _, _, words, target in jobs]
        runs = timing.interleave(functions, config.rounds)
    measured = tuple(_measured(*job[:2], own) for job, own in zip(jobs, runs, strict=True))
    result = UpscaleProcesses(machine.surroundings(), measured, absent)
    print(table(result))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(result))
    return result


def enlarge(image: np.ndarray, megapixels: float) -> np.ndarray:
    """Image of so many megapixels, 4 to 3, that an image and its reflections fill."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    height = round(width * 3 / 4)
    padding = [(0, max(0, wanted - have)) for wanted, have in zip((height, width), image.shape, strict=False)]
    return np.pad(image, [*padding, (0, 0)], "symmetric")[:height, :width]


def _commands(config):
    """({label: function (source, target) -> words of a command}, {label: what it lacks})."""
    scale, absent = str(config.scale), {}
    model = pathlib.Path(config.fsrcnn or "") / f"FSRCNN_x{scale}.pb"

    def rfdn(*flags):
        return lambda source, target: [*RFDN, source, target, *flags]

    commands = {
        "rfdn": rfdn("--scale", scale),
        f"rfdn --weights {config.weights}": rfdn("--weights", config.weights),
        "rfdn --float": rfdn("--scale", scale, "--float"),
        "OpenCV, FSRCNN": lambda source, target: [
            *(sys.executable, "-c", OPENCV, source, target, str(model.resolve()), scale)
        ],
        "Pillow, bicubic": lambda source, target: [sys.executable, "-c", PILLOW, source, target, scale],
    }
    if not importlib.util.find_spec("cv2"):
        absent["OpenCV, FSRCNN"] = "not installed: opencv-contrib-python-headless"
    elif not model.is_file():
        absent["OpenCV, FSRCNN"] = f"no {model.name} in the folder --fsrcnn"
    return {label: make for label, make in commands.items() if label not in absent}, absent


def _run(words, target, folder):
    """Run of a command, or why it failed: the last line of what it said."""
    if target:
        target.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STOPWATCH, *words], cwd=folder, capture_output=True, text=True
    )
    status, *measured = json.loads(done.stdout.splitlines()[-1])
    if status or (target and not target.exists()):
        return (done.stderr.strip() or f"exit status {status}").splitlines()[-1]
    return Run(*measured)


def _measured(label, size, outcomes):
    runs = tuple(outcome for outcome in outcomes if isinstance(outcome, Run))
    failed = next((outcome for outcome in outcomes if not isinstance(outcome, Run)), None)
    return Measured(label, size, runs, failed)


def table(result):
    """UpscaleProcesses -> text."""
    where = result.surroundings["machine"]
    rows, failures = [], []
    for m in result.measured:
        size = "" if m.size is None else f"{m.size[0]}x{m.size[1]}"
        if m.failed:
            failures.append(f"{m.command} {size}: {m.failed}")
            continue
        medians = [statistics.median(getattr(run, key) for run in m.runs) for key in ("seconds", "cpu_seconds")]
        least, peak = min(run.seconds for run in m.runs), max(run.peak_bytes for run in m.runs)
        rows.append([m.command, size, *(f"{x:.2f}" for x in (medians[0], least, medians[1])), f"{peak / 1e6:.0f}"])
    lines = [
        f"{where['processor']} ({where['cores']} cores)",
        text_table(["", "photograph", "s, median", "s, least", "s of CPU", "peak MB"], rows),
        *failures,
        *(f"{label}: {why}" for label, why in result.absent.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, UpscaleProcessConfig)
