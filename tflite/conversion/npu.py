"""NPU variant of a TFLite model: the same bytes out, of operators that more accelerators take.

Works on the file, so that shipped ones can be rewritten without TensorFlow and without quantizing again.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.system.errors import UserError

INT8, INT32 = schema.TensorType.INT8, schema.TensorType.INT32
BuiltinOperator = schema.BuiltinOperator


def for_npu(content: bytes) -> bytes:
    """int8 TFLite model of fixed size -> one without DEPTH_TO_SPACE and SQRT, which gives the same bytes.

    DEPTH_TO_SPACE becomes SPLIT, RESHAPE, CONCATENATION and RESHAPE, which only move values. (One-hot TRANSPOSE_CONV
    is exact too, but it computes, takes more time and memory, and Ethos-U55 and U65 take no stride of 3 or 4.) SQRT of
    a [1, 1, 1, c] tensor, that of contrast-aware channel attention, becomes a table in two 1x1 convolutions. All else
    stays, and with it what an accelerator may still refuse: the bilinear resize of enhanced spatial attention has
    fractional factors, and no int8 operators compute it exactly.
    Raises UserError for a model of open size, and for one that isn't int8 there.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
                raise UserError(
                    f"need a TFLite model of fixed size, got {list(map(int, tensor.shapeSignature))} at "
                    f"{tensor.name.decode()}; tflite/reshape.py gives it one"
                )
        operators = []
        for operator in graph.operators:
            name = flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex)
            if name not in REWRITES:
                operators.append(operator)
                continue
            x, y = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
            if x.type != INT8 or y.type != INT8:
                raise UserError(f"need an int8 model, got {name} of {flatbuffer_utils.type_to_name(x.type).lower()}")
            operators += REWRITES[name](_Editor(model, graph), operator, x, y)
        graph.operators = operators
    _drop_unused_codes(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _rows(editor, operator, x, y):
    """Pixel shuffle by rows: channel (i * block + j) * c + k goes to row i and column j of a block, so i is a row."""
    block, quantization = operator.builtinOptions.blockSize, y.quantization
    _, height, width, channels = map(int, x.shape)
    inner = channels // block  # j and k, which lie side by side in the row
    parts = [editor.tensor(f"row_{i}", [1, height, width, inner], quantization) for i in range(block)]
    rows = [editor.tensor(f"wide_row_{i}", [1, height, 1, width * inner], quantization) for i in range(block)]
    joined = editor.tensor("rows", [1, height, block, width * inner], quantization)
    return [
        editor.split(operator.inputs[0], parts),
        *(editor.reshape(part, row) for part, row in zip(parts, rows, strict=True)),
        editor.concatenation(rows, joined, axis=2),
        editor.reshape(joined, operator.outputs[0]),
    ]


def _table(editor, operator, x, y):
    """Two 1x1 convolutions: steps between the input's levels, each -128 or 127, then their weighted sum.

    The channels are laid along the width, so that each convolution takes one value at a time. Where two neighbouring
    levels give the same, there is no step.
    """
    channels = int(np.prod(x.shape))
    if list(x.shape) != [1, 1, 1, channels] or x.quantization.zeroPoint[0] != -128:
        return [operator]  # below another zero point are negative levels, which have no root
    levels = _levels(x, y)  # 256 results, of -128..127
    rises = np.diff(levels)
    steps = np.flatnonzero(rises)
    if np.abs(rises).max() > 127:
        return [operator]
    (x_scale,), (y_scale,) = x.quantization.scale, y.quantization.scale
    (x_zero,), (y_zero,) = map(int, x.quantization.zeroPoint), map(int, y.quantization.zeroPoint)
    row = editor.tensor("sqrt_row", [1, 1, channels, 1], x.quantization)
    # Twice the distance to the middle between two levels is odd, never 0; times 255 it saturates at either end.
    step = editor.tensor("sqrt_steps", [1, 1, channels, len(steps)], _quantization(1.0, -128))
    column = editor.tensor("sqrt_column", [1, 1, channels, 1], y.quantization)
    thresholds = steps - 128  # the last level below the step
    first = editor.convolution(
        row, step, np.full((len(steps), 1, 1, 1), 2, np.int8), 255.0 / float(x_scale),
        2 * (x_zero - thresholds) - 1, "sqrt_steps",
    )  # fmt: skip
    second = editor.convolution(
        step, column, rises[steps].astype(np.int8).reshape(1, 1, 1, -1), float(y_scale) / 255,
        np.array([255 * (levels[0] - y_zero)]), "sqrt_sum",
    )  # fmt: skip
    return [
        editor.reshape(operator.inputs[0], row),
        first,
        second,
        editor.reshape(column, operator.outputs[0]),
    ]


def _levels(x, y):
    """int [256]: what LiteRT's SQRT gives for each int8 value, from a model of that operator alone."""
    small = schema.ModelT()
    small.version, small.description = 3, "sqrt"
    small.buffers = [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = BuiltinOperator.SQRT
    code.version = 2
    small.operatorCodes = [code]
    graph = schema.SubGraphT()
    graph.name, graph.tensors, graph.inputs, graph.outputs = "main", [], [0], [1]
    for name, like in (("x", x), ("y", y)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [1, 1, 1, 256], INT8, 0
        tensor.quantization = like.quantization
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.operators = [operator]
    small.subgraphs = [graph]
    interpreter = Interpreter(
        model_content=bytes(flatbuffer_utils.convert_object_to_bytearray(small)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 1, 256))
    interpreter.invoke()
    return interpreter.get_tensor(1).ravel().astype(int)


def _quantization(scale, zero_point):
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
    quantization.zeroPoint = np.atleast_1d(np.asarray(zero_point, np.int64))
    return quantization


class _Editor:
    """Adds tensors and operators to a graph; each method returns a tensor's index or an operator."""

    def __init__(self, model, graph):
        self.model, self.graph = model, graph

    def tensor(self, name, shape, quantization=None, data=None, dtype=INT8):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.quantization = name.encode(), list(shape), dtype, quantization
        tensor.buffer = 0  # the empty one, of what is computed
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def convolution(self, x, y, weights, scale, bias, name):
        """1x1 CONV_2D. scale: a number, of the weights. bias: integers [out]."""
        kernel = self.tensor(f"{name}_weights", weights.shape, _quantization(scale, 0), weights)
        (x_scale,) = self.graph.tensors[x].quantization.scale
        bias = np.asarray(bias, np.int32)
        offset = self.tensor(f"{name}_bias", bias.shape, _quantization(x_scale * scale, 0), bias, INT32)
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        return self._operator("CONV_2D", 3, [x, kernel, offset], [y], options)

    def split(self, x, parts):
        """SPLIT of the channels."""
        options = schema.SplitOptionsT()
        options.numSplits = len(parts)
        return self._operator("SPLIT", 2, [self.tensor("axis", [], None, np.int32(3), INT32), x], parts, options)

    def concatenation(self, parts, y, *, axis):
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self._operator("CONCATENATION", 2, parts, [y], options)

    def reshape(self, x, y):
        shape = np.array(self.graph.tensors[y].shape, np.int32)
        options = schema.ReshapeOptionsT()
        options.newShape = shape
        return self._operator("RESHAPE", 1, [x, self.tensor("shape", [4], None, shape, INT32)], [y], options)

    def _operator(self, name, version, inputs, outputs, options):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._code(name, version), inputs, outputs
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operator.builtinOptions = options
        return operator

    def _code(self, name, version):
        """Index of an operator code of this version or later, added where there is none."""
        builtin = getattr(BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and code.version >= version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def _drop_unused_codes(model):
    """Compilers read the list of operator codes, and some refuse a file for one that no operator has."""
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    places = {old: new for new, old in enumerate(used)}
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = places[operator.opcodeIndex]


REWRITES = {"DEPTH_TO_SPACE": _rows, "SQRT": _table}
