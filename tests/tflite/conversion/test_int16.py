import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.networks.layers import Contrast, PixelShuffle
from keras_rfdn.tflite.conversion import int16


def for_int16(config, **size):
    """(model, the same for int16, an image) with weights that leave no bias at 0."""
    keras.utils.set_random_seed(0)
    model = models.build(config, batch=1, **size)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    return model, int16.for_int16(model), rng.integers(0, 256, (1, 20, 17, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [{}, {"height": 20, "width": 17}])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_for_int16_shuffles_to_the_bit(scale, size):
    config = ModelConfig("rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=scale)
    model, rewritten, lr = for_int16(config, **size)
    np.testing.assert_array_equal(rewritten(lr), model(lr))
    assert np.std(model(lr)) > 1
    assert PixelShuffle not in map(type, rewritten.layers)
    assert [layer.name for layer in rewritten.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", ["rfdn", "imdn", "msrresnet"])
def test_for_int16_keeps_other_networks(name):
    """CCA, Split, and a shuffle in the middle of features."""
    model, rewritten, lr = for_int16(dataclasses.replace(VARIANTS[name], channels=16, num_blocks=2))
    assert not {PixelShuffle, Contrast} & set(map(type, rewritten.layers))
    # Float32 arithmetic in another order, of numbers up to some hundreds.
    np.testing.assert_allclose(rewritten(lr), model(lr), atol=1e-3 * np.std(model(lr)))


def test_for_int16_wants_one_image_at_a_time():
    config = ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=4, scale=2)
    with pytest.raises(ValueError, match="batch 1"):
        int16.for_int16(models.build(config))
