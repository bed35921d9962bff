"""Trained weights -> TFLite:

python tflite/convert.py --int8                        the newest run, fully integer, uint8 pixels in and out
python tflite/convert.py --int16x8                     integer too, activations of 16 bits, for NPUs
python tflite/convert.py --float16 --weights FILE      half-size weights
"""

import dataclasses
import itertools
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging
from ai_edge_litert.tools import flatbuffer_utils

from data import files
from keras_rfdn import checkpoint, command, shipped
from keras_rfdn.config import SMALLEST_INPUT, name_of
from tflite import benchmark, calibration, describe, mixed, quantize, rewrite, runtime


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
    variant: str | None = None  # a row of keras_rfdn.config.VARIANTS
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


def float32(converter, frames):
    """Float weights and activations."""


def float16(converter, frames):
    """Weights stored as float16; computed in float32, or float16 where a delegate has it."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def dynamic(converter, frames):
    """Weights in int8 per channel; activations quantized at run time."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def int8(converter, frames):
    """Weights and activations in int8 with the ranges that the graph holds (quantize.quantize), nothing in float."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def int8_plain(converter, frames):
    """Weights in int8 per channel, activations in int8 per tensor with least and largest values of frames as ranges."""
    int8(converter, frames)
    converter.representative_dataset = lambda: ([frame[None].astype(np.float32)] for frame in frames)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


INT16_STEPS = 128  # to a grey level, of an int16x8 file's input and output: 255.99 is then the largest of int16


def int16x8(converter, frames):
    """Weights in int8 per channel, activations in int16 per tensor with ranges from frames, nothing in float."""

    def ranged(frame):  # the converter makes the input's scale from its largest value
        frame = frame[None].astype(np.float32)
        frame[0, 0, 0] = np.iinfo(np.int16).max / INT16_STEPS
        return [frame]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: map(ranged, frames)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int16  # the converter has no uint8 here


PRECISIONS = {
    "float32": float32,
    "float16": float16,
    "dynamic": dynamic,
    "int8": int8,
    "int8_plain": int8_plain,
    "int16x8": int16x8,
}
CALIBRATED = {"int8", "int8_plain", "int16x8"}


def convert(model, config, precision, *, height=None, width=None, frames=(), exact_skip=False, twice=()):
    """Keras model from models.build(config) -> bytes of a TFLite file.

    precision: key of PRECISIONS. height, width: the fixed LR size, or None for any. frames: of the CALIBRATED only,
    uint8 RGB each, [height, width, 3] but for int8. exact_skip, twice: int8 only, as for quantize.quantize. Input and
    output are RGB 0..255: float32; for int8 and int8_plain uint8 with scale 1 and zero point 0; for int16x8 int16 with
    scale 1/128.
    """
    network = folded = rewrite.fold_value_range(model, config, height=height, width=width)
    if precision == "int8":
        network = quantize.quantize(folded, frames, exact_skip=exact_skip, twice=twice).network()
    elif precision == "int16x8":
        network = folded = rewrite.for_int16(folded)
    return to_tflite(network, folded, precision, frames)


def to_tflite(network, model, precision, frames=()):
    """Function of float32 LR images -> bytes of a TFLite file.

    network: model itself, or a function made of its layers and of its input shape. precision, frames: as for convert.
    """
    # Straight from the traced function: from_keras_model would write a SavedModel to disk and read it again first.
    traced = tf.function(network, autograph=False).get_concrete_function(tf.TensorSpec(model.input_shape, name="lr"))
    # In place of the model itself, of which the converter would trace every layer.
    holder = tf.Module()
    holder.variables_of_model = model.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    PRECISIONS[precision](converter, frames)
    content = converter.convert()
    return pixels_out(content) if precision in ("int8_plain", "int16x8") else content


# (scale, zero point) with which the integers of a type are grey levels, or for int16 a 128th of them.
PIXELS = {"UINT8": (1.0, 0), "INT8": (1.0, -128), "INT16": (1 / INT16_STEPS, 0)}
MOVES = ("QUANTIZE", "DEPTH_TO_SPACE", "RESHAPE", "TRANSPOSE")  # operations that only move values


def pixels_out(content):
    """An integer TFLite model -> the same with an output of the scale and zero point in PIXELS.

    The converter makes the output's range from calibration, overshoot below 0 and above 255 included, and would spend
    codes on values that no pixel can have. Its last convolution or sum may requantize to any range and saturates at
    the range's ends, which is the clipping to 0..255 that an image needs anyway.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    (graph,) = model.subgraphs
    (output,) = graph.outputs
    producer = {index: op for op in graph.operators for index in op.outputs}
    chain = [output]  # back from the output
    while flatbuffer_utils.opcode_to_name(model, producer[chain[-1]].opcodeIndex) in MOVES:
        chain.append(producer[chain[-1]].inputs[0])
    last = flatbuffer_utils.opcode_to_name(model, producer[chain[-1]].opcodeIndex)
    if last not in ("CONV_2D", "ADD"):
        raise ValueError(
            f"the network must end in a convolution or sum for its output to be requantized, not in {last}"
        )
    for index in chain:
        tensor = graph.tensors[index]
        scale, zero_point = PIXELS[flatbuffer_utils.type_to_name(tensor.type)]
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        tensor.quantization.min = tensor.quantization.max = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def main(config):
    """Writes the .tflite and returns its path."""
    precision, (height, width) = _precision(config), size_of(config.shape)
    weights = checkpoint.resolve(config.weights, variant=config.variant, scale=config.scale)
    model, model_config = checkpoint.load(weights)
    mixes = config.float_ops is not None or config.max_drop_db is not None
    name = f"{name_of(model_config)}_x{model_config.scale}_{precision}{'_mixed' if mixes else ''}"
    # Not into the package, where the shipped weights are.
    folder = pathlib.Path() if weights.parent == shipped.FOLDER else weights.parent
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
    print(describe.table([out.name], [describe.describe(out)]))
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


def write(content, path):
    """Bytes of a TFLite file -> a file, under its name only when LiteRT has loaded it and run it once."""
    runtime.Model(content)  # opens, allocates and runs
    with files.whole(path) as partial:
        partial.write_bytes(content)


def _precision(config):
    named = [precision for precision in PRECISIONS if getattr(config, precision, False)]
    if len(named) > 1:
        raise ValueError(f"one precision at a time, got {' '.join(f'--{n}' for n in named)}")
    if (config.exact_skip or config.twice) and named != ["int8"]:
        raise ValueError("--exact_skip and --twice are for --int8 alone; leave them out or add --int8")
    limits = [limit for limit in (config.float_ops, config.max_drop_db) if limit is not None]
    if limits and named != ["int8"]:
        raise ValueError("--float_ops and --max_drop_db are for --int8 alone; leave them out or add --int8")
    if len(limits) > 1 or any(limit < 0 for limit in limits):
        raise ValueError("one of --float_ops and --max_drop_db, of 0 or more; the other follows")
    return named[0] if named else "float32"


def size_of(shape):
    """ "1,180,320,3" -> (180, 320); "dynamic" -> (None, None)."""
    if shape == "dynamic":
        return None, None
    try:
        batch, height, width, channels = (int(size) for size in shape.split(","))
    except ValueError:
        batch = None
    if batch != 1 or channels != 3 or min(height, width) < SMALLEST_INPUT:
        raise ValueError(
            f"--shape must be dynamic or 1,HEIGHT,WIDTH,3 in LR pixels, {SMALLEST_INPUT} or more each, got {shape}"
        )
    return height, width


def suffix(height, width):
    return "_dynamic" if height is None else f"_{height}x{width}"


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
