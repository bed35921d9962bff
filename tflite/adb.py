"""A .tflite file on an Android device: does it give the same picture, and how fast is it?

    python tflite/adb.py MODEL.tflite --accelerator gpu

Pushes the file, a golden input and TensorFlow Lite's benchmark_model, runs it, pulls the output and compares it with
LiteRT's here. Needs adb, a device with USB debugging, and benchmark_model in the current folder: where it is missing, a
message says where to get it.
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice
from keras_rfdn.cli.lazy import lazy_imports

with lazy_imports():
    from keras_rfdn.tflite.inspection import android


@dataclasses.dataclass(frozen=True)
class AdbConfig:
    """Run a .tflite file of fixed size on an Android device and compare its output with LiteRT's here."""

    model: str = simple_parsing.field(positional=True)  # .tflite file
    serial: str | None = None  # of the device, as adb devices shows it; not needed where there is one
    accelerator: str = choice("cpu", "gpu", "npu", default="cpu")  # XNNPACK, GPU delegate, NNAPI
    binary: str | None = None  # benchmark_model; by default the download for the device, in the current folder


@dataclasses.dataclass(frozen=True)
class AdbReport:
    """What ran where, and how near it came."""

    model: str
    device: str
    android: str
    soc: str
    abi: str
    runtime: str
    accelerator: str
    delegated: int  # operators that the accelerator took
    operators: int  # of how many
    others: dict[str, tuple[int, int]]  # the same of other delegates, by name
    run: "android.Run"


def main(config):
    """Prints a table and returns the AdbReport.

    Raises UserError without adb, device or benchmark_model, and StoppedError where the run fails.
    """
    check_fields(config)
    expected = android.golden(config.model)
    device = android.find(config.serial)
    abi = device.property("ro.product.cpu.abi")
    binary = android.tool(abi, config.binary)
    run = android.run(device, config.model, expected, binary, config.accelerator)
    others = dict(run.log.delegated)
    taken, operators = others.pop(android.ACCELERATORS[config.accelerator][1], (0, expected.operators))
    # Android 12 and later say the chip; before, the board is as near as it gets.
    maker, chip = device.property("ro.soc.manufacturer"), device.property("ro.soc.model", "ro.board.platform")
    report = AdbReport(
        model=config.model,
        device=f"{device.property('ro.product.manufacturer')} {device.property('ro.product.model')}",
        android=f"{device.property('ro.build.version.release')} (API {device.property('ro.build.version.sdk')})",
        soc=chip if maker == "unknown" else f"{maker} {chip}",
        abi=abi,
        runtime=f"{binary.name}, SHA-256 {android.checksum(binary)}, {android.THREADS} threads",
        accelerator=config.accelerator,
        delegated=taken,
        operators=operators,
        others=others,
        run=run,
    )
    print(table(report))
    return report


def table(report):
    """AdbReport -> text."""
    log = report.run.log
    kind, typical_ms = ("mean", log.mean_ms) if log.median_ms is None else ("median", log.median_ms)
    others = "".join(f"; {name} took {taken} of {total}" for name, (taken, total) in report.others.items())
    rows = [
        ["device", f"{report.device}, Android {report.android}, {report.soc}, {report.abi}"],
        ["runtime", report.runtime],
        ["operators", f"{report.accelerator} took {report.delegated} of {report.operators}{others}"],
        ["difference", f"at most {report.run.largest:.4g} grey levels; {report.run.equal:.4%} of values equal"],
        ["latency", f"{kind} {typical_ms:.2f} ms of {log.runs} runs; the first, {log.first_ms:.2f} ms, is left out"],
    ]
    return "\n".join([report.model, *(f"{name:<12}{value}" for name, value in rows)])


if __name__ == "__main__":
    command.run(main, AdbConfig)
