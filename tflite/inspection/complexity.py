"""Parameters, multiply-adds and activations of a .tflite file, counted as keras_rfdn.complexity counts."""

import math

from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.complexity import Complexity

CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}  # the last: a 1x1 convolution of a 1x1 map
UNCOUNTED = {"TRANSPOSE_CONV", "CONV_3D", "CONV_3D_TRANSPOSE", "BATCH_MATMUL", "CUSTOM"}


def count(model) -> Complexity:
    """Count a parsed TFLite model (description.parse) of fixed size and batch 1, of any precision.

    Raises UserError for an open size, and for an operator that has multiply-adds but is not counted.
    """
    parameters = convolutions = multiply_adds = leaky = activations = 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            if name in UNCOUNTED:
                raise UserError(f"cannot count {name}; only {', '.join(sorted(CONVOLUTIONS))} and LEAKY_RELU")
            if name not in CONVOLUTIONS | {"LEAKY_RELU"}:
                continue
            output = graph.tensors[operator.outputs[0]]
            if output.shapeSignature is not None and -1 in output.shapeSignature:
                shape = [int(size) for size in output.shapeSignature]
                raise UserError(f"need a TFLite model of fixed size, got {shape} at {output.name.decode()}")
            elements = math.prod(map(int, output.shape))
            if name == "LEAKY_RELU":
                leaky += elements
                continue
            weights, *bias = (graph.tensors[i].shape for i in operator.inputs[1:] if i >= 0)
            parameters += math.prod(map(int, weights)) + sum(math.prod(map(int, shape)) for shape in bias)
            convolutions += 1
            multiply_adds += elements * math.prod(map(int, weights)) // int(output.shape[-1])
            activations += elements
    return Complexity(
        parameters=parameters,
        convolutions=convolutions,
        convolution_multiply_adds=multiply_adds,
        multiply_adds=multiply_adds + leaky,
        activations=activations,
    )
