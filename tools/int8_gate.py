"""A gate against int8 files getting worse:

    python -m tools.int8_gate ../shared         every row of BOUNDS whose weights and images are there

Each row converts weights to int8, or takes a .tflite as it is, and compares the file with the float network on a set of
images. Exit status 1 when one loses more dB than its bound, holds a float operation, takes or gives anything but uint8
grey levels, or shifts a colour.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np
import simple_parsing

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.sources import folders
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import scoring
from keras_rfdn.tflite import convert
from keras_rfdn.tflite.inspection import comparison, description
from keras_rfdn.upscaling import litert, upscalers
from keras_rfdn.upscaling.tiling import fitted


@dataclasses.dataclass(frozen=True)
class Bound:
    """A row of the gate. Paths are relative to the folder that the command is given."""

    weights: str  # of the float network
    images: str  # folder of HR images, as for validate
    loss_db: float  # the most that int8 may lose on them in the mean; what was measured, and a little
    model: str | None = None  # a .tflite to check; by default one is converted from the weights
    calibration: str | None = None  # folder, for the conversion
    options: dict = dataclasses.field(default_factory=dict)  # further fields of convert.ConvertConfig for it
    drift: float = 0.2  # grey levels: the largest mean difference to the float network that a colour may have


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """Check int8 files against the bounds that were reached once."""

    folder: str = simple_parsing.field(positional=True, metavar="FOLDER")  # which BOUNDS' paths are relative to
    threads: int | None = None  # of LiteRT; by default one per core
    json: str | None = None  # file for all that was measured


def _shipped(name, images, loss_db):
    """Row of a shipped int8 file; its path is no matter of the folder."""
    weights, model = (str(pretrained.FOLDER / f"{name}{suffix}") for suffix in (".h5", "_int8.tflite"))
    return Bound(weights, images, loss_db, model=model)


_NEAREST = {"exact_skip": True, "twice": ("B1.c5", "c.0"), "calibration_frames": 64}

# Measured by this command (BUILD_NOTES.md), rounded up.
BOUNDS = (
    _shipped("e-rfdn-x4", "data/benchmark/Set5", 0.03),
    _shipped("e-rfdn-x4", "data/benchmark/BSD100", 0.01),
    _shipped("e-rfdn-x3", "data/benchmark/Set5", 0.02),
    _shipped("e-rfdn-x2", "data/benchmark/Set5", 0.03),
    _shipped("rfdn-x4", "data/benchmark/Set5", 0.01),
    _shipped("rfdn-mobile-x4", "data/benchmark/Set5", 0.02),
    _shipped("rfdn-mobile-x2", "data/benchmark/Set5", 0.02),
    Bound("weights/RFDN_AIM.pth", "data/benchmark/Set5", 0.13, calibration="data/train"),
    Bound("weights/RFDN_AIM.pth", "data/benchmark/BSD100", 0.06, calibration="data/train"),
    Bound("weights/RFDN_AIM.pth", "data/benchmark/Set5", 0.09, calibration="data/train", options=_NEAREST),
    Bound("weights/RFDN_AIM.pth", "data/benchmark/BSD100", 0.04, calibration="data/train", options=_NEAREST),
)


def main(config, bounds=BOUNDS):
    """Prints a table and returns what --json writes: for each row its Bound's fields, what measure gives and problems.

    Raises UserError when the weights or images of a row are missing.
    """
    results, converted = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for i, bound in enumerate(bounds):
            row = _within(bound, pathlib.Path(config.folder))
            made_of = (row.model, row.weights, row.calibration, str(row.options))
            if made_of not in converted:
                converted[made_of] = row.model or _converted(row, pathlib.Path(scratch) / f"{i}.tflite")
            file = converted[made_of]
            found = measure(file, row, threads=config.threads)
            wrong = problems(file, found, row)
            results.append({**dataclasses.asdict(bound), "measured": found, "problems": wrong})
    print(table(results))
    if config.json:
        files.write_json(config.json, results)
    return results


def measure(file, bound, *, threads=None):
    """What an int8 file does to the images of a Bound: {"loss_db": mean over images, "drift": [red, green, blue]}.

    drift: mean difference of the file's output to the float network's, in grey levels.
    """
    tflite = litert.Model(file, threads=threads)
    model, config = checkpoint.load(bound.weights)
    keras = fitted(upscalers.from_model(model), tflite.smallest, tflite.largest)
    int8 = fitted(tflite.upscale, tflite.smallest, tflite.largest)
    losses, drifts = [], []
    for _, lr, hr in scoring.first(folders.find_pairs(bound.images, config.scale), None, "checking"):
        images = int8(lr), keras(lr)
        losses.append(comparison.compare(*images, hr, scale=config.scale)["loss_db"])
        drifts.append(np.subtract(*images, dtype=float).mean(axis=(0, 1)))
    return {"loss_db": float(np.mean(losses)), "drift": np.mean(drifts, axis=0).tolist()}


def problems(file, measured, bound):
    """[what is wrong with an int8 file, in words], from the file and what measure found of it."""
    found = description.describe(file)
    wrong = []
    if found.float_operators:
        wrong.append("float operations: " + ", ".join(f"{n} {name}" for name, n in found.float_operators.items()))
    for kind, tensors in (("input", found.inputs), ("output", found.outputs)):
        wrong += [f"{kind} is {t}" for t in tensors if (t.dtype, t.scale, t.zero_point) != ("uint8", 1.0, 0)]
    if measured["loss_db"] > bound.loss_db:
        wrong.append(f"loses {measured['loss_db']:.3f} dB, {bound.loss_db} allowed")
    if max(map(abs, measured["drift"])) > bound.drift:
        wrong.append(f"colours shift by {_colours(measured['drift'])}, {bound.drift} allowed")
    return wrong


def table(results):
    """Results of main -> text."""
    rows = [
        [
            " ".join([pathlib.Path(r["model"] or r["weights"]).name, *r["options"]]),
            r["images"],
            f"{r['measured']['loss_db']:.3f}",
            r["loss_db"],
            _colours(r["measured"]["drift"]),
            "; ".join(r["problems"]) or "good",
        ]
        for r in results
    ]
    return text_table(["", "images", "loss dB", "bound", "drift RGB", ""], rows)


def _colours(drift):
    return " ".join(f"{levels:+.2f}" for levels in drift)


def checked(config):
    """main, and exit status 1 when there is a problem."""
    if any(result["problems"] for result in main(config)):
        sys.exit(1)


def _within(bound, folder):
    """bound with its paths as the command finds them."""
    paths = {key: getattr(bound, key) for key in ("weights", "images", "model", "calibration")}
    return dataclasses.replace(bound, **{key: str(folder / path) for key, path in paths.items() if path})


def _converted(bound, out):
    given = {"weights": bound.weights, "calibration": bound.calibration, "out": str(out), **bound.options}
    config = convert.ConvertConfig(int8=True, shape="dynamic", **given)
    return str(convert.main(config))


if __name__ == "__main__":
    command.run(checked, CheckConfig)
