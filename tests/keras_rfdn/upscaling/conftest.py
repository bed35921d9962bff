import numpy as np
import pytest


@pytest.fixture(scope="session")
def difference():
    """Function (a, b) -> the largest difference of two uint8 images of one shape."""

    def largest(a, b):
        assert a.shape == b.shape
        assert a.dtype == b.dtype == np.uint8
        return int(np.abs(a.astype(int) - b).max())

    return largest
