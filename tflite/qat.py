"""Quantization-aware training: fine-tune trained weights with every rounding of the int8 file simulated:

    python tflite/qat.py --data FOLDER                               the newest run -> its int8 .tflite
    python tflite/qat.py --data FOLDER --weights RFDN_AIM.pth        any weights

It starts from what tflite/convert.py --int8 makes, calibrated on the training images; then weights and ranges learn to
give what the float network gives. The same command resumes a stopped run. When all updates are done it writes the file,
and with another --shape or --out a further one.

A workdir holds config.json, calibrated.h5 and calibrated.json (weights and ranges that it starts from), best.h5 (the
best on validation), state/ and metrics.jsonl.
"""

import dataclasses
import pathlib

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.networks.config import SCALES, SMALLEST_INPUT
from keras_rfdn.tflite.conversion.shape import check_open_size, parse_shape, shape_suffix

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.streams import pipeline
    from keras_rfdn.evaluation import scoring
    from keras_rfdn.tflite.conversion import calibration_check, converter, source
    from keras_rfdn.tflite.finetuning import tuner
    from keras_rfdn.tflite.inspection import description
    from keras_rfdn.tflite.quantization import folding, simulator
    from keras_rfdn.training import workdir
    from keras_rfdn.upscaling import keras_upscalers


@dataclasses.dataclass(frozen=True)
class QatConfig:
    """Fine-tune trained weights for int8 and write the .tflite; the same command again resumes it."""

    data: str = "div2k"  # what to fine-tune on: div2k, sample or a folder, as for keras_rfdn.train
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = number(20, above=0)  # validate on the first of them only
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    # Weight file, workdir or released .pth; by default the newest run or pretrained.
    weights: str | None = None
    variant: str | None = None  # a row of VARIANTS in keras_rfdn/networks/config.py
    scale: int | None = choice(*SCALES, default=None)
    workdir: str | None = None  # by default runs/qat-VARIANT-xSCALE
    out: str | None = None  # the .tflite; by default in the workdir, named by variant, scale and shape
    shape: str = "1,180,320,3"  # LR input of the .tflite, or "dynamic" for any (not for ESA)
    accurate: bool = False  # as for tflite/convert.py
    strict: bool = False  # an error, not a warning, when the training images do not span what photographs hold
    steps: int = number(900, above=0)  # updates
    batch: int = number(8, above=0)  # patches
    patch: int = number(32, least=SMALLEST_INPUT)  # LR pixels
    learning_rate: float = number(3e-4, above=0)  # of an update, relative to the weights; falls to 0 by a half cosine
    validate_every: int = number(250, above=0)  # updates
    save_minutes: float = number(5, least=0)  # longest time between two saved states
    seed: int = number(0, least=0)


# What may differ when a run is resumed; anything else would make it another run.
RESUMABLE = {"cache", "workdir", "out", "shape", "strict", "validate_every", "save_minutes"}


def main(config):
    """Fine-tunes, writes the .tflite and returns its path, or None where a signal stopped it before the end."""
    check_fields(config)
    height, width = parse_shape(config.shape)
    loaded = source.load(config.weights, variant=config.variant, scale=config.scale)
    check_open_size(height, loaded.model)
    name = f"{loaded.name}_x{loaded.scale}"
    folder = pathlib.Path(config.workdir or checkpoint.RUNS / f"qat-{name.replace('_', '-')}")
    out = pathlib.Path(config.out or folder / f"{name}_int8{shape_suffix(height, width)}.tflite")
    with workdir.locked(folder, config, resumable=RESUMABLE):
        train, valid = pipeline.sources(config.data, loaded.scale, valid=config.valid, valid_images=config.valid_images)
        valid = scoring.measurable(pipeline.validation_images(valid, config.valid_images), loaded.scale)
        pairs = pipeline.cache(train, config.cache, smallest=config.patch)
        teacher = folding.fold_value_range(loaded.model, batch=None)
        quantized = tuner.calibrate(teacher, pairs, folder, accurate=config.accurate, seed=config.seed)
        shown = [("", *pair) for pair in pairs]
        upscale = keras_upscalers.from_model(loaded.model)
        # Before the long work, and again when it is done.
        start = keras_upscalers.from_model(simulator.simulate(quantized))
        calibration_check.check(start, upscale, shown, scale=loaded.scale, strict=config.strict)
        fields = (field.name for field in dataclasses.fields(tuner.TunerSettings))
        settings = tuner.TunerSettings(**{field: getattr(config, field) for field in fields})
        best = tuner.fine_tune(teacher, quantized, pairs, valid, settings, folder)
        if best is None:
            return None
        content = converter.convert_quantized(best, height=height, width=width)
        calibration_check.check_file(content, upscale, shown, scale=loaded.scale, strict=config.strict)
        converter.write(content, out, name=f"{loaded.name} x{loaded.scale}, int8")
    print(description.table([out.name], [description.describe(content)]))
    return out


if __name__ == "__main__":
    command.run(main, QatConfig)
