"""Output range of integer .tflite files: grey levels as they are."""

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.system.errors import UserError

INT16_STEPS = 128  # to a grey level, of an int16x8 file's input and output: 255.99 is then the largest of int16
# (scale, zero point) with which the integers of a type are grey levels, or for int16 a 128th of them.
PIXELS = {"UINT8": (1.0, 0), "INT8": (1.0, -128), "INT16": (1 / INT16_STEPS, 0)}


MOVES = ("QUANTIZE", "DEPTH_TO_SPACE", "RESHAPE", "TRANSPOSE")  # operations that only move values


def set_output_to_pixels(content):
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
        raise UserError(f"the network must end in a convolution or sum for its output to be requantized, not in {last}")
    for index in chain:
        tensor = graph.tensors[index]
        scale, zero_point = PIXELS[flatbuffer_utils.type_to_name(tensor.type)]
        tensor.quantization.scale = np.array([scale], np.float32)
        tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        tensor.quantization.min = tensor.quantization.max = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
