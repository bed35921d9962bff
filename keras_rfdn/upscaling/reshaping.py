"""Reshaping of TFLite models: another input size, without TensorFlow and without quantizing again."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling import litert

PROBE = 17, 19  # LR pixels for which an open model works out its sizes; primes, so that a multiple is seen as one


def reshape(content: bytes, height: int, width: int) -> bytes:
    """TFLite model with one input [1, h, w, 3] of any size, fixed or open -> the same for [1, height, width, 3] alone.

    A resize inside the network, such as that of ESA, gets the size that it needs as a constant, whether the file works
    it out from its input (SHAPE and SLICE) or has one for its own size: CompiledModel, LiteRT.js and the compilers of
    NPUs take no other. Weights and quantization stay as they are.
    Raises UserError for a graph that holds its size in another way, so that LiteRT can't allocate it for this one, and
    for a damaged one.
    """
    with litert.told_as_user_error(content):
        return _reshaped(content, height, width)


def _reshaped(content, height, width):
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    lr = graph.tensors[graph.inputs[0]]
    signature = lr.shape if lr.shapeSignature is None else lr.shapeSignature
    is_open = min(signature) < 0
    base = PROBE if is_open else tuple(signature[1:3])
    resizes = [
        operator
        for operator in graph.operators
        if flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex).startswith("RESIZE_")
    ]
    if resizes:
        sizes = _run(content, PROBE, [resize.inputs[1] for resize in resizes]) if is_open else None
        for resize in resizes:
            size = sizes[resize.inputs[1]] if is_open else _constant(model, graph, resize.inputs[1])
            if any(old % side for old, side in zip(size, base, strict=True)):
                raise UserError(f"a resize to {list(size)} for an input of {list(base)} is no multiple; can't reshape")
            new = [old // side * wanted for old, side, wanted in zip(size, base, (height, width), strict=True)]
            resize.inputs = [resize.inputs[0], _add_constant(model, graph, np.array(new, np.int32))]
    _drop_unused(graph)
    for tensor in graph.tensors:
        tensor.shapeSignature = None  # of open sizes
    lr.shape = [1, height, width, 3]
    shapes = _allocate(flatbuffer_utils.convert_object_to_bytearray(model), height, width)
    for index, tensor in enumerate(graph.tensors):
        if index in shapes and not len(_data(model, tensor)):
            tensor.shape = shapes[index]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _run(content, size, tensors):
    """{tensor: its values} after a run on a black image of a size."""
    interpreter = Interpreter(
        model_content=content, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, *size, 3])
    interpreter.allocate_tensors()
    interpreter.invoke()
    return {tensor: interpreter.get_tensor(tensor) for tensor in tensors}


def _allocate(content, height, width):
    """{tensor: its shape} as LiteRT works them out."""
    interpreter = Interpreter(
        model_content=bytes(content), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise UserError(
            f"the model holds its size in its graph, and can't be reshaped to {height}x{width}: {error}"
        ) from error
    return {details["index"]: details["shape"].tolist() for details in interpreter.get_tensor_details()}


def _drop_unused(graph):
    """Drop operators whose results nothing takes, from the last to the first."""
    used, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if used.intersection(operator.outputs):
            used.update(operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]


def _data(model, tensor):
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else data


def _constant(model, graph, index):
    return np.frombuffer(bytes(_data(model, graph.tensors[index])), np.int32)


def _add_constant(model, graph, values):
    """Index of a new int32 tensor."""
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.name, tensor.type, tensor.shape, tensor.buffer = "size", schema.TensorType.INT32, [2], len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
