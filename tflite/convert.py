"""Trained weights -> TFLite:

python tflite/convert.py --int8                        the newest run, fully integer, uint8 pixels in and out
python tflite/convert.py --int16x8                     integer too, activations of 16 bits, for NPUs
python tflite/convert.py --float16 --weights FILE      half-size weights
"""

import dataclasses
import itertools
import pathlib
import tempfile

import tqdm
from absl import logging

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.cli import command
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import name_of
from keras_rfdn.tflite import benchmark
from keras_rfdn.tflite.conversion.converter import CALIBRATED, PRECISIONS, convert, size_of, suffix, to_tflite, write
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import calibration, mixed, quantize, rewrite


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Convert trained weights to TFLite; without a precision flag to float32."""

    int8: bool = False  # fully integer, uint8 in and out: 0..255 as they are
    int8_plain: bool = False  # the same as TensorFlow's converter does it by default, to compare with
    int16x8: bool = False  # int16 activations, int8 weights, int16 in and out: 128 times 0..255; slow on CPUs
    float16: bool = False  # float16 weights, float in and out
    dynamic: bool = False  # int8 weights, float activations, float in and out
    # Weight file, workdir or released .pth; by default the newest run or shipped.
    weights: str | None = None
    variant: str | None = None  # a row of keras_rfdn.networks.config.VARIANTS
    scale: int | None = None  # 2, 3 or 4
    shape: str = "1,180,320,3"  # LR input, or "dynamic" for any height and width
    # By default beside the weights, or for those shipped here, named by variant, scale, precision and shape.
    out: str | None = None
    exact_skip: bool = False  # int8: take the long skip from the image itself; less is lost, 3% more multiply-adds
    # int8: convolutions whose results are stored twice, half a step apart, or, where a LeakyReLU follows, as x and -x
    # with a ReLU each; doctor.py tells where most is lost.
    twice: tuple[str, ...] = ()
    # int8: keep so many operations in float, or the fewest with which no more is lost on the calibration images; the
    # latency that it costs is measured.
    float_ops: int | None = None
    max_drop_db: float | None = None
    calibration: str | None = None  # int8, int16x8: folder of HR images to learn ranges from; by default data.sample's
    calibration_images: int = 200  # of them, the first so many
    calibration_frames: int = 16  # int8: patches of 64x64 LR pixels; the others: mosaics of such, of the input's size


def main(config):
    """Writes the .tflite and returns its path."""
    precision, (height, width) = _precision(config), size_of(config.shape)
    weights = checkpoint.resolve(config.weights, variant=config.variant, scale=config.scale)
    model, model_config = checkpoint.load(weights)
    mixes = config.float_ops is not None or config.max_drop_db is not None
    name = f"{name_of(model_config)}_x{model_config.scale}_{precision}{'_mixed' if mixes else ''}"
    # Not into the package, where the shipped weights are.
    folder = pathlib.Path() if weights.parent == pretrained.FOLDER else weights.parent
    out = pathlib.Path(config.out or folder / f"{name}{suffix(height, width)}.tflite")
    logging.info("%s (%s) -> %s", weights, name, out)
    pairs = _pairs(config, model_config.scale) if precision in CALIBRATED else ()
    frames = _frames(config, precision, pairs, height, width) if pairs else ()
    if mixes:
        folded = rewrite.fold_value_range(model, model_config, height=height, width=width)
        _write_mixed(config, folded, pairs, frames, out)
    else:
        rewriting = {"exact_skip": config.exact_skip, "twice": config.twice}
        content = convert(model, model_config, precision, height=height, width=width, frames=frames, **rewriting)
        write(content, out)
    print(description.table([out.name], [description.describe(out)]))
    return out


def _write_mixed(config, folded, pairs, frames, out):
    """Write the file of --float_ops or --max_drop_db, and say what it gains and costs beside int8 alone."""
    quantized = quantize.quantize(folded, frames, exact_skip=config.exact_skip, twice=config.twice)
    found = mixed.search(quantized, pairs, float_ops=config.float_ops, max_drop_db=config.max_drop_db)
    print(
        f"{len(found.operations)} operations in float ({', '.join(found.operations) or 'none'}): "
        f"{found.loss_db:.4f} dB lost on the calibration images, {found.int8_loss_db:.4f} with none"
    )
    with tempfile.TemporaryDirectory() as scratch:
        int8_file = pathlib.Path(scratch) / "int8.tflite"
        write(to_tflite(quantized.network(), folded, "int8"), int8_file)
        write(to_tflite(found.quantized.network(), folded, "int8"), out)
        benchmark.main(benchmark.BenchmarkConfig((str(int8_file), str(out))))


def _precision(config):
    named = [precision for precision in PRECISIONS if getattr(config, precision, False)]
    if len(named) > 1:
        raise UserError(f"one precision at a time, got {' '.join(f'--{n}' for n in named)}")
    if (config.exact_skip or config.twice) and named != ["int8"]:
        raise UserError("--exact_skip and --twice are for --int8 alone; leave them out or add --int8")
    limits = [limit for limit in (config.float_ops, config.max_drop_db) if limit is not None]
    if limits and named != ["int8"]:
        raise UserError("--float_ops and --max_drop_db are for --int8 alone; leave them out or add --int8")
    if len(limits) > 1 or any(limit < 0 for limit in limits):
        raise UserError("one of --float_ops and --max_drop_db, of 0 or more; the other follows")
    return named[0] if named else "float32"


def _pairs(config, scale):
    if not config.calibration:
        logging.info("calibrating on the sample set; --calibration FOLDER takes images of the kind you will upscale")
    return list(itertools.islice(calibration.source(config.calibration, scale), config.calibration_images))


def _frames(config, precision, pairs, height, width):
    if precision == "int8":
        frames = calibration.patches(pairs, count=config.calibration_frames)
    else:
        # A model of open size is calibrated on small frames: ranges do not depend on the size, the time does.
        size = (height or 2 * calibration.CELL, width or 2 * calibration.CELL)
        frames = calibration.frames(pairs, *size, count=config.calibration_frames)
    return tqdm.tqdm(frames, desc="calibrating", unit=" frames", total=config.calibration_frames, disable=None)


if __name__ == "__main__":
    command.run(main, ConvertConfig)
