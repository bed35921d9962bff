import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import ZOO, variant

LARGE = {"drrn", "memnet", "carn", "carn-m", "rlfn", "bsrn", "lkdn", "efdn"}


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in ZOO])
def test_keras_loads_a_saved_model(tmp_path, rng, name, suffix):
    model = models.build(variant(name, 3))
    model.save(tmp_path / f"m.{suffix}")
    loaded = keras.models.load_model(tmp_path / f"m.{suffix}", compile=False)
    lr = rng.uniform(0, 255, (1, 15, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(lr), model(lr))
