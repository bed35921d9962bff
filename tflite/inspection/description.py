"""Description of a .tflite file: operators, types, sizes, quantization."""

import collections
import dataclasses
import struct

from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.complexity import Complexity
from keras_rfdn.tflite.inspection import complexity
from keras_rfdn.upscaling.litert import name_of, read_bytes, told_as_user_error

FLOATS = {"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output. shape: -1 where open. scale, zero_point: of a quantized tensor, else None."""

    name: str
    dtype: str  # as NumPy names it
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None

    def __str__(self):
        quantization = "" if self.scale is None else f", scale {self.scale:.6g}, zero point {self.zero_point}"
        return f"{self.dtype} {list(self.shape)}{quantization}"


@dataclasses.dataclass(frozen=True)
class Description:
    """A TFLite model, all subgraphs together. The dictionaries count, the most frequent first."""

    size_bytes: int
    operators: dict[str, int]  # by name: CONV_2D, ...; a custom operator's own name
    float_operators: dict[str, int]  # those that read or write a float tensor of any width
    constants: dict[str, int]  # tensors stored in the file (weights, biases, shapes), by dtype
    activations: dict[str, int]  # tensors computed at run time, by dtype
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    complexity: Complexity | None  # None for a model of open size, or with operators that are not counted


def parse(content, model):
    """Bytes of a TFLite model -> flatbuffer_utils' object of it. model: its path or bytes, for the error's sake.

    Raises UserError when it is cut short.
    """
    try:
        return flatbuffer_utils.read_model_from_bytearray(content)
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise UserError(f"{name_of(model)} is a broken TFLite model ({error}); is it whole?") from error


def table(names, descriptions):
    """Text with a column for each model: size, types and quantization, then operators, with how many touch floats."""
    summary = {
        "size, kB": lambda d: f"{d.size_bytes / 1000:.1f}",
        "input": lambda d: _join(d.inputs),
        "output": lambda d: _join(d.outputs),
        "constants": lambda d: _join(f"{n} {dtype}" for dtype, n in d.constants.items()),
        "activations": lambda d: _join(f"{n} {dtype}" for dtype, n in d.activations.items()),
        "parameters": lambda d: f"{d.complexity.parameters:,}" if d.complexity else "not counted",
        "multiply-adds, G": lambda d: f"{d.complexity.multiply_adds / 1e9:.2f}" if d.complexity else "not counted",
        "operators": lambda d: _with_floats(sum(d.operators.values()), sum(d.float_operators.values())),
    }
    rows = [[label, *map(cell, descriptions)] for label, cell in summary.items()]
    for name in dict.fromkeys(name for d in descriptions for name in d.operators):
        rows.append(
            [
                f"  {name}",
                *(_with_floats(d.operators.get(name, 0), d.float_operators.get(name, 0)) for d in descriptions),
            ]
        )
    return text_table(["", *names], rows)


def _join(parts):
    return "; ".join(map(str, parts))


def _with_floats(count, floats):
    return f"{count} ({floats} float)" if floats else str(count)


def describe(model):
    """Path or bytes of a TFLite model -> Description. Raises UserError when it is missing, no TFLite or cut short."""
    content = read_bytes(model)
    graph = parse(content, model)
    with told_as_user_error(model):  # parsed, but its numbers may be wrong
        return _described(content, graph)


def _described(content, graph):
    operators = [
        (operator_name(graph, operator), any(_dtype(t) in FLOATS for t in _tensors(subgraph, operator)))
        for subgraph in graph.subgraphs
        for operator in subgraph.operators or []
    ]
    tensors = [(bool(stored_bytes(graph, t)), _dtype(t)) for subgraph in graph.subgraphs for t in subgraph.tensors]
    main_graph = graph.subgraphs[0]
    return Description(
        size_bytes=len(content),
        operators=_count(name for name, _ in operators),
        float_operators=_count(name for name, touches_float in operators if touches_float),
        constants=_count(dtype for stored, dtype in tensors if stored),
        activations=_count(dtype for stored, dtype in tensors if not stored),
        inputs=tuple(parse_tensor(main_graph.tensors[i]) for i in main_graph.inputs),
        outputs=tuple(parse_tensor(main_graph.tensors[i]) for i in main_graph.outputs),
        complexity=_complexity(graph),
    )


def _complexity(graph):
    try:
        return complexity.count(graph)
    except UserError:
        return None


def _count(names):
    return dict(collections.Counter(sorted(names)).most_common())


def operator_name(graph, operator):
    """CONV_2D, ...; of a custom operator its own name. graph: of parse."""
    name = flatbuffer_utils.opcode_to_name(graph, operator.opcodeIndex)
    return graph.operatorCodes[operator.opcodeIndex].customCode.decode() if name == "CUSTOM" else name


def _tensors(subgraph, operator):
    """Inputs and outputs of an operator; -1 stands for an optional input left out."""
    return [subgraph.tensors[i] for i in [*operator.inputs, *operator.outputs] if i >= 0]


def _dtype(tensor):
    return flatbuffer_utils.type_to_name(tensor.type).lower()


def stored_bytes(graph, tensor):
    """Bytes in the file of a flatbuffer's tensor; 0 for one that is computed."""
    data = graph.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def parse_tensor(tensor):
    """Flatbuffer's tensor -> Tensor."""
    q = tensor.quantization
    quantized = q is not None and q.scale is not None and len(q.scale)
    shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return Tensor(
        name=tensor.name.decode(),
        dtype=_dtype(tensor),
        shape=tuple(int(size) for size in shape),
        scale=float(q.scale[0]) if quantized else None,
        zero_point=int(q.zeroPoint[0]) if quantized else None,
    )
