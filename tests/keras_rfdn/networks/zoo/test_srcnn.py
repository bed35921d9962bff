import numpy as np
import pytest

from keras_rfdn.networks import complexity
from keras_rfdn.networks.config import SCALES
from keras_rfdn.networks.zoo.srcnn import ReplicationPadding


@pytest.mark.parametrize("scale", SCALES)
def test_published_counts(scale):
    c = complexity.of_variant("srcnn", scale, *complexity.hd_input(scale))
    weights = 9 * 9 * 64 + 64 * 5 * 5 * 32 + 32 * 5 * 5
    assert c.parameters == 57_281 == weights + 64 + 32 + 1
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == "52.7"  # CARN's table


@pytest.mark.parametrize("margin", [1, 2, 4, 9])
def test_outermost_pixels_are_repeated(margin):
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    padded = ReplicationPadding(margin)(x).numpy()
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)], "edge"))
