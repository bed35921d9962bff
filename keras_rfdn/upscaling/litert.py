"""LiteRT inference of .tflite files: the only module that knows its interpreter. No TensorFlow here."""

import contextlib
import os
import pathlib
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_rfdn.data.system.errors import UserError, as_user_error
from keras_rfdn.networks.config import SMALLEST_INPUT
from keras_rfdn.upscaling import trial

HALF_OPEN_TILE = 256  # LR pixels of a tile along the side that a model leaves open, where it fixes the other
DTYPES = (np.float32, np.uint8, np.int8, np.int16)


class Model:
    """TFLite model, opened, with one image in, [1, h, w, 3], and a larger one out, [1, h * scale, w * scale, 3].

    path: a file, or its bytes; a file is tried in another process first (trial.check), for some make LiteRT crash, and
    bytes are taken for ours. threads: None for one per core. xnnpack: whether the XNNPACK delegate takes the
    operators that it can, as it does by default in apps; False leaves LiteRT's own kernels.
    Not for use by several threads at a time.

    height, width: the fixed size, or None where the model leaves it open. tile: both, or None where both are open; what
    tiling.parts takes. A size left open must be SMALLEST_INPUT or above.
    scale: output pixels per input pixel, along a side.
    encode: function from a uint8 image to the numbers that the input holds of it.
    input_shape, output_shape: what the file says, -1 where open. input_dtype, output_dtype: NumPy types.

    Raises UserError when the file is missing, is no TFLite model or one that LiteRT can't run, or has not exactly one
    such input and output of float32 (0..255), uint8, int8 or int16.
    """

    def __init__(self, path, *, threads=None, xnnpack=True):
        self.name = "model" if isinstance(path, bytes) else os.fspath(path)
        content = read_bytes(path)
        if not isinstance(path, bytes):
            trial.check(content, self.name)
        self._interpreter = _open(content, self.name, threads, xnnpack)
        self._input = self._only("input", self._interpreter.get_input_details())
        self._output = self._only("output", self._interpreter.get_output_details())
        self.input_shape, self.output_shape = (_shape(d) for d in (self._input, self._output))
        self.input_dtype, self.output_dtype = (np.dtype(d["dtype"]) for d in (self._input, self._output))
        self.height, self.width = (size if size > 0 else None for size in self.input_shape[1:3])
        is_open = self.height is self.width is None
        self.tile = None if is_open else (self.height or HALF_OPEN_TILE, self.width or HALF_OPEN_TILE)
        self.encode = _encoder(self._input)
        self._decode = _decoder(self._output)
        self._size = None
        self.scale = self._measure_scale()

    def upscale(self, lr):
        """uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3]. Raises UserError for a size it does not take."""
        self.load(lr)
        with told_as_user_error(self.name):
            self._interpreter.invoke()
        return self._decode(self._interpreter.get_tensor(self._output["index"])[0])

    def load(self, lr):
        """Put a uint8 RGB image [h, w, 3] into the input, quantized as the model wants it."""
        self._resize(*lr.shape[:2])
        self._interpreter.set_tensor(self._input["index"], self.encode(lr)[None])

    def invoke_ms(self):
        """Milliseconds that the network takes for the image loaded, without conversions on either side."""
        with told_as_user_error(self.name):
            started = time.perf_counter()
            self._interpreter.invoke()
            return 1e3 * (time.perf_counter() - started)

    def grey_levels(self):
        """What the last run gave: float32 [h * scale, w * scale, 3], neither rounded nor clipped."""
        raw = self._interpreter.get_tensor(self._output["index"])[0].astype(np.float32)
        if self.output_dtype == np.float32:
            return raw
        scale, zero_point = _quantization(self._output)
        return (raw - zero_point) * np.float32(scale)

    def _resize(self, height, width):
        """Allocate for a size, unless the last image had it."""
        if self._size == (height, width):
            return
        for size, fixed in ((height, self.height), (width, self.width)):
            # LiteRT itself would run with XNNPACK on smaller images, and give anything.
            if size != fixed if fixed else size < SMALLEST_INPUT:
                raise UserError(f"{self.name} takes no {height}x{width}; resizable.ResizableModel takes any size")
        with told_as_user_error(self.name):
            if -1 in self.input_shape:
                self._interpreter.resize_tensor_input(self._input["index"], [1, height, width, 3])
            self._interpreter.allocate_tensors()
        self._size = height, width

    def _measure_scale(self):
        """Output pixels per input pixel. A model of open size may say only after a run how large its output is."""
        height, width = self.height or SMALLEST_INPUT, self.width or SMALLEST_INPUT
        if min(self.input_shape[1:] + self.output_shape[1:]) < 0:
            shape = self.upscale(np.zeros((height, width, 3), np.uint8)).shape
        else:
            shape = self.output_shape[1:]
        scale = shape[0] // height
        if shape != (height * scale, width * scale, 3):
            raise UserError(f"{self.name} makes {list(shape)} of {height}x{width}, which is no integer factor")
        return scale

    def _only(self, kind, details):
        """The one input or output, checked."""
        shapes = [list(_shape(d)) for d in details]
        if len(details) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3 or shapes[0][0] not in (-1, 1):
            raise UserError(f"{self.name} needs one {kind}, of shape [1, height, width, 3], and has {shapes}")
        if details[0]["dtype"] not in DTYPES:
            accepted = ", ".join(np.dtype(d).name for d in DTYPES)
            raise UserError(f"the {kind} of {self.name} must be {accepted}, got {np.dtype(details[0]['dtype']).name}")
        return details[0]


def read_bytes(model):
    """Path or bytes of a TFLite model -> bytes. Raises UserError when there is no such file or it is no TFLite."""
    if not isinstance(model, bytes):
        path = pathlib.Path(model)
        if not path.is_file():
            raise UserError(f"no file at {path}; make one (python tflite/convert.py) or name another")
        content = path.read_bytes()
    else:
        content = model
    if content[4:8] != b"TFL3":
        raise UserError(
            f"{name_of(model)} is not a TFLite model: it needs the mark TFL3 in bytes 4 to 8, got {content[4:8]!r}"
        )
    return content


def _open(content, name, threads, xnnpack):
    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    threads = threads or os.cpu_count() or 1
    with told_as_user_error(name):
        return Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=resolver)


def told_as_user_error(model: str | os.PathLike | bytes) -> contextlib.AbstractContextManager[None]:
    """Errors of LiteRT, and of whoever reads a graph in Python, as UserError: a damaged file leads to all kinds.

    model: a file's path or bytes, or what it is called in the message.
    """
    return as_user_error(
        lambda error: (
            f"LiteRT can't run {name_of(model)} ({' '.join(str(error).split())}); is it complete, and of built-in "
            f"operators only?"
        )
    )


def name_of(model) -> str:
    """What a TFLite model, its path or bytes, is called in messages."""
    return "this model" if isinstance(model, bytes) else str(model)


def _shape(details):
    """Shape as in the file, -1 where open. An output of open size may hide behind a rank-0 signature."""
    signature = details["shape_signature"]
    return tuple(int(size) for size in (signature if len(signature) else details["shape"]))


def _quantization(details):
    """(scale, zero point) of an integer tensor; without any, its numbers are grey levels as they are."""
    scale, zero_point = details["quantization"]
    return (scale, zero_point) if scale else (1.0, 0)


def _encoder(details):
    """function: grey levels uint8 -> the tensor's dtype, rounded to its nearest value."""
    dtype, grey = details["dtype"], np.arange(256, dtype=np.float32)
    if dtype == np.float32:
        return lambda lr: lr.astype(np.float32)
    scale, zero_point = _quantization(details)
    limits = np.iinfo(dtype)
    table = np.rint(grey / np.float32(scale) + zero_point).clip(limits.min, limits.max).astype(dtype)
    return lambda lr: table[lr]


def _decoder(details):
    """function: the tensor's dtype -> grey levels uint8, rounded and clipped."""
    dtype = details["dtype"]
    if dtype == np.float32:
        return _to_grey
    scale, zero_point = _quantization(details)
    limits, unsigned = np.iinfo(dtype), np.dtype(f"u{np.dtype(dtype).itemsize}")
    values = np.arange(limits.max - limits.min + 1).astype(unsigned).view(dtype)  # in the order that the table is read
    table = _to_grey((values.astype(np.float32) - zero_point) * np.float32(scale))
    return lambda raw: table[raw.view(unsigned)]


def _to_grey(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)
