"""Release of weights: from finished training runs to the files in keras_rfdn/weights/:

    python -m tools.release runs/e-rfdn-x4 --sets Set5 Set14 BSD100 --data TRAINING --about ABOUT --pictures Kodak24

For each run NAME.h5, NAME_int8.tflite (by tflite/qat.py, for LR images of 320x180), NAME.md (its model card, with
scores) and NAME.png (its training curve), and SHA256SUMS anew; with --pictures NAME_samples.png too, what it makes of
photographs. NAME is VARIANT-xSCALE.

The card says what the run's settings and scores say, and of the training images what the file ABOUT says: a few
sentences on what they are and under which licences. The fine-tuning for int8 keeps its state in RUN/qat, so that the
same command resumes it.
"""

import dataclasses
import pathlib
import shutil

import numpy as np
import simple_parsing

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.networks.config import name_of
from keras_rfdn.tflite import qat

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.images import bicubic, image_files
    from keras_rfdn.data.sources import folders
    from keras_rfdn.evaluation import measurement, panels
    from keras_rfdn.upscaling import keras_upscalers
    from tools import model_card

# What the picture shows, chosen before the networks were trained: image of Kodak24, top and left in pixels.
CROPS = {"text": ("08", 290, 545), "hair": ("04", 150, 330), "brick": ("01", 200, 130), "sky": ("16", 60, 420)}
CROPS |= {"face": ("15", 70, 390)}
SIDE = 128  # of a crop, in HR pixels
MARGIN = 2  # between enlarged crops, in pixels at each side
SAMPLES = "_samples.png"  # end of the picture's name


@dataclasses.dataclass(frozen=True)
class ReleaseConfig:
    """Make the weight files, int8 files and model cards that come with the package."""

    runs: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="RUN")  # finished workdirs
    sets: tuple[str, ...] = simple_parsing.field(nargs="+")  # folders of test images
    data: str  # folder of training images, to fine-tune for int8 on
    about: str  # text file for the cards: what the training images are, and their licences
    valid: str | None = None  # folder to validate fine-tuning on; by default some of the training images
    qat_steps: int = number(300, least=1)  # updates of fine-tuning
    accurate: bool = False  # as for tflite/qat.py
    out: str = str(pretrained.FOLDER)
    pictures: str | None = None  # folder of Kodak24: draw CROPS as each network makes them, for the cards


def main(config):
    """Writes the files and returns {name: evaluation.reports.Report}."""
    check_fields(config)
    if not pathlib.Path(config.about).is_file():
        raise UserError(f"no file at --about {config.about}; write there what the training images are")
    out, reports = pathlib.Path(config.out), {}
    for run in map(pathlib.Path, config.runs):
        name, reports[name] = _release(run, out, config)
    write_checksums(out)
    return reports


def _release(run, out, config):
    """(NAME, Report) of a run, its files written."""
    model_card.read(run / "summary.json")  # before long work: a run that is not finished stops here
    weights = checkpoint.resolve(run)
    model_config, _ = checkpoint.about(weights)
    name = f"{name_of(model_config)}-x{model_config.scale}"
    tuned = qat.main(
        qat.QatConfig(
            data=config.data,
            valid=config.valid,
            weights=str(weights),
            workdir=str(run / model_card.QAT),
            steps=config.qat_steps,
            accurate=config.accurate,
        )
    )
    if tuned is None:
        raise StoppedError("fine-tuning for int8 was stopped and nothing released; the same command resumes it")
    float_file, int8_file = out / f"{name}.h5", out / f"{name}_int8.tflite"
    for source, target in ((weights, float_file), (run / "curve.png", out / f"{name}.png"), (tuned, int8_file)):
        with files.atomic_write(target) as partial:
            shutil.copyfile(source, partial)
    report = measurement.measure(config.sets, [float_file, int8_file])
    if config.pictures:
        draw(float_file, int8_file, config.pictures, out / f"{name}{SAMPLES}")
    picture = f"{name}{SAMPLES}" if config.pictures else None
    text = model_card.card(name, run, report, pathlib.Path(config.about).read_text(), picture=picture)
    files.write_text(out / f"{name}.md", text)
    return name, report


def write_checksums(folder):
    """SHA256SUMS of a folder's weight files, as the program sha256sum writes it."""
    listed = sorted([*folder.glob("*.h5"), *folder.glob("*.tflite")])
    lines = (f"{files.sha256(path)}  {path.name}\n" for path in listed)
    files.write_text(folder / pretrained.CHECKSUMS, "".join(lines))


def draw(weights, int8, kodak, path):
    """Write a picture of CROPS: a row each of bicubic, float32, int8 and the original."""
    functions = {"float32": keras_upscalers.open_upscaler(weights)[0], "int8": keras_upscalers.open_upscaler(int8)[0]}
    scale = checkpoint.about(weights)[0].scale
    paths = {path.stem: path for path in image_files.find(kodak)}
    columns = []
    for label, (name, top, left) in CROPS.items():
        _, lr, hr = folders.load_pair(paths[name], None, scale)
        upscaled = {key: function(lr) for key, function in functions.items()}
        versions = {"bicubic": bicubic.upscale(lr, scale), **upscaled, "original": hr}
        crop = slice(top, top + SIDE), slice(left, left + SIDE)
        column = [
            panels.panel(image[crop], f"{label}, {key}", factor=1.5, margin=MARGIN) for key, image in versions.items()
        ]
        columns.append(np.concatenate(column))
    panels.write(np.concatenate(columns, axis=1), path)


if __name__ == "__main__":
    command.run(main, ReleaseConfig)
