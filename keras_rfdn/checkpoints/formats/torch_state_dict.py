"""PyTorch's weight files in NumPy: a state dict as torch.save writes it, read without PyTorch.

Such files are pickles, and a pickle may call any function when it is read. This reader lets one name only what a
state dict of tensors is made of.
"""

import collections
import pickle
import struct
import typing
import zipfile

import numpy as np

from keras_rfdn.data.system.errors import UserError

STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
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
    """Path -> {key: array} of a state dict, in the file's order. No code in the file is run.

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
        (folder,) = (name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl"))
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise UserError(f"need little-endian numbers, got {archive.read(order)}")
        with archive.open(f"{folder}data.pkl") as file:
            tensors = _tensors(_Unpickler(file).load())
        storages = {
            tensor.storage: np.frombuffer(archive.read(f"{folder}data/{tensor.storage[1]}"), tensor.storage[0])
            for tensor in tensors.values()
        }
    return {key: _array(tensor, storages[tensor.storage]) for key, tensor in tensors.items()}


def _read_legacy(path):
    """The format before: pickles one after the other, then the storages in the order of the last pickle's list."""
    with open(path, "rb") as file:
        magic, _, system, state, keys = (_Unpickler(file).load() for _ in range(5))
        if magic != LEGACY_MAGIC or not system["little_endian"]:
            raise UserError("need PyTorch's mark and little-endian numbers")
        tensors = _tensors(state)
        storages = {}
        of_key = {tensor.storage[1]: tensor.storage for tensor in tensors.values()}
        for key in keys:
            dtype, _, elements = of_key[key]
            (stored,) = struct.unpack("<q", file.read(8))
            if stored != elements:
                raise UserError(f"storage {key} has {stored} elements, not {elements}")
            storages[of_key[key]] = np.frombuffer(file.read(elements * np.dtype(dtype).itemsize), dtype)
    return {key: _array(tensor, storages[tensor.storage]) for key, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        # What comes back must be harmless whatever the pickle does to it: a function of ours, a class, a string.
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no plain state dict of tensors needs")

    def persistent_load(self, pid):
        kind, dtype, key, _, elements, *view = pid
        if kind != "storage" or dtype not in STORAGES.values() or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"unknown storage {pid}")
        return dtype, key, elements


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


def _tensors(state):
    if not isinstance(state, dict) or not state:
        raise UserError(f"need a dictionary of tensors, got {type(state).__name__}")
    for key, tensor in state.items():
        if not isinstance(tensor, _Tensor):
            raise UserError(f"need tensors, got {type(tensor).__name__} at {key!r}; is the state dict inside another?")
    return dict(state)


def _array(tensor, storage):
    # Checked because as_strided itself would read beyond the storage.
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.offset, *tensor.strides, *(n - 1 for n in tensor.shape), 0) < 0 or last >= storage.size:
        raise UserError(f"{tensor} lies outside its storage of {storage.size} elements")
    strides = [s * storage.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
