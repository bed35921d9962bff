"""TensorFlow Lite converter: a Keras network to a .tflite file of a given precision."""

import functools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.networks.config import SMALLEST_INPUT
from keras_rfdn.tflite.conversion import file_metadata
from keras_rfdn.tflite.conversion.int16 import for_int16
from keras_rfdn.tflite.conversion.output_range import INT16_STEPS, set_output_to_pixels
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import calibration, simulator
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.simulator import Quantized
from keras_rfdn.upscaling import litert


def float32(converter, images):
    """Float weights and activations."""


def float16(converter, images):
    """Weights stored as float16; computed in float32, or float16 where a delegate has it."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def dynamic(converter, images):
    """Weights in int8 per channel; activations quantized at run time."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def int8(converter, images):
    """Weights and activations in int8 with the ranges that the graph holds (quantization/), nothing in float."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def int8_plain(converter, images):
    """Int8 as the converter does it by default, to compare with: ranges are least and largest values on the images."""
    int8(converter, images)
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def int16x8(converter, images):
    """Weights in int8 per channel, activations in int16 per tensor with ranges from images, nothing in float."""

    def with_largest(image):  # the converter makes the input's scale from its largest value
        image = image[None].astype(np.float32)
        image[0, 0, 0] = np.iinfo(np.int16).max / INT16_STEPS
        return [image]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: map(with_largest, images)
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


def convert(
    model: keras.Model,
    precision: str,
    *,
    height: int | None = None,
    width: int | None = None,
    images: Iterable[np.ndarray] = (),
    accurate: bool = False,
) -> bytes:
    """Convert a functional Keras model, float32 RGB 0..255 in and out, to the bytes of a .tflite file.

    precision: key of PRECISIONS. height, width: the fixed LR size, or None for any. images: of the CALIBRATED only,
    from calibration_images. accurate: int8 only, as for quantize. Input and output are RGB 0..255: float32; for int8
    and int8_plain uint8 with scale 1 and zero point 0; for int16x8 int16 with scale 1/128.
    """
    if precision == "int8":
        quantized = quantize(fold_value_range(model, batch=None), images, accurate=accurate)
        return convert_quantized(quantized, height=height, width=width)
    network = fold_value_range(model, height=height, width=width)
    if precision == "int16x8":
        network = for_int16(network)
    content = _to_tflite(network, precision, images)
    return set_output_to_pixels(content) if precision in ("int8_plain", "int16x8") else content


def convert_quantized(quantized: Quantized, *, height: int | None = None, width: int | None = None) -> bytes:
    """Convert a quantized network to the bytes of an int8 .tflite file, uint8 RGB in and out, scale 1, zero point 0.

    height, width: the fixed LR size, or None for any. Raises StoppedError when the converter left an operation in float
    that is not meant to be.
    """
    network = simulator.for_converter(quantized, (1, height, width, 3))
    content = _to_tflite(network, "int8")
    floats = description.describe(content).float_operators
    if floats and quantized.scheme.leaders.keys() == quantized.ranges.keys():
        raise StoppedError(f"TensorFlow's converter left operations in float: {floats}")
    return content


def calibration_images(pairs, precision: str, height: int | None, width: int | None) -> Iterable[np.ndarray]:
    """What convert calibrates a precision on, uint8 RGB [h, w, 3] each, of (name, lr, hr) items."""
    if precision == "int8":
        return calibration.patches(pairs, count=calibration.PATCHES)
    # A model of open size is calibrated on small mosaics: ranges do not depend on the size, the time does.
    size = (height or 2 * calibration.PATCH, width or 2 * calibration.PATCH)
    return calibration.mosaics(pairs, *size, count=calibration.MOSAICS)


def _to_tflite(network, precision, images=()):
    # Straight from the traced function: from_keras_model would write a SavedModel to disk and read it again first.
    function = tf.function(functools.partial(network, training=False), autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec(network.input_shape, name="lr"))
    # In place of the model itself, of which the converter would trace every layer.
    holder = tf.Module()
    holder.variables_of_model = network.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    PRECISIONS[precision](converter, images)
    return file_metadata.name_signature(converter.convert())


def write(content: bytes, path, *, name: str):
    """Write a .tflite file with metadata, under its path only when LiteRT has loaded it and run it once.

    name: of the network, scale and precision, for people.
    """
    scale = litert.Model(content).scale
    about = f"Super-resolution: enlarges an RGB image {scale} times along each side. Pixels of 0 to 255 in and out."
    content = file_metadata.add_metadata(content, name=name, description=about)
    model = litert.Model(content)
    model.upscale(np.zeros((model.height or SMALLEST_INPUT, model.width or SMALLEST_INPUT, 3), np.uint8))
    with files.atomic_write(path) as partial:
        partial.write_bytes(content)
