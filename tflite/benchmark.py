"""How fast .tflite files run here, side by side:

    python tflite/benchmark.py MODEL.tflite... --threads 2
    python tflite/benchmark.py --profile MODEL.tflite       and which operators the time goes to

Every model lives in a process of its own, so that its memory can be told from the others'. After a warm-up the models
take turns, in a new order each round, so that noise from outside hits all alike. What is timed is the network alone:
no conversion of the image on either side.
"""

import dataclasses
import os

import numpy as np
import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.tflite.inspection.machine import surroundings

with lazy_imports():
    from keras_rfdn.tflite.inspection import profiler, timing
    from keras_rfdn.upscaling import litert


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Time TFLite files, interleaved; the first is what the others are compared with."""

    models: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="MODEL.tflite")
    # by default one per core, at most the four large cores of a phone
    threads: int = number(min(4, os.cpu_count() or 1), least=1, most=MOST_THREADS)
    xnnpack: bool = True  # --noxnnpack leaves LiteRT's own kernels
    rounds: int = number(20, least=1)  # timed runs of each model
    warmup: int = number(3, least=0)  # runs of each model before
    height: int = number(180, least=1)  # LR pixels, for models that leave their size open
    width: int = number(320, least=1)
    # Add milliseconds of each operator, from as many runs again; wants a fixed size.
    profile: bool = False
    json: str | None = None  # file for all that was measured, every run included


@dataclasses.dataclass(frozen=True)
class ModelReport:
    """A .tflite file as it ran. lr, sr: height and width of its input and output."""

    model: str
    size_bytes: int
    dtype: str  # of the input
    lr: tuple[int, int]
    sr: tuple[int, int]
    latency: "timing.Latency"
    peak_bytes: int | None  # resident memory of its process at most; None where there is no /proc
    memory_bytes: int | None  # how much of it came after the model was opened
    profile: "profiler.Profile | None" = None


@dataclasses.dataclass(frozen=True)
class BenchmarkReport:
    """What was measured, and on what. surroundings: of inspection.machine."""

    surroundings: dict
    threads: int
    xnnpack: bool
    rounds: int
    warmup: int
    models: tuple[ModelReport, ...]


def main(config):
    """Prints a table and returns the BenchmarkReport that --json writes.

    Raises UserError for a model that does not run.
    """
    check_fields(config)
    workers = []
    try:
        for path in config.models:
            workers.append(timing.Worker(path, _open, path, config))
        latencies_ms = timing.interleave([worker.invoke_ms for worker in workers], config.rounds)
        models = []
        for worker, own_ms in zip(workers, latencies_ms, strict=True):
            peak, added = worker.memory()
            latency = timing.Latency.of(own_ms, latencies_ms[0], worker.facts["sr"])
            models.append(ModelReport(**worker.facts, latency=latency, peak_bytes=peak, memory_bytes=added))
    finally:
        for worker in workers:
            worker.close()
    if config.profile:
        models = [dataclasses.replace(model, profile=_profile(model, config)) for model in models]
    report = BenchmarkReport(
        surroundings(), config.threads, config.xnnpack, config.rounds, config.warmup, tuple(models)
    )
    print(table(report))
    for model in models:
        if model.profile:
            print(profile_table(model))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(report))
    return report


def table(report):
    """BenchmarkReport -> text."""
    where = report.surroundings["machine"]
    title = (
        f"{where['processor']} ({where['cores']} cores; {' '.join(where['instructions'])}), "
        f"LiteRT {report.surroundings['litert']}, {report.threads} threads, "
        f"XNNPACK {'on' if report.xnnpack else 'off'}, {report.rounds} rounds"
    )
    header = [
        "model",
        "type",
        "input",
        "median ms",
        "p90",
        "min",
        "ratio",
        "frames/s",
        "Mpixel/s",
        "memory MB",
        "peak MB",
    ]
    rows = [
        [
            m.model,
            m.dtype,
            f"{m.lr[1]}x{m.lr[0]}",
            *(f"{x:.2f}" for x in (m.latency.median_ms, m.latency.p90_ms, m.latency.min_ms, m.latency.ratio)),
            *(f"{x:.1f}" for x in (m.latency.frames_per_second, m.latency.megapixels_per_second)),
            *("-" if x is None else f"{x / 1e6:.1f}" for x in (m.memory_bytes, m.peak_bytes)),
        ]
        for m in report.models
    ]
    notes = "ratio: time to the first model's, median over rounds; memory: what the model added to its process's peak"
    return f"{title}\n{text_table(header, rows)}\n{notes}"


SLOWEST = 12  # operators shown one by one


def profile_table(model):
    """ModelReport with a profile -> text: kinds of kernels, then the slowest operators."""
    operators = model.profile.operators
    total_ms = sum(operator.ms for operator in operators)
    kinds = {}
    for operator in operators:
        kinds.setdefault(operator.kernel, []).append(operator.ms)
    by_kind = [
        [kernel, len(ms), f"{sum(ms):.2f}", f"{sum(ms) / total_ms:.1%}"]
        for kernel, ms in sorted(kinds.items(), key=lambda item: -sum(item[1]))
    ]
    by_operator = [
        [o.tensor.split(";")[0] or "?", o.kernel, "x".join(map(str, o.shape)), f"{o.ms:.2f}"]
        for o in sorted(operators, key=lambda o: -o.ms)[:SLOWEST]
    ]
    delegated = sum(operator.delegated for operator in operators)
    return "\n".join(
        [
            f"\n{model.model}, profiled by LiteRT: operators {total_ms:.1f} ms (sum of medians), "
            f"whole run {model.profile.whole_ms:.1f} ms, without the profiler {model.latency.median_ms:.1f} ms; "
            f"{delegated} of {len(operators)} in XNNPACK",
            text_table(["kernel", "runs", "ms", "share"], by_kind),
            "",
            text_table(["slowest: output tensor", "kernel", "shape", "ms"], by_operator),
        ]
    )


def _profile(model, config):
    opened = litert.Model(model.model, threads=config.threads, xnnpack=config.xnnpack)
    image = opened.encode(_image(*model.lr))[None]
    settings = {key: getattr(config, key) for key in ("threads", "xnnpack", "warmup", "rounds")}
    return profiler.profile(model.model, image, **settings)[0]


def _image(height, width):
    """What is run on: noise, of a fixed seed."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


# What follows runs in a worker's process.


def _open(path, config):
    """A model, warmed up and with an image loaded, and what main tells of it."""
    content = litert.read_bytes(path)
    model = litert.Model(path, threads=config.threads, xnnpack=config.xnnpack)
    height, width = model.height or config.height, model.width or config.width
    model.load(_image(height, width))
    for _ in range(config.warmup):
        model.invoke_ms()
    return model, {
        "model": path,
        "size_bytes": len(content),
        "dtype": model.input_dtype.name,
        "lr": (height, width),
        "sr": (height * model.scale, width * model.scale),
    }


if __name__ == "__main__":
    command.run(main, BenchmarkConfig)
