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
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite.inspection import profiler
from keras_rfdn.tflite.inspection.description import read_bytes
from keras_rfdn.tflite.inspection.machine import surroundings
from keras_rfdn.tflite.inspection.timing import Worker, interleave, summary
from keras_rfdn.upscaling.litert import Model


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Time TFLite files, interleaved; the first is what the others are compared with."""

    models: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="MODEL.tflite")
    threads: int = min(4, os.cpu_count() or 1)  # by default one per core, at most the four large cores of a phone
    xnnpack: bool = True  # --noxnnpack leaves LiteRT's own kernels
    rounds: int = 20  # timed runs of each model
    warmup: int = 3  # runs of each model before
    height: int = 180  # LR pixels, for models that leave their size open
    width: int = 320
    # Add milliseconds of each operator, from as many runs again; wants a fixed size.
    profile: bool = simple_parsing.field(default=False, action="store_true")
    json: str | None = None  # file for all that was measured, every run included


def main(config):
    """Prints a table and returns what --json writes.

    A dictionary of date, machine (processor, instructions, cores, system), python and litert (versions), threads,
    xnnpack, rounds, warmup and models, one dictionary each: model, size_bytes, dtype, lr and sr (height, width),
    latencies_ms (a number per round), median_ms, p90_ms, min_ms, frames_per_second, megapixels_per_second (output),
    ratio (median over the rounds of its time to the first model's in the same round), peak_bytes (resident memory of
    its process at most) and memory_bytes (how much of it came after the model was opened); both None where there is no
    /proc; with --profile also profile, as profiled returns it. Raises UserError for a model that does not run.
    """
    check(config)
    workers = []
    try:
        for path in config.models:
            workers.append(Worker(path, _open, path, config))
        latencies_ms = interleave([worker.invoke_ms for worker in workers], config.rounds)
        models = [
            {**worker.facts, **worker.memory(), **summary(own_ms, latencies_ms[0], worker.facts["sr"])}
            for worker, own_ms in zip(workers, latencies_ms, strict=True)
        ]
    finally:
        for worker in workers:
            worker.close()
    if config.profile:
        for model in models:
            model["profile"] = profiled(model["model"], config)
    result = {**surroundings(), **_settings(config), "models": models}
    print(table(result))
    for model in models:
        if "profile" in model:
            print(profile_table(model))
    if config.json:
        files.write_json(config.json, result)
    return result


def check(config):
    """Raises UserError for rounds, threads or warmup that can't be."""
    if config.rounds < 1 or config.warmup < 0 or config.threads < 1:
        raise UserError(
            f"need --rounds and --threads of 1 or more and --warmup of 0 or more, "
            f"got {config.rounds}, {config.threads} and {config.warmup}"
        )


def table(result):
    """Result of main -> text."""
    where, models = result["machine"], result["models"]
    title = (
        f"{where['processor']} ({where['cores']} cores; {' '.join(where['instructions'])}), LiteRT {result['litert']}, "
        f"{result['threads']} threads, XNNPACK {'on' if result['xnnpack'] else 'off'}, {result['rounds']} rounds"
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
            m["model"],
            m["dtype"],
            "{1}x{0}".format(*m["lr"]),
            *(f"{m[key]:.2f}" for key in ("median_ms", "p90_ms", "min_ms", "ratio")),
            *(f"{m[key]:.1f}" for key in ("frames_per_second", "megapixels_per_second")),
            *("-" if m[key] is None else f"{m[key] / 1e6:.1f}" for key in ("memory_bytes", "peak_bytes")),
        ]
        for m in models
    ]
    notes = "ratio: time to the first model's, median over rounds; memory: what the model added to its process's peak"
    return f"{title}\n{text_table(header, rows)}\n{notes}"


SLOWEST = 12  # operators shown one by one


def profiled(path, config):
    """A .tflite of fixed size, run under LiteRT's own profiler -> dictionary of whole_ms (a run while profiled) and
    operators, a dictionary each: kernel, tensor, shape, delegated and ms, as profiler.Operator has them."""
    model = Model(path, threads=config.threads, xnnpack=config.xnnpack)
    lr = _image(model.height or config.height, model.width or config.width)
    found = profiler.profile(
        path,
        model.encode(lr)[None],
        threads=config.threads,
        xnnpack=config.xnnpack,
        warmup=config.warmup,
        rounds=config.rounds,
    )
    return {"whole_ms": found.whole_ms, "operators": [dataclasses.asdict(operator) for operator in found.operators]}


def profile_table(model):
    """A dictionary of main's models, with its profile -> text: kinds of kernels, then the slowest operators."""
    operators = model["profile"]["operators"]
    total_ms = sum(operator["ms"] for operator in operators)
    kinds = {}
    for operator in operators:
        kinds.setdefault(operator["kernel"], []).append(operator["ms"])
    by_kind = [
        [kernel, len(ms), f"{sum(ms):.2f}", f"{sum(ms) / total_ms:.1%}"]
        for kernel, ms in sorted(kinds.items(), key=lambda item: -sum(item[1]))
    ]
    by_operator = [
        [o["tensor"].split(";")[0] or "?", o["kernel"], "x".join(map(str, o["shape"])), f"{o['ms']:.2f}"]
        for o in sorted(operators, key=lambda o: -o["ms"])[:SLOWEST]
    ]
    delegated = sum(operator["delegated"] for operator in operators)
    return "\n".join(
        [
            f"\n{model['model']}, profiled by LiteRT: operators {total_ms:.1f} ms (sum of medians), "
            f"whole run {model['profile']['whole_ms']:.1f} ms, without the profiler {model['median_ms']:.1f} ms; "
            f"{delegated} of {len(operators)} in XNNPACK",
            text_table(["kernel", "runs", "ms", "share"], by_kind),
            "",
            text_table(["slowest: output tensor", "kernel", "shape", "ms"], by_operator),
        ]
    )


def _image(height, width):
    """What is run on: noise, of a fixed seed."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _settings(config):
    return {key: getattr(config, key) for key in ("threads", "xnnpack", "rounds", "warmup")}


# What follows runs in a worker's process.


def _open(path, config):
    """A model, warmed up and with an image loaded, and what main tells of it."""
    content = read_bytes(path)
    model = Model(path, threads=config.threads, xnnpack=config.xnnpack)
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
