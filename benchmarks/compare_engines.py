"""Inference engines compared: LiteRT's int8 beside PyTorch, ONNX Runtime, OpenVINO and ncnn.

    python -m benchmarks.compare_engines --weights RFDN_AIM.pth

The other engines come with benchmarks/requirements.txt; one that is not installed is named and left out. Their models
are made of the project's own Keras network, of one size, with the same weights, and each engine's output is compared
with Keras' own. Every engine has a process of its own, and they take turns, as in tflite/benchmark.py.

--roofline adds what the int8 convolutions of this machine allow: a network of nothing but 3x3 convolutions of 64
channels, which fills every engine's tiles, is timed in the same rounds, and the fastest engine's rate is the roofline.

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
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, number
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT
from keras_rfdn.tflite.inspection import machine, timing


@dataclasses.dataclass(frozen=True)
class CompareEnginesConfig:
    """Time a network in LiteRT and in other engines, interleaved."""

    weights: str | None = None  # weight file, workdir or released .pth; by default the newest run or pretrained
    height: int = number(180, least=SMALLEST_INPUT)  # LR pixels
    width: int = number(320, least=SMALLEST_INPUT)
    threads: int = number(2, least=1, most=MOST_THREADS)
    rounds: int = number(15, least=1)  # timed runs of each engine
    warmup: int = number(2, least=0)  # runs of each before
    engines: tuple[str, ...] = ()  # as the table names them; by default all, and always LiteRT int8
    roofline: bool = False  # add the least time that this machine's int8 convolutions allow
    calibration: str | None = None  # folder of HR images to learn int8's ranges from; by default data.sample's
    calibration_images: int = number(8, least=1)  # mosaics of the frame's size
    data: str | None = None  # folder of HR images: adds the dB of each engine
    json: str | None = None  # file for all that was measured


@dataclasses.dataclass(frozen=True)
class Method:
    """An engine in one precision."""

    format: str  # key of engine_files.FORMATS
    open: Callable  # (path, threads) -> engines.Engine, in a process of its own
    packages: tuple[str, ...] = ()  # that must be installed
    exact: bool = False  # whether it computes in float32, and so gives what Keras gives


REFERENCE = "LiteRT int8"
METHODS = {
    REFERENCE: Method("tflite int8", engines.open_litert),
    "LiteRT float32": Method("tflite float32", engines.open_litert, exact=True),
    "PyTorch float32": Method("traced", engines.open_torch_float32, ("torch",), exact=True),
    "PyTorch bfloat16": Method("traced", engines.open_torch_bfloat16, ("torch",)),
    "ONNX Runtime float32": Method("onnx", engines.open_onnxruntime, ("torch", "onnx", "onnxruntime"), exact=True),
    "ONNX Runtime int8": Method("onnx int8", engines.open_onnxruntime, ("torch", "onnx", "onnxruntime")),
    "OpenVINO float32": Method("onnx", engines.open_openvino_float32, ("torch", "onnx", "openvino"), exact=True),
    "OpenVINO bfloat16": Method("onnx", engines.open_openvino_bfloat16, ("torch", "onnx", "openvino")),
    "OpenVINO int8": Method("openvino int8", engines.open_openvino_float32, ("torch", "onnx", "openvino", "nncf")),
    "ncnn float32": Method("ncnn", engines.open_ncnn_float32, ("torch", "pnnx", "ncnn"), exact=True),
    "ncnn bfloat16": Method("ncnn", engines.open_ncnn_bfloat16, ("torch", "pnnx", "ncnn")),
}


@dataclasses.dataclass(frozen=True)
class EngineResult:
    """What was measured of one engine. ratio: to LiteRT int8 in the same round, median over rounds."""

    engine: str  # key of METHODS
    exact: bool
    latencies_ms: list[float]  # of each round
    median_ms: float
    p90_ms: float
    min_ms: float
    ratio: float
    cpu_ms: list[float]  # processor time of all threads in each round
    median_cpu_ms: float
    cpu_ratio: float
    max_difference: float  # of its output to Keras' float output, grey levels
    psnr_y: float | None  # dB on the images of --data
    ssim_y: float | None


@dataclasses.dataclass(frozen=True)
class Roofline:
    """What int8 convolutions that fill an engine's tiles allow. Times are medians over rounds."""

    multiply_adds: int  # of the network's convolutions
    gmac_per_s: dict[str, float]  # rate of each engine on engine_files.reference_conv_network
    fastest: str  # the engine with the highest rate
    roofline_ms: float  # the network's multiply-adds at that rate
    times_roofline: float  # LiteRT int8's time over that of the same round
    times_own_roofline: float  # the same at the rate that LiteRT int8 reaches itself


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What --json writes."""

    surroundings: dict  # of machine.surroundings
    versions: dict[str, str]  # {package: version}
    weights: str
    height: int
    width: int
    threads: int
    rounds: int
    warmup: int
    data: str | None
    absent: dict[str, str]  # {engine: why it is not measured}
    engines: tuple[EngineResult, ...]
    rooflines: dict[str, Roofline]  # of the time that passes as "wall", of processor time as "cpu"; {} without


def main(config):
    """Prints a table and returns the Comparison, which --json writes."""
    check_fields(config)
    unknown = set(config.engines) - METHODS.keys()
    if unknown:
        raise UserError(f"no engine {', '.join(sorted(unknown))}; choose from {', '.join(METHODS)}")
    names = {REFERENCE, *(config.engines or METHODS)}
    methods = {name: method for name, method in METHODS.items() if name in names}
    with tempfile.TemporaryDirectory() as folder:
        comparison = _measure(methods, folder, config)
    print(table(comparison))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(comparison))
    return comparison


def _measure(methods, folder, config):
    """Times everything and compares outputs -> Comparison."""
    # Not above: every process started here imports this file, and none of them needs TensorFlow.
    from benchmarks import engine_files

    weights, exporter = engine_files.open_exporter(
        config.weights,
        folder,
        height=config.height,
        width=config.width,
        calibration_folder=config.calibration,
        calibration_images=config.calibration_images,
    )
    reference = engine_files.reference_conv_network(exporter, folder)
    with contextlib.ExitStack() as stack:
        workers, absent = _start(methods, exporter, engine_files.FORMATS, config, stack)
        int8 = {name: methods[name] for name in workers if config.roofline and name.endswith("int8")}
        reference_workers, _ = _start(int8, reference, engine_files.FORMATS, config, stack)
        everyone = [*workers.values(), *reference_workers.values()]
        latencies_ms = timing.interleave([worker.invoke_ms for worker in everyone], config.rounds)
        cpu_ms = [worker.call("cpu_ms") for worker in everyone]
        results = tuple(
            _result(name, worker, (latencies_ms[i], latencies_ms[0]), (cpu_ms[i], cpu_ms[0]), exporter, config.data)
            for i, (name, worker) in enumerate(workers.items())
        )
    macs = exporter.multiply_adds, reference.multiply_adds
    rooflines = {
        kind: roofline(ms[0], dict(zip(reference_workers, ms[len(workers) :], strict=True)), *macs)
        for kind, ms in (("wall", latencies_ms), ("cpu", cpu_ms))
        if reference_workers
    }
    packages = sorted({package for method in methods.values() for package in method.packages})
    installed = [package for package in packages if importlib.util.find_spec(package)]
    return Comparison(
        surroundings=machine.surroundings(),
        versions={package: importlib.metadata.version(package) for package in installed},
        weights=str(weights),
        **{key: getattr(config, key) for key in ("height", "width", "threads", "rounds", "warmup", "data")},
        absent=absent,
        engines=results,
        rooflines=rooflines,
    )


def _start(methods, exporter, formats, config, stack):
    """({engine: Worker}, {engine: why there is none}); stack closes the workers."""
    workers, absent = {}, {}
    for name, method in methods.items():
        missing = [package for package in method.packages if not importlib.util.find_spec(package)]
        if missing:
            absent[name] = f"not installed: {', '.join(missing)}"
            continue
        path = formats[method.format](exporter)
        try:
            worker = timing.Worker(
                name, engines.start, method.open, str(path), config.threads, exporter.images[0], config.warmup
            )
        except engines.Unsupported as error:
            absent[name] = str(error)
            continue
        stack.callback(worker.close)
        workers[name] = worker
    return workers, absent


def _result(name, worker, latencies_ms, cpu_ms, exporter, data):
    """EngineResult. latencies_ms, cpu_ms: of each round, the engine's own and LiteRT int8's."""
    upscale, image = functools.partial(worker.call, "upscale"), exporter.images[0]
    score = exporter.score(upscale, data) if data else None
    return EngineResult(
        engine=name,
        exact=METHODS[name].exact,
        latencies_ms=latencies_ms[0],
        median_ms=statistics.median(latencies_ms[0]),
        p90_ms=float(np.percentile(latencies_ms[0], 90)),
        min_ms=min(latencies_ms[0]),
        ratio=median_ratio(*latencies_ms),
        cpu_ms=cpu_ms[0],
        median_cpu_ms=statistics.median(cpu_ms[0]),
        cpu_ratio=median_ratio(*cpu_ms),
        max_difference=float(np.abs(upscale(image) - exporter.upscale(image)).max()),
        psnr_y=score and score.psnr,
        ssim_y=score and score.ssim,
    )


def median_ratio(times, others):
    """Median over rounds of one time to another of the same round."""
    return statistics.median(own / other for own, other in zip(times, others, strict=True))


def roofline(own_ms, reference_ms, macs, reference_macs):
    """Roofline of a network from times of the same rounds.

    own_ms: LiteRT int8's on the network, of each round. reference_ms: {engine: of each round}, on
    engine_files.reference_conv_network. macs, reference_macs: multiply-adds of the convolutions of each.
    """

    def times(engine):
        return median_ratio(own_ms, [ms * macs / reference_macs for ms in reference_ms[engine]])

    rates = {name: reference_macs / 1e6 / statistics.median(ms) for name, ms in reference_ms.items()}
    fastest = max(rates, key=rates.get)
    return Roofline(macs, rates, fastest, macs / 1e6 / rates[fastest], times(fastest), times(REFERENCE))


def table(comparison):
    """Comparison -> text."""
    where = comparison.surroundings["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    lines = [
        f"{comparison.weights}, {comparison.width}x{comparison.height}, "
        f"{comparison.threads} threads, {comparison.rounds} rounds",
        f"{where['processor']} ({where['cores']} cores; {' '.join(where['instructions'])}), "
        f"LiteRT {comparison.surroundings['litert']}, {versions}",
        text_table(
            ["engine", "median ms", "p90", "min", "ratio", "cpu ms", "ratio", "max diff", "dB"],
            [
                [
                    engine.engine,
                    f"{engine.median_ms:.1f}",
                    f"{engine.p90_ms:.1f}",
                    f"{engine.min_ms:.1f}",
                    f"{engine.ratio:.2f}",
                    f"{engine.median_cpu_ms:.1f}",
                    f"{engine.cpu_ratio:.2f}",
                    f"{engine.max_difference:.4f}" if engine.exact else f"{engine.max_difference:.1f}",
                    "-" if engine.psnr_y is None else f"{engine.psnr_y:.3f}",
                ]
                for engine in comparison.engines
            ],
        ),
        f"ratio: to {REFERENCE}'s, median over rounds; cpu ms: processor time of all threads; "
        "max diff: to Keras' float output, grey levels",
        *(f"{name}: {why}" for name, why in comparison.absent.items()),
    ]
    for kind, found in comparison.rooflines.items():
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in found.gmac_per_s.items())
        lines += [
            f"3x3 convolutions of 64 channels in int8, G multiply-adds a second of {kind} time: {rates}",
            f"at {found.fastest}'s rate this network's {found.multiply_adds / 1e9:.1f} G take "
            f"{found.roofline_ms:.1f} ms; {REFERENCE} takes {found.times_roofline:.2f} times that, "
            f"and {found.times_own_roofline:.2f} times what its own rate allows",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, CompareEnginesConfig)
