"""MXNet's parameter files (.params) in NumPy: a list of arrays, then one of their names."""

import io
import struct

import numpy as np

from keras_rfdn.data.system.errors import UserError

LIST_MAGIC, ARRAY_MAGIC = 0x112, 0xF993FAC9  # of MXNet 1.0 and later
HEADER = struct.pack("<QQ", LIST_MAGIC, 0)
DTYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")  # by MXNet's number


def recognises(path, head):
    """Whether a file begins as a list of MXNet's arrays."""
    return head.startswith(HEADER)


def read(path):
    """Path -> {name: array}, names as they stand there: "arg:NAME" of weights, "aux:NAME" of batch statistics.

    Raises UserError for a damaged file, and for arrays that are sparse or of an older MXNet.
    """
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read())
    try:
        stream.seek(len(HEADER))
        arrays = [_array(stream) for _ in range(*_unpack(stream, "Q"))]
        names = [_take(stream, *_unpack(stream, "Q")).decode() for _ in range(*_unpack(stream, "Q"))]
        if stream.read(1):
            raise ValueError("more bytes follow the names")
        return dict(zip(names, arrays, strict=True))
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(f"{path} is not a parameter file as MXNet writes it ({error})") from error


def _array(stream):
    magic, storage, axes = _unpack(stream, "IiI")
    if (magic, storage) != (ARRAY_MAGIC, 0):
        raise ValueError(f"need dense arrays of MXNet 1.0 or later, got mark {magic:#x} and storage {storage}")
    shape = _unpack(stream, f"{axes}q")
    _, _, dtype = _unpack(stream, "iii")  # after the device and its number
    dtype = np.dtype(DTYPES[dtype])
    elements = int(np.prod(shape, dtype=object))  # of Python's integers, which do not overflow
    return np.frombuffer(_take(stream, elements * dtype.itemsize), dtype).reshape(shape)


def _unpack(stream, layout):
    return struct.unpack(f"<{layout}", _take(stream, struct.calcsize(f"<{layout}")))


def _take(stream, size):
    """The next bytes, as many as asked for."""
    if size < 0 or len(data := stream.read(size)) < size:
        raise ValueError(f"it ends before {size} bytes that should follow")
    return data
