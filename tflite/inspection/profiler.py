"""Where a .tflite file's time goes, operator by operator, by LiteRT's own profiler: the only module that knows its C
interface, for the Python one has no profiler. No TensorFlow here.

XNNPACK reports each of its kernels, so that this is the run that an app gets, not one of parts cut out of it.
"""

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import pathlib
import statistics

import ai_edge_litert
import numpy as np
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.tflite.inspection import description
from keras_rfdn.upscaling.litert import read_bytes

CPU = 1  # LiteRt's number for that kind of hardware
READ, WRITE = 0, 1  # ways to lock a buffer
# Kinds of events: a whole run (and steps around it), an operator of LiteRT's own, a kernel of a delegate.
WHOLE, OPERATOR, KERNEL = 1, 2, 8
KINDS = {1 << bit for bit in range(9)}


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator as it ran: milliseconds are medians over runs."""

    kernel: str  # as XNNPACK or LiteRT names what ran
    tensor: str  # what the file calls its output; "" where kernels and the file's operators don't pair off
    shape: tuple[int, ...]  # of that output
    delegated: bool
    ms: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """A network as it ran. operators: in the order in which they ran. whole_ms: a run while profiled, its median."""

    operators: tuple[Operator, ...]
    whole_ms: float


def profile(model, image, *, threads, xnnpack=True, warmup=2, rounds=10) -> tuple[Profile, np.ndarray]:
    """Profile a .tflite of fixed size, a path or bytes, and give what the network made of the image.

    image: as the file stores its input (shape, dtype). The result's array is flat, as the file stores its output.
    Raises UserError for a file that is missing, broken or of open size, or that LiteRT can't run.
    """
    content = read_bytes(model)
    graph = description.parse(content, model)
    found = description.describe(content)
    (tensor,) = found.inputs
    if -1 in tensor.shape:
        raise UserError(f"profiling needs a model of fixed size, got input {tensor}; convert with --shape 1,180,320,3")
    with contextlib.ExitStack() as stack:
        session = _Session(stack, content, threads, xnnpack)
        session.write(np.ascontiguousarray(image))
        for _ in range(warmup):
            session.run()
        runs = [session.profiled() for _ in range(rounds)]
        output = session.read(np.dtype(found.outputs[0].dtype))
    whole_ms = statistics.median(max(e.us for e in run if e.kind == WHOLE) for run in runs) / 1e3
    return Profile(tuple(_operators(graph, runs)), whole_ms), output


def _operators(graph, runs):
    """Events of several runs -> Operators, those of a run being the same in each."""
    runs = [[e for e in run if e.kind in (OPERATOR, KERNEL)] for run in runs]
    (names,) = {tuple((e.tag, e.kind) for e in run) for run in runs}
    outputs = _paired(graph, runs[0])
    for i, (tag, kind) in enumerate(names):
        tensor, shape = outputs[i]
        yield Operator(tag, tensor, shape, kind == KERNEL, statistics.median(run[i].us for run in runs) / 1e3)


def _paired(graph, events):
    """(name, shape) of what each event puts out, or ("", ()) for kernels when there is not one for each operator."""
    operators = graph.subgraphs[0].operators
    own = {e.index for e in events if e.kind == OPERATOR and e.index < len(operators)}
    delegated = [op for i, op in enumerate(operators) if i not in own and not _is_dequantize_of_weights(graph, op)]
    kernels = [e for e in events if e.kind == KERNEL]
    pairs = iter(delegated) if len(delegated) == len(kernels) else None
    found = []
    for event in events:
        if event.kind == OPERATOR:
            operator = operators[event.index] if event.index < len(operators) else None
        else:
            operator = next(pairs) if pairs else None
        found.append(_output(graph, operator) if operator else ("", ()))
    return found


def _is_dequantize_of_weights(graph, operator):
    """Whether it makes float32 of stored float16 weights, which XNNPACK does once and for all."""
    name = flatbuffer_utils.opcode_to_name(graph, operator.opcodeIndex)
    data = graph.buffers[graph.subgraphs[0].tensors[operator.inputs[0]].buffer].data
    return name == "DEQUANTIZE" and data is not None


def _output(graph, operator):
    tensor = graph.subgraphs[0].tensors[operator.outputs[0]]
    return tensor.name.decode(), tuple(int(size) for size in tensor.shape)


@dataclasses.dataclass(frozen=True)
class _Event:
    tag: str
    kind: int
    us: int
    index: int  # of the operator in the file, or of the kernel in its delegate


class _RawEvent(ctypes.Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h, as of LiteRT 2.3."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),
        ("index", ctypes.c_uint64),
        ("metadata", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class _Session:
    """A model compiled with profiling on, with its buffers; freed when stack closes."""

    def __init__(self, stack, content, threads, xnnpack):
        self._library = ctypes.CDLL(str(pathlib.Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
        self._stack = stack
        self._content = ctypes.create_string_buffer(content, len(content))  # read for as long as the model lives
        environment = self._new("Environment", ctypes.c_int(0), None)
        model = self._new("Model", environment, self._content, ctypes.c_size_t(len(content)), create="ModelFromBuffer")
        options = self._new("Options")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        mode = "" if xnnpack else 'kernel_mode = "builtin"\n'
        self._payloads = [
            self._add(options, "runtime_options_string", "enable_profiling = true\n"),
            self._add(options, "xnnpack", f"num_threads = {threads}\n{mode}"),
        ]
        self._compiled = self._new("CompiledModel", environment, model, options)
        self._profiler = self._get("CompiledModelGetProfiler", self._compiled)
        subgraph = self._get("GetModelSubgraph", model, ctypes.c_size_t(0))
        self._input, self._output = (self._buffer(kind, environment, subgraph) for kind in ("Input", "Output"))

    def write(self, array):
        with self._locked(self._input, WRITE) as (address, size):
            if array.nbytes != size:
                raise UserError(f"the model's input holds {size} bytes, got {array.nbytes}")
            ctypes.memmove(address, array.ctypes.data, size)

    def read(self, dtype):
        """The output, flat."""
        with self._locked(self._output, READ) as (address, size):
            return np.frombuffer(ctypes.string_at(address, size), dtype)

    def run(self):
        one, index = ctypes.c_size_t(1), ctypes.c_size_t(0)
        inputs, outputs = ((ctypes.c_void_p * 1)(buffer) for buffer in (self._input, self._output))
        self._call("RunCompiledModel", self._compiled, index, one, inputs, one, outputs)

    def profiled(self):
        """Run once -> its _Events."""
        self._call("StartProfiler", self._profiler)
        self.run()
        self._call("StopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        raw = (_RawEvent * (2 * count.value))()  # twice: room for larger events than are known here
        self._call("GetProfilerEvents", self._profiler, count, raw)
        if any(event.kind not in KINDS for event in raw[: count.value]):
            version = importlib.metadata.version("ai-edge-litert")
            raise StoppedError(f"LiteRT {version} lays its events out in another way; profiling is made for 2.3")
        events = [_Event(e.tag.decode(), e.kind, e.us, e.index) for e in raw[: count.value]]
        self._call("ResetProfiler", self._profiler)
        return events

    def _buffer(self, kind, environment, subgraph):
        """A buffer for the only input or output."""
        first = ctypes.c_size_t(0)
        tensor_type = ctypes.create_string_buffer(512)  # LiteRtRankedTensorType: only passed on, and smaller than that
        self._call("GetRankedTensorType", self._get(f"GetSubgraph{kind}", subgraph, first), tensor_type)
        requirements = self._get(f"GetCompiledModel{kind}BufferRequirements", self._compiled, first, first)
        return self._new(
            "TensorBuffer", environment, tensor_type, requirements, create="ManagedTensorBufferFromRequirements"
        )

    @contextlib.contextmanager
    def _locked(self, buffer, mode):
        """Address and size in bytes of a buffer's memory."""
        address, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call("GetTensorBufferPackedSize", buffer, ctypes.byref(size))
        self._call("LockTensorBuffer", buffer, ctypes.byref(address), ctypes.c_int(mode))
        try:
            yield address, size.value
        finally:
            self._call("UnlockTensorBuffer", buffer)

    def _add(self, options, identifier, toml):
        """Adds options in TOML -> what must outlive them."""
        text = ctypes.create_string_buffer(toml.encode())
        deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # Python frees the text
        opaque = self._get("CreateOpaqueOptions", identifier.encode(), ctypes.cast(text, ctypes.c_void_p), deleter)
        self._call("AddOpaqueOptions", options, opaque)
        return text, deleter

    def _new(self, kind, *arguments, create=None):
        """A handle, destroyed when the stack closes."""
        handle = self._get(f"Create{create or kind}", *arguments)
        self._stack.callback(getattr(self._library, f"LiteRtDestroy{kind}"), handle)
        return handle

    def _get(self, function, *arguments):
        handle = ctypes.c_void_p()
        self._call(function, *arguments, ctypes.byref(handle))
        return handle

    def _call(self, function, *arguments):
        status = getattr(self._library, f"LiteRt{function}")(*arguments)
        if status:
            raise UserError(f"LiteRT can't profile this model: LiteRt{function} failed with status {status}")
