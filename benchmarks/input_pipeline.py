"""Input pipeline throughput: training patches a second, beside other methods, on the same images.

    python -m benchmarks.input_pipeline                            on the sample set
    python -m benchmarks.input_pipeline --data FOLDER --images 12  on images as large as those you train on

Methods take turns in one process, for some rounds; the table holds medians. "A core" is a second of CPU time,
whichever threads spent it, so that other work on the machine counts less. Ours has decoded images in memory or in a
mapped file, and is measured through tf.data too. Beside it are the upper bound, random crops copied as they lie, and
what is done elsewhere, written anew here:

    decode        decode the PNG files of a pair for each patch, crop, turn
    sub-images    BasicSR's: PNG files of 480x480 HR pixels, a step of 240 apart, decoded for each patch, crop, turn
    tf ops        krasserm's super-resolution: decoded images cached in tf.data; crop, turn and flip by TensorFlow
"""

import dataclasses
import functools
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.images import image_files, patches
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from benchmarks import tf_patches
    from keras_rfdn.data.streams import pipeline

SUB_IMAGE, SUB_STEP = 480, 240  # HR pixels
DECODED = 8  # patches a turn, where each of them decodes two files
THREADS = (1, 2)  # workers of tf.data that are measured


@dataclasses.dataclass(frozen=True)
class InputPipelineConfig:
    """Measure training patches a second of our pipeline and of other methods, on the same images."""

    data: str = "sample"  # div2k, sample, or a folder of HR images
    images: int = number(12, least=1)  # measure on the first of them that are large enough
    scale: int = choice(*SCALES, default=4)
    patch: int = number(64, least=1)  # LR pixels
    batch: int = number(64, least=1)
    rounds: int = number(5, least=1)
    seconds: float = number(1.0, least=0)  # of each method in each round, at least
    json: str | None = None  # write the results to this file


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to make batches: draw() makes `patches` pairs of patches; cached_bytes of pixels stay in memory for it."""

    draw: Callable[[], object]
    patches: int
    cached_bytes: int


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Patches a second of a method, medians over rounds."""

    per_second: float
    per_core_second: float  # a second of CPU time
    cached_bytes: int


def main(config):
    """Prints a table and returns {method: Throughput}, which --json writes."""
    check_fields(config)
    if config.patch * config.scale > SUB_IMAGE:
        raise UserError(f"--patch may be {SUB_IMAGE // config.scale} at most, for sub-images of {SUB_IMAGE} HR pixels")
    pairs = _large_pairs(config)
    with tempfile.TemporaryDirectory() as folder:
        methods = _methods(pairs, config, pathlib.Path(folder))
        rounds = [{name: _measure(method, config.seconds) for name, method in methods.items()}
                  for _ in range(config.rounds)]  # fmt: skip
    result = {
        name: Throughput(
            statistics.median(of_round[name][0] for of_round in rounds),
            statistics.median(of_round[name][1] for of_round in rounds),
            method.cached_bytes,
        )
        for name, method in methods.items()
    }
    megapixels = statistics.fmean(hr.shape[0] * hr.shape[1] for _, hr in pairs) / 1e6
    print(f"x{config.scale}, {config.patch}x{config.patch} LR, {len(pairs)} images of {megapixels:.2f} Mpixel HR")
    slowest = result["decode"].per_core_second
    rows = [
        [
            name,
            f"{found.per_second:,.0f}",
            f"{found.per_core_second:,.0f}",
            f"{found.per_core_second / slowest:.1f}",
            f"{found.cached_bytes / 1e6:,.0f}",
        ]
        for name, found in result.items()
    ]
    print(text_table(["", "patches/s", "patches/s a core", "times decode", "MB of pixels cached"], rows))
    if config.json:
        files.write_json(config.json, {name: dataclasses.asdict(found) for name, found in result.items()})
    return result


def _large_pairs(config):
    """[(lr, hr)] of the first images that sub-images can be cut from."""
    source, _ = pipeline.sources(config.data, config.scale)
    large = ((lr, hr) for _, lr, hr in source if min(hr.shape[:2]) >= SUB_IMAGE)
    pairs = list(itertools.islice(large, config.images))
    if not pairs:
        raise UserError(f"no image of --data {config.data} has HR sides of {SUB_IMAGE} pixels or more")
    return pairs


def _methods(pairs, config, folder):
    """{name: Method}; files go into the folder."""
    arguments = {"lr_patch": config.patch, "batch": config.batch, "seed": 0}
    pixels = sum(image.nbytes for image in itertools.chain(*pairs))
    mapped = pipeline.cache(ListSource(pairs), folder / "cache")

    def ours(cached):
        steps = itertools.count()
        return lambda: pipeline.batch_at(next(steps), cached, **arguments)

    methods = {
        "decode": Method(_decode(_save(pairs, folder / "images"), config), DECODED, 0),
        "sub-images": Method(_decode(_save(_sub_images(pairs, config.scale), folder / "sub"), config), DECODED, 0),
        "tf ops": Method(tf_patches.batches(pairs, config), config.batch, pixels),
        "ours, memory": Method(ours(pairs), config.batch, pixels),
        "ours, file": Method(ours(mapped), config.batch, 0),
    }
    for workers in THREADS:
        batches = iter(pipeline.stream(pairs, workers=workers, **arguments))
        methods[f"ours, tf.data, workers: {workers}"] = Method(functools.partial(next, batches), config.batch, pixels)
    return {**methods, "bytes copied": Method(_copy(pairs, config), config.batch, pixels)}


@dataclasses.dataclass(frozen=True)
class ListSource:
    """Image source made of decoded pairs, as pipeline.cache takes it."""

    pairs: list

    def __len__(self):
        return len(self.pairs)

    def __iter__(self):
        return (("", *pair) for pair in self.pairs)

    def fingerprint(self):
        return "benchmark"


def _measure(method, seconds):
    """(patches a second, patches a second of CPU time) over complete draws and the seconds given at least."""
    method.draw()  # what it does once
    _wait_until_idle()
    started, cpu_started, count = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not count:
        method.draw()
        count += method.patches
    _wait_until_idle()  # what was drawn ahead before is drawn ahead again
    cpu = time.process_time() - cpu_started
    return count / elapsed, count / cpu


def _wait_until_idle():
    """Until this process's other threads have filled their queues: a tenth of a second without CPU time."""
    spent = 1.0
    while spent > 0.01:
        before = time.process_time()
        time.sleep(0.1)
        spent = time.process_time() - before


def _save(pairs, folder):
    """[(LR file, HR file)] of PNG files."""
    folder.mkdir()
    saved = []
    for i, pair in enumerate(pairs):
        saved.append(tuple(folder / f"{i}_{kind}.png" for kind in ("lr", "hr")))
        for image, path in zip(pair, saved[-1], strict=True):
            Image.fromarray(image).save(path)
    return saved


def _sub_images(pairs, scale):
    """Squares of SUB_IMAGE HR pixels, SUB_STEP apart, and their LR squares."""
    for lr, hr in pairs:
        for y in range(0, hr.shape[0] - SUB_IMAGE + 1, SUB_STEP):
            for x in range(0, hr.shape[1] - SUB_IMAGE + 1, SUB_STEP):
                yield patches.crop(lr, hr, top=y // scale, left=x // scale, lr_patch=SUB_IMAGE // scale, scale=scale)


def _random_crop(pair, rng, config):
    lr, hr = pair
    top, left = (int(rng.integers(side - config.patch + 1)) for side in lr.shape[:2])
    return patches.crop(lr, hr, top=top, left=left, lr_patch=config.patch, scale=config.scale)


def _decode(saved, config):
    """draw() of DECODED patches from files that are decoded for each."""
    rng = np.random.default_rng(0)

    def patch():
        pair = tuple(image_files.read(path) for path in saved[rng.integers(len(saved))])
        orientation = rng.integers(8)
        return [patches.orient(image, orientation) for image in _random_crop(pair, rng, config)]

    return lambda: [np.stack(side) for side in zip(*(patch() for _ in range(DECODED)), strict=True)]


def _copy(pairs, config):
    """draw() of a batch of random crops, as they lie in their images."""
    rng = np.random.default_rng(0)
    lr_batch, hr_batch = (
        np.empty((config.batch, side, side, 3), np.uint8) for side in (config.patch, config.patch * config.scale)
    )

    def draw():
        for i in range(config.batch):
            lr_batch[i], hr_batch[i] = _random_crop(pairs[rng.integers(len(pairs))], rng, config)

    return draw


if __name__ == "__main__":
    command.run(main, InputPipelineConfig)
