"""Regression gate for int8 files:

    python -m tools.int8_gate ../shared         every row of THRESHOLDS

Each row converts weights to int8, or takes a .tflite as it is, and compares the file with the float network on a set of
images. Exit status 1 when one loses more dB than its threshold, holds a float operation, takes or gives anything but
uint8 grey levels, or shifts a colour. ../shared is the developers' folder of weights and images: SOURCES.md there says
where to get them.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np
import simple_parsing

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.tflite import convert

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.sources import folders
    from keras_rfdn.evaluation import scoring
    from keras_rfdn.tflite.inspection import comparison, description
    from keras_rfdn.upscaling import keras_upscalers, resizable


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A row of the gate. Paths are relative to the folder that the command is given."""

    weights: str  # of the float network
    images: str  # folder of HR images, as for validate
    loss_db: float  # the most that int8 may lose on them in the mean; what was measured, and a little
    model: str | None = None  # a .tflite to check; by default one is converted from the weights
    calibration: str | None = None  # folder, for the conversion
    accurate: bool = False  # of the conversion
    colour_bias: float = 0.2  # grey levels: the largest mean difference to the float network that a colour may have


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What an int8 file does to images. loss_db: mean. colour_bias: of red, green and blue, in grey levels."""

    loss_db: float
    colour_bias: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A row, what was measured, and what is wrong in words: empty when the row passes."""

    threshold: Threshold
    measured: Measurement
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """Check int8 files against the losses that were reached once."""

    folder: str = simple_parsing.field(positional=True, metavar="FOLDER")  # which THRESHOLDS' paths are relative to
    threads: int | None = number(None, least=1, most=MOST_THREADS)  # of LiteRT; by default one per core
    json: str | None = None  # file for all that was measured


def _pretrained(name, images, loss_db):
    """Row of a pretrained int8 file, whose path does not depend on the folder."""
    weights, model = (str(pretrained.FOLDER / f"{name}{suffix}") for suffix in (".h5", "_int8.tflite"))
    return Threshold(weights, images, loss_db, model=model)


_RELEASED = {"weights": "weights/RFDN_AIM.pth", "calibration": "data/train"}

# Measured by this command (docs/results.md), rounded up.
THRESHOLDS = (
    _pretrained("e-rfdn-x4", "data/benchmark/Set5", 0.1),
    _pretrained("e-rfdn-x4", "data/benchmark/BSD100", 0.05),
    _pretrained("e-rfdn-x3", "data/benchmark/Set5", 0.08),
    _pretrained("e-rfdn-x2", "data/benchmark/Set5", 0.1),
    _pretrained("rfdn-x4", "data/benchmark/Set5", 0.03),
    _pretrained("rfdn-x3", "data/benchmark/Set5", 0.05),
    _pretrained("rfdn-x2", "data/benchmark/Set5", 0.04),
    _pretrained("rfdn-mobile-x4", "data/benchmark/Set5", 0.02),
    _pretrained("rfdn-mobile-x3", "data/benchmark/Set5", 0.02),
    _pretrained("rfdn-mobile-x2", "data/benchmark/Set5", 0.02),
    Threshold(images="data/benchmark/Set5", loss_db=0.12, **_RELEASED),
    Threshold(images="data/benchmark/BSD100", loss_db=0.05, **_RELEASED),
    Threshold(images="data/benchmark/Set5", loss_db=0.08, accurate=True, **_RELEASED),
    Threshold(images="data/benchmark/BSD100", loss_db=0.04, accurate=True, **_RELEASED),
)


def main(config, thresholds=THRESHOLDS):
    """Prints a table and returns the Verdicts that --json writes.

    Raises UserError when weights or images are missing.
    """
    check_fields(config)
    verdicts, converted = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for i, threshold in enumerate(thresholds):
            row = _within(threshold, pathlib.Path(config.folder))
            made_of = (row.model, row.weights, row.calibration, row.accurate)
            if made_of not in converted:
                converted[made_of] = row.model or convert_row(row, pathlib.Path(scratch) / f"{i}.tflite")
            file = converted[made_of]
            measured = measure(file, row, threads=config.threads)
            verdicts.append(Verdict(threshold, measured, tuple(problems(file, measured, row))))
    print(table(verdicts))
    if config.json:
        files.write_json(config.json, [dataclasses.asdict(verdict) for verdict in verdicts])
    return verdicts


def measure(file, threshold, *, threads=None) -> Measurement:
    """Compare an int8 file with the float network on a Threshold's images."""
    float_model, config = checkpoint.load(threshold.weights)
    float_upscale = keras_upscalers.from_model(float_model)
    int8_upscale = resizable.ResizableModel(file, threads=threads)
    losses, biases = [], []
    for _, lr, hr in scoring.first(folders.find_pairs(threshold.images, config.scale), None, "checking"):
        images = int8_upscale(lr), float_upscale(lr)
        losses.append(comparison.compare(*images, hr, scale=config.scale).loss_db)
        biases.append(np.subtract(*images, dtype=float).mean(axis=(0, 1)))
    return Measurement(float(np.mean(losses)), tuple(np.mean(biases, axis=0).tolist()))


def problems(file, measured, threshold):
    """[what is wrong with an int8 file, in words], from the file and its Measurement."""
    found = description.describe(file)
    wrong = []
    if found.float_operators:
        wrong.append("float operations: " + ", ".join(f"{n} {name}" for name, n in found.float_operators.items()))
    for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
        wrong += [f"{kind} is {t}" for t in tensors if (t.dtype, t.scale, t.zero_point) != ("uint8", 1.0, 0)]
    if measured.loss_db > threshold.loss_db:
        wrong.append(f"loses {measured.loss_db:.3f} dB, {threshold.loss_db} allowed")
    if max(map(abs, measured.colour_bias)) > threshold.colour_bias:
        wrong.append(f"colours shift by {_levels(measured.colour_bias)}, {threshold.colour_bias} allowed")
    return wrong


def table(verdicts):
    """Verdicts -> text."""
    rows = [
        [
            pathlib.Path(v.threshold.model or v.threshold.weights).name
            + (" --accurate" if v.threshold.accurate else ""),
            v.threshold.images,
            f"{v.measured.loss_db:.3f}",
            v.threshold.loss_db,
            _levels(v.measured.colour_bias),
            "; ".join(v.problems) or "good",
        ]
        for v in verdicts
    ]
    return text_table(["", "images", "loss dB", "threshold", "colour bias RGB", ""], rows)


def _levels(colours):
    return " ".join(f"{levels:+.2f}" for levels in colours)


def exit_with_verdict(config):
    """Run main, and exit with status 1 when there is a problem."""
    if any(verdict.problems for verdict in main(config)):
        sys.exit(1)


def _within(threshold, folder):
    """threshold with its paths as the command finds them."""
    paths = {key: getattr(threshold, key) for key in ("weights", "images", "model", "calibration")}
    return dataclasses.replace(threshold, **{key: str(folder / path) for key, path in paths.items() if path})


def convert_row(threshold, out):
    """Convert a Threshold's weights to a file -> its path."""
    config = convert.ConvertConfig(
        int8=True,
        weights=threshold.weights,
        out=str(out),
        accurate=threshold.accurate,
        calibration=threshold.calibration,
    )
    return str(convert.main(config))


if __name__ == "__main__":
    command.run(exit_with_verdict, GateConfig)
