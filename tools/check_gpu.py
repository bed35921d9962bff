"""GPU check of LiteRT files on a machine without a GPU: Vulkan in software, Chromium's SwiftShader.

    python -m tools.check_gpu ../shared/data/benchmark/Set5

Networks as int8 and as float32, for tiles of 80x80, run in LiteRT's GPU accelerator and on the CPU: whether the GPU
took all operators, how far its grey levels are, and the dB of both. Exit status 1 when one is not taken wholly.
VK_ICD_FILENAMES names another driver, a GPU's own or the lavapipe of a new Mesa (that of Debian 12 is too old).
"""

import ctypes.util
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import simple_parsing

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.data.system.progress import track

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.sources import folders
    from keras_rfdn.evaluation import scoring
    from keras_rfdn.tflite.conversion import converter
    from keras_rfdn.upscaling import litert, reshaping, tiling

DRIVER = "/usr/lib/chromium/vk_swiftshader_icd.json"
RUN = pathlib.Path(__file__).resolve().parent / "litert_run.py"
NETWORKS = ("e-rfdn-x4", "rfdn-x4", "rfdn-mobile-x4")
SIDE = 80  # of a tile, in LR pixels: Set5 makes nine


@dataclasses.dataclass(frozen=True)
class CheckGpuConfig:
    """Compare LiteRT's GPU path, on Vulkan in software, with the CPU."""

    images: str = simple_parsing.field(positional=True, metavar="IMAGES")  # folder of HR images, Set5 say
    networks: tuple[str, ...] = NETWORKS  # shipped ones by name


@dataclasses.dataclass(frozen=True)
class Row:
    """What the GPU made of a file. largest, rmse: difference to the CPU, in grey levels. Both PSNR in dB."""

    name: str
    accelerated: bool  # the GPU took all operators
    largest: float
    rmse: float
    gpu: float
    cpu: float


def main(config):
    """Prints a table and returns its Rows."""
    driver = pathlib.Path(os.environ.get("VK_ICD_FILENAMES", DRIVER))
    if not driver.is_file() or not ctypes.util.find_library("vulkan"):
        raise UserError(
            f"a Vulkan driver at {driver} and its loader, libvulkan.so.1, are needed: "
            "apt-get install chromium libvulkan1; VK_ICD_FILENAMES names another driver's .json"
        )
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        jobs = [(name, precision) for name in config.networks for precision in ("int8", "float32")]
        for name, precision in track(jobs, "running", unit="files"):
            path = scratch / f"{name}_{precision}.tflite"
            if precision == "int8":
                content = reshaping.reshape(litert.read_bytes(pretrained.int8(name)), SIDE, SIDE)
            else:
                loaded = checkpoint.load(pretrained.named(name))
                content = converter.convert(loaded[0], precision, height=SIDE, width=SIDE)
            path.write_bytes(content)
            rows.append(check(path, config.images, driver))
    print(f"{driver.name}, tiles of {SIDE}x{SIDE}, {config.images}: GPU against CPU in grey levels, PSNR in dB")
    print(table(rows))
    return rows


def check(path, images, driver) -> Row:
    """Run a .tflite of a fixed size on the images of a folder, in tiles, on both."""
    model = litert.Model(path.read_bytes())
    pairs = [
        (lr, hr) for _, lr, hr in folders.find_pairs(images, model.scale) if not scoring.unmeasurable(hr, model.scale)
    ]
    tiles = []

    def record(lr):
        tiles.append(lr)
        return np.zeros((lr.shape[0] * model.scale, lr.shape[1] * model.scale, 3), np.uint8)

    for lr, _ in pairs:
        tiling.tiled(record, model.scale, model.tile)(lr)
    np.save(path.with_suffix(".npy"), np.stack(tiles))
    results = {runtime: run(runtime, path, driver) for runtime in ("compiled-cpu", "compiled-gpu")}
    (cpu, _), (gpu, accelerated) = results.values()
    difference = gpu.astype(float) - cpu
    return Row(
        path.stem, accelerated, float(np.abs(difference).max()), float(np.sqrt((difference**2).mean())),
        *(_psnr(pairs, outputs, model) for outputs in (gpu, cpu)),
    )  # fmt: skip


def run(runtime, path, driver):
    """(outputs, whether the accelerator took all) of a .tflite for the images beside it, .npy, in its own process."""
    out = path.with_suffix(f".{runtime}.npy")
    done = subprocess.run(
        [sys.executable, RUN, runtime, path.with_suffix(".npy"), path, out],
        env={**os.environ, "VK_ICD_FILENAMES": str(driver)}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise StoppedError(f"{path.name} on {runtime}: exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    return np.load(out), json.loads(done.stdout.splitlines()[-1])["accelerated"]


def _psnr(pairs, outputs, model):
    """Mean dB of images whose tiles' outputs are given, in order."""
    ready = (output.astype(np.float32).round().clip(0, 255).astype(np.uint8) for output in outputs)
    upscale = tiling.tiled(lambda _: next(ready), model.scale, model.tile)
    return scoring.mean(scoring.score(upscale(lr), hr, model.scale) for lr, hr in pairs).psnr


def table(rows):
    """Rows -> text."""
    cells = []
    for row in rows:
        taken = "all" if row.accelerated else "not all"
        cells.append([row.name, taken, f"{row.largest:.4g}", f"{row.rmse:.2g}", f"{row.gpu:.3f}", f"{row.cpu:.3f}"])
    return text_table(["", "on GPU", "largest", "rmse", "GPU", "CPU"], cells)


def exit_with_verdict(config):
    """Run main, and exit with status 1 when the GPU refused an operator."""
    if not all(row.accelerated for row in main(config)):
        sys.exit(1)


if __name__ == "__main__":
    command.run(exit_with_verdict, CheckGpuConfig)
