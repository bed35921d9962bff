"""PyTorch's weight files in NumPy: a state dict as torch.save writes it, read without PyTorch.

Such files are pickles, and a pickle may call any function when it is read. Here one gets only what a state dict of
tensors is made of, and for whatever else it names a class that does nothing, so that what a training saved beside its
weights can be passed over.
"""

import collections
import math
import os
import pickle
import struct
import typing
import zipfile

import numpy as np

from keras_rfdn.data.system.errors import UserError

STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip
WRAPPERS = ("params_ema", "params", "state_dict")  # where a saved training keeps its state dict; the first there is
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # of files written before PyTorch 1.6, as the released weights are


class _Tensor(typing.NamedTuple):
    """A view of a storage; offset and strides in elements."""

    storage: tuple[str, str, int]  # dtype, key, elements
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def recognises(path, head):
    """Whether a file's first bytes are a zip file's or a pickle's, as torch.save writes."""
    return head.startswith((b"PK", b"\x80"))


def read(path):
    """Path -> {key: array} of a state dict, in the file's order, or of that under one of WRAPPERS. No code in the file
    is run.

    Raises UserError for anything but a state dict of tensors.
    """
    try:
        state = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except FileNotFoundError as error:
        raise UserError(f"no file at {path}") from error
    except Exception as error:  # a broken pickle can raise nearly anything
        raise UserError(f"{path} is not a state dict as torch.save writes it ({error})") from error
    return state


def _read_zip(path):
    """The format since PyTorch 1.6: a pickle and a file for each storage."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > os.path.getsize(path):
            raise UserError("it is packed, as torch.save packs nothing: a small file could fill the memory")
        (folder,) = (name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl"))
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise UserError(f"need little-endian numbers, got {archive.read(order)}")
        with archive.open(f"{folder}data.pkl") as file:
            tensors = _tensors(_Unpickler(file).load())
        storages = {
            tensor.storage: np.frombuffer(archive.read(f"{folder}data/{tensor.storage[1]}"), _dtype(tensor.storage))
            for tensor in tensors.values()
        }
    return {key: _array(tensor, storages[tensor.storage]) for key, tensor in tensors.items()}


def _read_legacy(path):
    """The format before: pickles one after the other, then the storages in the order of the last pickle's list."""
    with open(path, "rb") as file:
        magic, _, system = (_Unpickler(file).load() for _ in range(3))
        if magic != LEGACY_MAGIC or not system["little_endian"]:
            raise UserError("need PyTorch's mark and little-endian numbers")
        unpickler = _Unpickler(file)
        tensors = _tensors(unpickler.load())
        storages = {}
        for key in _Unpickler(file).load():
            storage = unpickler.storages[key]
            elements = storage[2]
            (stored,) = struct.unpack("<q", file.read(8))
            if stored != elements:
                raise UserError(f"storage {key} has {stored} elements, not {elements}")
            dtype = _dtype(storage)
            storages[storage] = np.frombuffer(file.read(elements * dtype.itemsize), dtype)
    return {key: _array(tensor, storages[tensor.storage]) for key, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """storages: {key: (dtype, key, elements)} of all storages that a pickle names."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        # What comes back must be harmless whatever the pickle does to it: a function of ours, a class, a string.
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        return type(f"{module}.{name}", (_Foreign,), {})

    def persistent_load(self, pid):
        if pid[0] == "module":  # a class with its source, in the older format
            return pid[1]
        kind, dtype, key, _, elements, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"unknown storage {pid}")
        self.storages[key] = dtype, key, elements
        return dtype, key, elements


class _Foreign:
    """Stands for what a pickle names and no state dict of tensors needs: takes whatever it is given, and does nothing.
    Its class has the name.
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def ignore(self, *args):
        pass

    __init__ = __setstate__ = __setitem__ = append = extend = add = ignore


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_):
    return tensor


def _tensors(state):
    """{key: _Tensor} of what a pickle gave: a state dict, or one in a wrapper."""
    if isinstance(state, dict):
        state = next((state[name] for name in WRAPPERS if isinstance(state.get(name), dict)), state)
    if not isinstance(state, dict) or not state:
        raise UserError(f"need a dictionary of tensors, got {_kind(state)}")
    for key, tensor in state.items():
        if not isinstance(tensor, _Tensor):
            raise UserError(
                f"need tensors, got {_kind(tensor)} at {key!r}; a state dict inside another is read from "
                f"{', '.join(WRAPPERS)} only"
            )
    return dict(state)


def _dtype(storage):
    if storage[0] not in STORAGES.values():
        raise UserError(f"need storages of {', '.join(STORAGES)}, got {_kind(storage[0])}")
    return np.dtype(storage[0])


def _kind(value):
    """What a value is, in words."""
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    foreign = isinstance(value, _Foreign) or (isinstance(value, type) and issubclass(value, _Foreign))
    return f"a thing that it names {name}, which no state dict is made of" if foreign else name


def _array(tensor, storage):
    # Checked because as_strided itself would read beyond the storage.
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if math.prod(tensor.shape) > storage.size:  # one number stands for many: a small file could fill the memory
        raise UserError(f"{tensor} has more elements than its storage, {storage.size}")
    if min(tensor.offset, *tensor.strides, *(n - 1 for n in tensor.shape), 0) < 0 or last >= storage.size:
        raise UserError(f"{tensor} lies outside its storage of {storage.size} elements")
    strides = [s * storage.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
