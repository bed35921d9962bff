"""TensorFlow Lite converter: a Keras model to a .tflite file of a given precision."""

import numpy as np
import tensorflow as tf

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT
from keras_rfdn.tflite.conversion.output_range import INT16_STEPS, pixels_out
from keras_rfdn.tflite.quantization import quantize, rewrite
from keras_rfdn.upscaling import litert


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


def write(content, path):
    """Bytes of a TFLite file -> a file, under its name only when LiteRT has loaded it and run it once."""
    litert.Model(content)  # opens, allocates and runs
    with files.atomic_write(path) as partial:
        partial.write_bytes(content)


def size_of(shape):
    """ "1,180,320,3" -> (180, 320); "dynamic" -> (None, None)."""
    if shape == "dynamic":
        return None, None
    try:
        batch, height, width, channels = (int(size) for size in shape.split(","))
    except ValueError:
        batch = None
    if batch != 1 or channels != 3 or min(height, width) < SMALLEST_INPUT:
        raise UserError(
            f"--shape must be dynamic or 1,HEIGHT,WIDTH,3 in LR pixels, {SMALLEST_INPUT} or more each, got {shape}"
        )
    return height, width


def suffix(height, width):
    return "_dynamic" if height is None else f"_{height}x{width}"
