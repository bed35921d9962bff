"""Reading MATLAB's files, as SciPy writes them."""

import numpy as np
import pytest
import scipy.io

from keras_rfdn.checkpoints import formats
from keras_rfdn.checkpoints.formats import matlab

PLANE = np.arange(6, dtype=np.float64).reshape(2, 3)


def cells(*elements):
    array = np.empty((1, len(elements)), object)
    for index, element in enumerate(elements):
        array[0, index] = element
    return array


@pytest.fixture
def path(tmp_path):
    variables = {
        "plane": PLANE,
        "model": {"weight": cells(PLANE, PLANE[:1].astype(np.float32)), "about": {"rate": 0.5, "author": "someone"}},
        "layers": np.array([[(PLANE, 1.0), (-PLANE, 2.0)]], [("kernel", object), ("bias", object)]),
    }
    scipy.io.savemat(tmp_path / "w.mat", variables, do_compression=True)
    return tmp_path / "w.mat"


def test_structs_and_cells_become_names(path):
    state = formats.read(path)
    expected = {
        "plane": PLANE,
        "model.weight.0": PLANE,
        "model.weight.1": np.array([[0, 1, 2]], np.float32),
        "model.about.rate": np.array([[0.5]]),
        "layers.0.kernel": PLANE,
        "layers.0.bias": np.array([[1.0]]),
        "layers.1.kernel": -PLANE,
        "layers.1.bias": np.array([[2.0]]),
    }
    assert list(state) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array, strict=True)


@pytest.mark.parametrize("left", [60, 130, 200, -5])
def test_a_file_cut_short_is_refused(path, left):
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"w\.mat is not a file as MATLAB writes it"):
        matlab.read(path)


def test_damaged_files_raise_nothing_else(path, read_damaged):
    read_damaged(matlab.read, path, times=100, first=124)
