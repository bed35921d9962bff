import pytest

from keras_rfdn.networks import models
from keras_rfdn.networks.config import variant


@pytest.mark.parametrize(("scale", "levels"), [(2, 1), (3, 2), (4, 2)])
def test_parameters(scale, levels):
    level = (9 * 64 + 64) + 9 * (9 * 64 * 64 + 64) + 4 * 4 * 64 * 4 + 4 * 4 * 4
    assert models.build(variant("lapsrn-tf", scale)).count_params() == levels * level == levels * 337_152
