"""From finished runs to the files in keras_rfdn/weights/:

    python -m tools.release runs/shipped-e-rfdn-x4 --sets Set5 Set14 BSD100 --data TRAINING --pictures Kodak24

For each run NAME.h5, NAME_int8.tflite (by qat, any LR size), NAME.md (its card, with scores) and NAME.png (its curve),
and SHA256SUMS anew; with --pictures docs/NAME.png too, what it makes of photographs. NAME is VARIANT-xSCALE.

The fine-tuning for int8 keeps its state in RUN/qat, so that the same command goes on where it was.
"""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import simple_parsing

from keras_rfdn import evaluate
from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.cli import command
from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources import folders
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import measurement, panels, tables
from keras_rfdn.networks.config import name_of
from keras_rfdn.tflite import qat
from keras_rfdn.tflite.inspection import machine
from keras_rfdn.training import recipes, workdir
from keras_rfdn.upscaling import upscalers

# What the picture shows, chosen before the networks were trained: image of Kodak24, top and left in pixels.
CROPS = {"text": ("08", 290, 545), "hair": ("04", 150, 330), "brick": ("01", 200, 130), "sky": ("16", 60, 420)}
CROPS |= {"face": ("15", 70, 390)}
SIDE = 128  # of a crop, in HR pixels
MARGIN = 2  # between enlarged crops, in pixels at each side
QAT = "qat"  # folder in a run: the workdir of its fine-tuning for int8
DOCS = pathlib.Path("docs")  # where pictures go, in the repository

CARD = """# {title}

{parameters:,} parameters. `{name}.h5` holds the float weights, `{name}_int8.tflite` the fully integer file: uint8
RGB in and out, LR images of any size.

    python -m keras_rfdn.upscale in.png out.png --weights {name}
    python tflite/convert.py --int8 --weights {name} --shape 1,180,320,3

## Training

{updates} in {hours:.1f} hours on {machine}, by the project's own trainer:

    python -m keras_rfdn.train --recipe {recipe} --data TRAINING --valid VALIDATION --seed {seed}

Recipe, where it is not the paper's: {settings}. The weights are those of the best validation
({best_psnr_y:.2f} dB on luma, bicubic {bicubic_psnr_y:.2f}) on {valid_images} of DIV2K100_crops, 256x256 parts of
DIV2K's validation images.

![validation over updates]({name}.png)

Data: {data}. Licences: T91 and BSDS200 (the 200 training images of BSDS300) are for research use; the photographs
(desktop backgrounds of Budgie, elementary and deepin, halved at least) are CC0, public domain, CC BY or under
Unsplash's licence. No image of a test set was seen in training, validation or calibration. None of the released weights
was used.

## Scores

{table}

int8 loses {losses}. Measured by

    python -m keras_rfdn.evaluate {sets} --weights {name} keras_rfdn/weights/{name}_int8.tflite

The int8 file was made by quantization-aware training on T91, BSDS200 and the 91 photographs:

    python tflite/qat.py --data TRAINING --valid VALIDATION --weights {name} --shape dynamic {qat_flags}

Its weights and ranges are those of update {qat_best} of {qat_steps}, the best on validation. `tflite/convert.py
--int8`, as above, makes one of fixed size without training.

## What it is bad at

It was taught to undo MATLAB's bicubic reduction of clean images, and nothing else: noise and JPEG blocks are enlarged
with the image, and a photograph that is soft at full size stays soft. Letters of less than some six LR pixels come out
as other letters or none, fine regular texture (brick, cloth, gratings) as stripes of the wrong direction, and hair in
strands that were not there. The paper's networks saw 64 million patches, this one {patches:,}, and they are better by
what the table says.
"""

PICTURE = """
![bicubic, float, int8 and original](../../{docs}/{name}.png)

Parts of Kodak's photographs {photographs}, chosen before any network was trained: bicubic, float, int8, original.
"""


@dataclasses.dataclass(frozen=True)
class ShipConfig:
    """Make the weight files, int8 files and model cards that come with the package."""

    runs: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="RUN")  # finished workdirs
    sets: tuple[str, ...] = simple_parsing.field(default=(), nargs="+")  # folders of test images
    data: str | None = None  # folder of training images, to fine-tune for int8 on
    valid: str | None = None  # folder to validate fine-tuning on; by default some of the training images
    qat_steps: int = 300  # updates of fine-tuning
    exact_skip: bool = False  # as for tflite/qat.py
    out: str = str(pretrained.FOLDER)
    pictures: str | None = None  # folder of Kodak24: draw CROPS as each network makes them, for the cards


def main(config):
    """Writes the files and returns {name: report of evaluate}."""
    if not config.sets or not config.data:
        raise UserError("name folders of test images by --sets and one of training images by --data")
    out, reports = pathlib.Path(config.out), {}
    for run in map(pathlib.Path, config.runs):
        name, reports[name] = _ship(run, out, config)
    write_checksums(out)
    return reports


def _ship(run, out, config):
    """(NAME, report) of a run, its files written."""
    _json(run / "summary.json")  # before long work: a run that is not finished stops here
    weights = checkpoint.resolve(run)
    model_config, _ = checkpoint.about(weights)
    name = f"{name_of(model_config)}-x{model_config.scale}"
    tuned = qat.main(
        qat.QatConfig(
            data=config.data,
            valid=config.valid,
            weights=str(weights),
            workdir=str(run / QAT),
            shape="dynamic",
            steps=config.qat_steps,
            exact_skip=config.exact_skip,
        )
    )
    if tuned is None:
        raise StoppedError("fine-tuning for int8 was stopped and nothing shipped; the same command goes on from there")
    int8 = out / f"{name}_int8.tflite"
    for source, target in ((weights, out / f"{name}.h5"), (run / "curve.png", out / f"{name}.png"), (tuned, int8)):
        with files.atomic_write(target) as partial:
            shutil.copyfile(source, partial)
    result = measurement.measure(evaluate.EvaluateConfig(config.sets, weights=(str(out / f"{name}.h5"), str(int8))))
    for model in result["results"][1:]:
        model["weights"] = pathlib.Path(model["weights"]).name  # a card is read on other machines
    text = card(name, run, result)
    if config.pictures:
        draw(out / f"{name}.h5", int8, config.pictures, DOCS / f"{name}.png")
        text += PICTURE.format(docs=DOCS, name=name, photographs=", ".join(crop[0] for crop in CROPS.values()))
    files.write_text(out / f"{name}.md", text)
    return name, result


def card(name, run, result):
    """The text of NAME.md from a run's workdir, fine-tuning included, and its scores."""
    summary, settings, tuning = (_json(run / file) for file in ("summary.json", "config.json", f"{QAT}/config.json"))
    tuned = workdir.records(run / QAT)
    recipe = f"shipped-{name}"  # and the weights do come from it: train refuses settings that contradict a recipe
    row = recipes.recipe(recipe)
    _, floats, int8 = result["results"]
    losses = [f"{floats['sets'][s]['psnr'] - int8['sets'][s]['psnr']:.3f} dB on {s}" for s in floats["sets"]]
    facts = machine.machine()
    return CARD.format(
        **{key: summary[key] for key in ("parameters", "hours", "best_psnr_y", "bicubic_psnr_y")},
        name=name,
        title=f"{row.variant} x{row.scale}",
        recipe=recipe,
        updates=", then ".join(f"{stage.steps:,} updates of {stage.batch} patches" for stage in row.stages),
        patches=sum(stage.steps * stage.batch for stage in row.stages),
        machine=f"{facts['cores']} cores of {facts['processor']}",
        settings="; ".join(_differences(stage) for stage in row.stages)
        + f"; optimizer {row.optimizer}"
        + (f"; starts from {row.starts_from}" if row.starts_from else "")
        + (f" ({row.note})" if row.note else ""),
        seed=settings["seed"],
        valid_images=settings["valid_images"],
        data=row.data,
        table=tables.markdown(result).strip(),
        losses=", ".join(losses),
        qat_flags=f"--steps {tuning['steps']}" + (" --exact_skip" if tuning["exact_skip"] else ""),
        qat_steps=tuning["steps"],
        qat_best=max(tuned, key=lambda record: record["psnr_y"])["step"],
        sets=" ".join(floats["sets"]),
    )


def _differences(stage):
    """A stage's settings that are not the paper's."""
    paper = recipes.Stage()
    return ", ".join(
        f"{field.replace('_', ' ')} {getattr(stage, field)}"
        for field in recipes.STAGE_FIELDS
        if getattr(stage, field) != getattr(paper, field)
    )


def write_checksums(folder):
    """SHA256SUMS of a folder's weight files, as sha256sum writes it."""
    listed = sorted([*folder.glob("*.h5"), *folder.glob("*.tflite")])
    lines = (f"{files.sha256(path)}  {path.name}\n" for path in listed)
    files.write_text(folder / pretrained.CHECKSUMS, "".join(lines))


def draw(weights, int8, kodak, path):
    """Write a picture of CROPS: a row each of bicubic, float, int8 and the original."""
    functions = {"float": upscalers.open_upscaler(weights)[0], "int8": upscalers.open_upscaler(int8)[0]}
    scale = checkpoint.about(weights)[0].scale
    paths = {path.stem: path for path in image_files.find(kodak)}
    columns = []
    for label, (name, top, left) in CROPS.items():
        _, lr, hr = folders.load_pair(paths[name], None, scale)
        upscaled = {key: function(lr) for key, function in functions.items()}
        versions = {"bicubic": bicubic.upscale(lr, scale), **upscaled, "original": hr}
        crop = slice(top, top + SIDE), slice(left, left + SIDE)
        panels = [
            panels.panel(image[crop], f"{label}, {key}", factor=1.5, margin=MARGIN) for key, image in versions.items()
        ]
        columns.append(np.concatenate(panels))
    panels.write(np.concatenate(columns, axis=1), path)


def _json(path):
    if not path.is_file():
        raise UserError(f"no {path.name} in {path.parent}; need the workdir of a finished run")
    return json.loads(path.read_text())


if __name__ == "__main__":
    command.run(main, ShipConfig)
