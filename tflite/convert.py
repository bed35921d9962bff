"""Trained weights, or a Keras model of your own -> TFLite:

python tflite/convert.py --int8                        the newest run, fully integer, uint8 pixels in and out
python tflite/convert.py --int8 --accurate             less is lost, and it takes about 1.14 times as long
python tflite/convert.py --int8 --npu                  the same bytes out, of operators that more NPUs take
python tflite/convert.py --precision int16x8           integer too, activations of 16 bits, for NPUs
python tflite/convert.py --int8 --weights own.keras    any functional network from RGB to RGB (docs/int8.md)
python tflite/convert.py --precision float16 --weights FILE      half-size weights
"""

import dataclasses
import pathlib

from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import heartbeat, track
from keras_rfdn.networks.config import SCALES
from keras_rfdn.tflite.conversion.shape import check_open_size, parse_shape, shape_suffix

with lazy_imports():
    from keras_rfdn.checkpoints import pretrained
    from keras_rfdn.tflite.conversion import calibration_check, converter, npu, source
    from keras_rfdn.tflite.inspection import description, targets
    from keras_rfdn.tflite.quantization import calibration, folding, mixed_precision, post_training
    from keras_rfdn.upscaling import keras_upscalers

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Convert trained weights to TFLite; without a precision to float32."""

    # float16: half-size weights; dynamic: int8 weights, float activations; int8: fully integer, uint8 pixels in and
    # out; int16x8: int16 activations, int16 in and out, 128 times 0..255, slow on CPUs.
    precision: str | None = choice(*PRECISIONS, default=None)
    int8: bool = False  # short for --precision int8
    # Weight file, workdir, released weights, or a functional Keras model of your own, .keras or .h5 (docs/int8.md); by
    # default the newest run or pretrained.
    weights: str | None = None
    variant: str | None = None  # a row of VARIANTS in keras_rfdn/networks/config.py
    scale: int | None = choice(*SCALES, default=None)
    shape: str = "1,180,320,3"  # LR input, or "dynamic" for any (not for ESA)
    # By default beside the weights, or for pretrained ones here, named by variant, scale, precision and shape.
    out: str | None = None
    npu: bool = False  # int8: without operators that NPUs refuse, as far as the output stays the same to the bit
    accurate: bool = False  # int8: nearer to float, by channel splitting; takes about 1.14 times as long
    # int8: keep the fewest operations in float with which no more is lost on the calibration images, in dB
    max_drop_db: float | None = number(None, least=0)
    calibration: str | None = None  # int8, int16x8: folder of HR images to learn ranges from; by default data.sample's
    strict: bool = False  # int8, int16x8: an error, not a warning, when these images do not span what photographs hold


def main(config):
    """Writes the .tflite and returns its path. Raises UserError for options that contradict each other."""
    check_fields(config)
    precision, (height, width) = _precision(config), parse_shape(config.shape)
    loaded = source.load(config.weights, variant=config.variant, scale=config.scale)
    model, weights = loaded.model, loaded.path
    check_open_size(height, model)
    variant = ("_mixed" if config.max_drop_db is not None else "") + ("_npu" if config.npu else "")
    name = f"{loaded.name}_x{loaded.scale}_{precision}{variant}{shape_suffix(height, width)}.tflite"
    # Not into the package, where the pretrained weights are.
    folder = pathlib.Path() if weights.parent == pretrained.FOLDER else weights.parent
    out = pathlib.Path(config.out or folder / name)
    logging.info("%s (%s) -> %s", weights, name, out)
    if precision not in converter.CALIBRATED:
        with heartbeat("converting"):
            content = converter.convert(model, precision, height=height, width=width)
    else:
        if not config.calibration:
            logging.info("calibrating on the sample set; --calibration FOLDER takes images like those to upscale")
        pairs = calibration.source(config.calibration, loaded.scale)
        images = converter.calibration_images(pairs, precision, height, width)
        images = list(track(images, "calibration images"))
        if config.max_drop_db is None:
            with heartbeat("converting"):
                content = converter.convert(
                    model, precision, height=height, width=width, images=images, accurate=config.accurate
                )
        else:
            network = folding.fold_value_range(model, batch=None)
            content = _mixed(config, network, pairs, images, height, width)
        upscale = keras_upscalers.from_model(model)
        calibration_check.check_file(content, upscale, pairs, scale=loaded.scale, strict=config.strict)
    if config.npu:
        content = npu.for_npu(content)
    converter.write(content, out, name=f"{loaded.name} x{loaded.scale}, {precision}{variant}")
    print(description.table([out.name], [description.describe(out)]))
    if config.npu:
        print(f"\n{targets.table([out.name], [targets.verdicts(out)])}")
    return out


def _mixed(config, network, pairs, images, height, width):
    """Bytes of the file of --max_drop_db; says what it gains beside int8 alone."""
    quantized = post_training.quantize(network, images, accurate=config.accurate)
    found = mixed_precision.search(quantized, pairs, max_drop_db=config.max_drop_db)
    print(
        f"{len(found.operations)} operations in float ({', '.join(found.operations) or 'none'}): "
        f"{found.loss_db:.4f} dB lost on the calibration images, {found.int8_loss_db:.4f} with none. "
        "tflite/benchmark.py says what they cost in time"
    )
    return converter.convert_quantized(found.quantized, height=height, width=width)


def _precision(config):
    """The precision asked for. Raises UserError for options that would be ignored."""
    if config.int8 and config.precision not in (None, "int8"):
        raise UserError(f"one precision at a time, got --int8 and --precision {config.precision}")
    precision = "int8" if config.int8 else config.precision or "float32"
    for flag, value, takes in (
        ("npu", config.npu, {"int8"}),
        ("accurate", config.accurate, {"int8"}),
        ("max_drop_db", config.max_drop_db is not None, {"int8"}),
        ("calibration", config.calibration is not None, {"int8", "int16x8"}),
        ("strict", config.strict, {"int8", "int16x8"}),
    ):
        if value and precision not in takes:
            raise UserError(f"--{flag} is for {' and '.join(sorted(takes))}, not for {precision}; leave it out")
    if config.npu and config.max_drop_db is not None:
        raise UserError("--npu is for int8 throughout, and --max_drop_db keeps operations in float; leave one out")
    if config.npu and parse_shape(config.shape)[0] is None:
        raise UserError("--npu needs a fixed size; give --shape 1,HEIGHT,WIDTH,3")
    return precision


if __name__ == "__main__":
    command.run(main, ConvertConfig)
