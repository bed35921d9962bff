"""What a .tflite file costs, counted as keras_rfdn.complexity counts a Keras model:

python tflite/inspection/complexity.py MODEL.tflite...
"""

import dataclasses
import math

import simple_parsing
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.complexity import Complexity
from keras_rfdn.tflite.inspection import description

CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}  # the last: a 1x1 convolution of a 1x1 map
UNCOUNTED = {"TRANSPOSE_CONV", "CONV_3D", "CONV_3D_TRANSPOSE", "BATCH_MATMUL", "CUSTOM"}


@dataclasses.dataclass(frozen=True)
class ComplexityConfig:
    """Count parameters, multiply-adds, activations and convolutions of TFLite files."""

    models: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="MODEL.tflite")


def main(config):
    """Prints a table and returns {path: Complexity}."""
    results = {path: count(path) for path in config.models}
    rows = [
        [path, f"{c.parameters:,}", c.convolutions, f"{c.multiply_adds / 1e9:.2f}", f"{c.activations / 1e6:.2f}"]
        for path, c in results.items()
    ]
    print("G, M: multiply-adds and activations of one run")
    print(text_table(["", "parameters", "convolutions", "G", "M"], rows))
    return results


def count(model):
    """Path or bytes of a TFLite model of fixed size and batch 1, of any precision -> Complexity."""
    model = description.parse(description.read_bytes(model), model)
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


if __name__ == "__main__":
    command.run(main, ComplexityConfig)
