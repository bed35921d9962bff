"""MATLAB's files (.mat, version 5) in NumPy, read by scipy.io.loadmat."""

import numpy as np
import scipy.io

from keras_rfdn.data.system.errors import UserError


def recognises(path, head):
    """Whether a file begins as those that MATLAB 5 to 7.2 writes; later ones are HDF5."""
    return head.startswith(b"MATLAB 5.0 MAT-file")


def read(path):
    """Path -> {name: array} of all numbers, in the file's order and with MATLAB's shapes of two axes or more.

    A struct's field is "struct.field", an element of a cell array "cell.0" in MATLAB's order, and an element of a
    struct array "struct.0.field". Text and functions are left out. Raises UserError for a damaged file.
    """
    try:
        return {
            name: array
            for variable, value in scipy.io.loadmat(path).items()
            if not variable.startswith("__")  # loadmat's own
            for name, array in _numbers(variable, value)
        }
    except Exception as error:  # whatever the parser met
        raise UserError(f"{path} is not a file as MATLAB writes it ({error})") from error


def _numbers(name, value):
    """(name, array) of each array of numbers in a variable, however deep."""
    if not isinstance(value, np.ndarray):  # the text in a function handle, or a sparse matrix
        return
    if value.dtype.names:
        for index, element in enumerate(value.ravel("F")):
            prefix = name if value.size == 1 else f"{name}.{index}"
            for field in value.dtype.names:
                yield from _numbers(f"{prefix}.{field}", element[field])
    elif value.dtype == object:
        for index, element in enumerate(value.ravel("F")):
            yield from _numbers(f"{name}.{index}", element)
    elif np.issubdtype(value.dtype, np.number):
        yield name, value
