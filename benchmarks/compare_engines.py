"""LiteRT's int8 against other engines, with the same weights on the same frame:

    python benchmarks/compare_engines.py --weights RFDN_AIM.pth

PyTorch, ONNX Runtime, OpenVINO and ncnn come with requirements-peers.txt; one that is not installed is named and left
out. Their models are made of the project's own Keras network, and each engine's output is compared with Keras' own.
Every engine has a process of its own, and they take turns, as in tflite/benchmark.py.

--bound adds what the int8 convolutions of this machine allow: a network of nothing but 3x3 convolutions of 64 channels,
which fills every engine's tiles, is timed in the same rounds, and the fastest engine's rate is the bound.

Beside the time that passes stands processor time, of all threads, which other programs on the machine disturb less.
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.util
import statistics
import tempfile
from collections.abc import Callable

import numpy as np

from benchmarks import engines
from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite import benchmark
from keras_rfdn.tflite.inspection import machine, timing


@dataclasses.dataclass(frozen=True)
class PeersConfig:
    """Time a network in LiteRT and in other engines, interleaved."""

    weights: str | None = None  # weight file, workdir or released .pth; by default the newest run or shipped
    height: int = 180  # LR pixels
    width: int = 320
    threads: int = 2
    rounds: int = 15  # timed runs of each engine
    warmup: int = 2  # runs of each before
    engines: tuple[str, ...] = ()  # as the table names them; by default all, and always LiteRT int8
    bound: bool = False  # add the bound that this machine's int8 convolutions set
    calibration: str | None = None  # folder of HR images to learn int8's ranges from; by default data.sample's
    calibration_frames: int = 8  # mosaics of the frame's size
    data: str | None = None  # folder of HR images: adds the dB of each engine
    json: str | None = None  # file for all that was measured


@dataclasses.dataclass(frozen=True)
class Row:
    """An engine in one precision."""

    format: str  # key of engine_files.FORMATS
    open: Callable  # (path, threads) -> engines.Engine, in a process of its own
    packages: tuple[str, ...] = ()  # that must be installed
    exact: bool = False  # whether it computes in float32, and so gives what Keras gives


REFERENCE = "LiteRT int8"
ENGINES = {
    REFERENCE: Row("tflite int8", engines.litert),
    "LiteRT float32": Row("tflite float32", engines.litert, exact=True),
    "PyTorch float32": Row("traced", engines.torch_float32, ("torch",), exact=True),
    "PyTorch bfloat16": Row("traced", engines.torch_bfloat16, ("torch",)),
    "ONNX Runtime float32": Row("onnx", engines.onnxruntime, ("torch", "onnx", "onnxruntime"), exact=True),
    "ONNX Runtime int8": Row("onnx int8", engines.onnxruntime, ("torch", "onnx", "onnxruntime")),
    "OpenVINO float32": Row("onnx", engines.openvino_float32, ("torch", "onnx", "openvino"), exact=True),
    "OpenVINO bfloat16": Row("onnx", engines.openvino_bfloat16, ("torch", "onnx", "openvino")),
    "OpenVINO int8": Row("openvino int8", engines.openvino_float32, ("torch", "onnx", "openvino", "nncf")),
    "ncnn float32": Row("ncnn", engines.ncnn_float32, ("torch", "pnnx", "ncnn"), exact=True),
    "ncnn bfloat16": Row("ncnn", engines.ncnn_bfloat16, ("torch", "pnnx", "ncnn")),
}


def main(config):
    """Prints a table and returns what --json writes.

    A dictionary of what machine.surroundings says, weights, lr (height, width), threads, rounds, warmup, data,
    versions (of the packages), absent ({engine: why it is not measured}), engines and bound (None without --bound).
    engines has a dictionary each: engine, what timing.summary returns (ratio: to LiteRT int8), cpu_ms (of each
    round), median_cpu_ms, cpu_ratio, exact, max_difference (of its output to Keras', grey levels), psnr_y and ssim_y
    (None without --data). bound: _bound's dictionaries, of time that passes as "wall", of processor time as "cpu".
    """
    rows = _chosen(config)
    with tempfile.TemporaryDirectory() as folder:
        result = {
            **machine.surroundings(),
            **{key: getattr(config, key) for key in ("threads", "rounds", "warmup", "data")},
            "versions": _versions(rows),
            **_measure(rows, folder, config),
        }
    print(table(result))
    if config.json:
        files.write_json(config.json, result)
    return result


def _measure(rows, folder, config):
    """Times everything and compares outputs -> weights, lr, absent, engines and bound of main's dictionary."""
    # Not above: every process started here imports this file, and none of them needs TensorFlow.
    from benchmarks import engine_files

    weights, network = engine_files.open_network(
        config.weights,
        folder,
        height=config.height,
        width=config.width,
        calibration_folder=config.calibration,
        calibration_frames=config.calibration_frames,
    )
    dense = engine_files.dense(network, folder)
    with contextlib.ExitStack() as stack:
        workers, absent = _start(rows, network, engine_files.FORMATS, config, stack)
        int8 = {name: rows[name] for name in workers if config.bound and name.endswith("int8")}
        dense_workers, _ = _start(int8, dense, engine_files.FORMATS, config, stack)
        everyone = [*workers.values(), *dense_workers.values()]
        latencies_ms = timing.interleave([worker.invoke_ms for worker in everyone], config.rounds)
        own_ms = dict(zip(workers, latencies_ms, strict=False))
        cpu_ms = [worker.call("cpu_ms") for worker in everyone]
        compared = [
            {
                "engine": name,
                **timing.summary(own_ms[name], own_ms[REFERENCE], network.sr_size),
                **_cpu(cpu_ms[i], cpu_ms[0]),
                **_output(name, worker, network, config),
            }
            for i, (name, worker) in enumerate(workers.items())
        ]
    own, dense_names = len(workers), list(dense_workers)
    macs = network.multiply_adds, dense.multiply_adds
    bounds = {
        kind: _bound(ms[0], dict(zip(dense_names, ms[own:], strict=True)), *macs)
        for kind, ms in (("wall", latencies_ms), ("cpu", cpu_ms))
        if dense_names
    }
    return {
        "weights": str(weights),
        "lr": (config.height, config.width),
        "absent": absent,
        "engines": compared,
        "bound": bounds or None,
    }


def _chosen(config):
    """Checks the configuration -> {name: Row}."""
    benchmark.check(config)
    unknown = set(config.engines) - ENGINES.keys()
    if unknown:
        raise UserError(f"no engine {', '.join(sorted(unknown))}; choose from {', '.join(ENGINES)}")
    names = {REFERENCE, *(config.engines or ENGINES)}
    return {name: row for name, row in ENGINES.items() if name in names}


def _start(rows, network, formats, config, stack):
    """({engine: Worker}, {engine: why there is none}); stack closes the workers."""
    workers, absent = {}, {}
    for name, row in rows.items():
        missing = [package for package in row.packages if not importlib.util.find_spec(package)]
        if missing:
            absent[name] = f"not installed: {', '.join(missing)}"
            continue
        arguments = row.open, str(formats[row.format](network)), config.threads, network.frames[0], config.warmup
        try:
            worker = timing.Worker(name, engines.start, *arguments)
        except engines.Unsupported as error:
            absent[name] = str(error)
            continue
        stack.callback(worker.close)
        workers[name] = worker
    return workers, absent


def _versions(rows):
    """{package: version} of what is installed for rows."""
    packages = sorted({package for row in rows.values() for package in row.packages})
    return {name: importlib.metadata.version(name) for name in packages if importlib.util.find_spec(name)}


def _cpu(cpu_ms, reference_ms):
    """Processor times of an engine and of the reference, round by round -> statistics."""
    ratio = statistics.median(own / other for own, other in zip(cpu_ms, reference_ms, strict=True))
    return {"cpu_ms": cpu_ms, "median_cpu_ms": statistics.median(cpu_ms), "cpu_ratio": ratio}


def _output(name, worker, network, config):
    """How an engine's output differs from Keras', and how well it scores."""
    upscale, frame = functools.partial(worker.call, "upscale"), network.frames[0]
    score = network.score(upscale, config.data) if config.data else None
    return {
        "exact": ENGINES[name].exact,
        "max_difference": float(np.abs(upscale(frame) - network.upscale(frame)).max()),
        "psnr_y": score and score.psnr,
        "ssim_y": score and score.ssim,
    }


def _bound(own_ms, dense_ms, macs, dense_macs):
    """What int8 convolutions that fill an engine's tiles allow, in the same rounds.

    own_ms: LiteRT int8's on the network. dense_ms: {engine: of each round}, on engine_files.dense. macs, dense_macs:
    what the convolutions of each multiply and add. Returns a dictionary of multiply_adds, gmac_per_s ({engine: rate}),
    fastest (engine), bound_ms (the network's multiply-adds at the fastest rate), times_bound (LiteRT's time over the
    bound of the same round) and times_own_bound (the same at the rate that LiteRT reaches itself), medians all.
    """

    def times(engine):
        bounds_ms = [ms * macs / dense_macs for ms in dense_ms[engine]]
        return statistics.median(own / bound for own, bound in zip(own_ms, bounds_ms, strict=True))

    rates = {name: dense_macs / 1e6 / statistics.median(ms) for name, ms in dense_ms.items()}
    fastest = max(rates, key=rates.get)
    return {
        "multiply_adds": macs,
        "gmac_per_s": rates,
        "fastest": fastest,
        "bound_ms": macs / 1e6 / rates[fastest],
        "times_bound": times(fastest),
        "times_own_bound": times(REFERENCE),
    }


def table(result):
    """Result of main -> text."""
    where = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"{result['weights']}, {'{1}x{0}'.format(*result['lr'])}, "
        f"{result['threads']} threads, {result['rounds']} rounds",
        f"{where['processor']} ({where['cores']} cores; {' '.join(where['instructions'])}), "
        f"LiteRT {result['litert']}, {versions}",
        text_table(
            ["engine", "median ms", "p90", "min", "ratio", "cpu ms", "ratio", "max diff", "dB"],
            [
                [
                    e["engine"],
                    *(f"{e[key]:.1f}" for key in ("median_ms", "p90_ms", "min_ms")),
                    f"{e['ratio']:.2f}",
                    f"{e['median_cpu_ms']:.1f}",
                    f"{e['cpu_ratio']:.2f}",
                    f"{e['max_difference']:.4f}" if e["exact"] else f"{e['max_difference']:.1f}",
                    "-" if e["psnr_y"] is None else f"{e['psnr_y']:.3f}",
                ]
                for e in result["engines"]
            ],
        ),
        f"ratio: to {REFERENCE}'s, median over rounds; cpu ms: processor time of all threads; "
        "max diff: to Keras' float output, grey levels",
        *(f"{name}: {why}" for name, why in result["absent"].items()),
    ]
    for kind, bound in (result["bound"] or {}).items():
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in bound["gmac_per_s"].items())
        lines += [
            f"3x3 convolutions of 64 channels in int8, G multiply-adds a second of {kind} time: {rates}",
            f"at {bound['fastest']}'s rate this network's {bound['multiply_adds'] / 1e9:.1f} G take "
            f"{bound['bound_ms']:.1f} ms; {REFERENCE} takes {bound['times_bound']:.2f} times that, "
            f"and {bound['times_own_bound']:.2f} times what its own rate allows",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, PeersConfig)
