"""Long life: memory of one process that upscales 2,000 images or tiles, or calibrates on 5,000 images, stays flat.

    python -m tools.check_long_life

Each part is a process of its own with a small network. Its resident memory is measured after every fiftieth of the
work; the largest of the last half may be 5 % above the largest of the second tenth. Linux alone.
"""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.data.system.progress import heartbeat

with lazy_imports():
    from keras_rfdn.data.sources import sample
    from keras_rfdn.imaging import image_folders
    from keras_rfdn.networks import config as networks
    from keras_rfdn.networks import models
    from keras_rfdn.tflite.quantization import calibration, folding, int8_ops, merging, scheme, tensor_statistics
    from keras_rfdn.upscaling import tiling, upscaler

WEIGHTS = "rfdn-mobile-x2"
MEASUREMENTS = 50
FORMATS = (".png", ".jpg", ".tif", ".webp", ".gif", ".bmp")


@dataclasses.dataclass(frozen=True)
class CheckLongLifeConfig:
    """Measure whether memory stays flat in long runs."""

    images: int = number(2000, least=MEASUREMENTS)  # files upscaled, of six formats and four sizes
    tiles: int = number(2000, least=MEASUREMENTS)
    calibration: int = number(5000, least=MEASUREMENTS)  # images that ranges are learned from, 100 for a network
    growth: float = number(5.0, above=0)  # percent


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident megabytes of a process: at the start, after the warm-up, and the most in the last half."""

    start: float
    warm: float
    late: float

    @property
    def growth(self) -> float:
        """Percent."""
        return 100 * (self.late / self.warm - 1)


def main(config):
    """Prints a table and returns {part: Memory}. Raises StoppedError when a part grows."""
    check_fields(config)
    if not pathlib.Path("/proc/self/statm").exists():
        raise UserError("memory is read from /proc/self/statm, which Linux alone has")
    results = {name: _in_process(PARTS[name], getattr(config, name)) for name in PARTS}
    rows = [
        [f"{getattr(config, name):,} {name}", *(f"{value:.0f}" for value in dataclasses.astuple(memory)),
         f"{memory.growth:+.1f}"] for name, memory in results.items()
    ]  # fmt: skip
    print(text_table(["MB of memory", "start", "warm", "last half", "%"], rows))
    if grown := [name for name, memory in results.items() if memory.growth > config.growth]:
        raise StoppedError(f"memory grows by more than {config.growth} %: {', '.join(grown)}")
    return results


def _in_process(part, count):
    spawn = multiprocessing.get_context("spawn")  # not forked from one in which threads run
    with heartbeat(part.__name__.strip("_")), concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, part, count).result()


def measure(part: Callable[[int], Iterator], count: int) -> Memory:
    """Memory while an iterator, part(count), does its work, an item of it at a time."""
    items, found = part(count), []
    for done, _ in enumerate(items, 1):
        if done % max(1, count // MEASUREMENTS) == 0:
            found.append(_resident())
    tenth = len(found) // 10
    return Memory(found[0], max(found[tenth : 2 * tenth]), max(found[len(found) // 2 :]))


def _resident():
    """Megabytes of memory that this process has."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _images(count):
    up = upscaler.Upscaler(WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for (width, height), suffix in itertools.product([(64, 48), (48, 64), (40, 40), (33, 50)], FORMATS):
            source = pathlib.Path(folder, f"{width}x{height}{suffix}")
            Image.fromarray(sample.dead_leaves(64, seed=0)[:height, :width]).save(source)
            pairs.append((source, pathlib.Path(folder, "out", source.name)))
        for outcome in image_folders.upscale_files(itertools.islice(itertools.cycle(pairs), count), up, up.scale):
            if outcome.error:
                raise StoppedError(outcome.error)
            yield outcome


def _tiles(count):
    up = upscaler.Upscaler(WEIGHTS)
    side = 64
    lr = np.tile(sample.dead_leaves(side, seed=0), (8, 8, 1))
    tiles = itertools.chain.from_iterable(tiling.parts(up, lr, up.scale, (side, side)) for _ in itertools.count())
    return itertools.islice(tiles, count)


def _calibration(count):
    size = dataclasses.replace(networks.VARIANTS["rfdn-mobile"], channels=8, num_blocks=1, scale=2)
    model = merging.fold_residuals(folding.fold_value_range(models.build(size), batch=None))
    lowered = int8_ops.lower_to_int8_ops(model)
    rules = scheme.Scheme.of(lowered)
    pairs = [(str(seed), sample.dead_leaves(64, seed=seed), None) for seed in range(8)]
    for seed in range(-(-count // 100)):
        images = list(calibration.patches(pairs, count=100, size=24, seed=seed))
        tensor_statistics.collect_statistics(lowered, rules, images, seed=seed)
        tensor_statistics.calibrate(lowered, rules, images)
        yield from images


PARTS = {"images": _images, "tiles": _tiles, "calibration": _calibration}


if __name__ == "__main__":
    command.run(main, CheckLongLifeConfig)
