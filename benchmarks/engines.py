"""Inference engines behind one interface, each opened in a process of its own. No TensorFlow here.

open_... is a function (path, threads) -> Engine; the package that it needs is imported there alone. Networks take
float32 RGB 0..255, NCHW but for LiteRT's.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable

import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling import litert

PAUSE_S = 0.05  # before each timed run: some engines' threads spin for milliseconds after theirs


class Unsupported(Exception):
    """An engine can't do what is asked on this processor."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A network opened by an engine, as three functions."""

    prepare: Callable  # uint8 RGB [h, w, 3] -> what run takes
    run: Callable  # that -> what the engine gives; this is timed
    result: Callable  # that -> float32 [h * scale, w * scale, 3], grey levels neither rounded nor clipped


class Session:
    """An engine with a network of fixed size and an image, as timing.Worker keeps it in a process."""

    def __init__(self, opener, path, threads, lr, warmup):
        self._cpu_ms = []
        self._engine = opener(path, threads)
        self._x = self._engine.prepare(lr)
        for _ in range(warmup):
            self._engine.run(self._x)

    def invoke_ms(self):
        """Milliseconds that the network takes for the image, without conversions on either side."""
        time.sleep(PAUSE_S)
        started, cpu = time.perf_counter(), time.process_time()
        self._engine.run(self._x)
        finished = time.perf_counter()
        self._cpu_ms.append(1e3 * (time.process_time() - cpu))
        return 1e3 * (finished - started)

    def cpu_ms(self):
        """Processor time of each run so far, of all threads together: what others do on the machine is not in it."""
        return self._cpu_ms

    def upscale(self, lr):
        """uint8 RGB [h, w, 3] of the network's size -> float32 [h * scale, w * scale, 3]."""
        return self._engine.result(self._engine.run(self._engine.prepare(lr)))


def start(opener, path, threads, lr, warmup):
    """Arguments of Session -> it, and facts for timing.Worker, of which there are none."""
    return Session(opener, path, threads, lr, warmup), {}


def open_litert(path, threads):
    model = litert.Model(path, threads=threads)
    return Engine(prepare=model.load, run=lambda _: model.invoke_ms(), result=lambda _: model.grey_levels())


def open_torch_float32(path, threads):
    return _open_torch(path, threads, "float32")


def open_torch_bfloat16(path, threads):
    return _open_torch(path, threads, "bfloat16")


def _open_torch(path, threads, dtype):
    """A traced network, in channels_last, frozen. Raises Unsupported where PyTorch would emulate bfloat16."""
    import torch

    if dtype == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise Unsupported("no bfloat16 on this processor: PyTorch would emulate it, several times slower than float32")
    torch.set_num_threads(threads)
    like = {"dtype": getattr(torch, dtype), "memory_format": torch.channels_last}
    network = torch.jit.freeze(torch.jit.load(path).to(**like).eval())

    def run(x):
        with torch.inference_mode():
            return network(x)

    return Engine(
        prepare=lambda lr: torch.from_numpy(_nchw(lr)).to(**like), run=run, result=lambda y: _hwc(y.float().numpy())
    )


def open_onnxruntime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would spin on into the next engine's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    return Engine(prepare=_nchw, run=lambda x: session.run(None, {name: x})[0], result=_hwc)


def open_openvino_float32(path, threads):
    return _open_openvino(path, threads, "f32")


def open_openvino_bfloat16(path, threads):
    return _open_openvino(path, threads, "bf16")


def _open_openvino(path, threads, precision):
    """precision: of what is not quantized in the file. Raises Unsupported for bf16 where the processor has none."""
    import openvino

    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("no bfloat16 on this processor")
    compiled = core.compile_model(
        path,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request = compiled.create_infer_request()

    def run(x):
        return request.infer([x], share_inputs=True, share_outputs=True)[0]

    return Engine(prepare=_nchw, run=run, result=_hwc)


def open_ncnn_float32(path, threads):
    return _open_ncnn(path, threads, bfloat16=False)


def open_ncnn_bfloat16(path, threads):
    return _open_ncnn(path, threads, bfloat16=True)


def _open_ncnn(path, threads, *, bfloat16):
    """path: of the .param; the .bin lies beside it. bfloat16: stored so between layers."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_storage = bfloat16
    if network.load_param(path) or network.load_model(str(pathlib.Path(path).with_suffix(".bin"))):
        raise UserError(f"ncnn can't load {path}")

    def prepare(lr):
        x = _nchw(lr)[0]
        return ncnn.Mat(x).clone()  # a Mat does not keep its array alive, its clone needs none

    def run(x):
        extractor = network.create_extractor()
        extractor.input("in0", x)
        return extractor, extractor.extract("out0")[1]  # whose memory is the extractor's

    return Engine(prepare=prepare, run=run, result=lambda y: _hwc(np.array(y[1])[None]))


def _nchw(lr):
    return np.ascontiguousarray(lr.transpose(2, 0, 1)[None], np.float32)


def _hwc(sr):
    """[1, 3, h, w] -> [h, w, 3], a copy: engines write over theirs."""
    return np.ascontiguousarray(sr[0].transpose(1, 2, 0), np.float32).copy()
