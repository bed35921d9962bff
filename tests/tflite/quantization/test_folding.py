import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.folding import fold_residuals, fold_value_range


@pytest.mark.parametrize("attention", ["esa", "cca"])
@pytest.mark.parametrize("scale", [2, 3])
def test_fold_value_range_keeps_the_function(attention, scale, rng):
    config = ModelConfig("rfdb", channels=8, num_blocks=2, attention=attention, reduction=4, scale=scale)
    keras.utils.set_random_seed(0)
    model = models.build(config)
    model.set_weights([w + rng.normal(0, 0.05, w.shape) for w in model.get_weights()])
    folded = fold_value_range(model, height=20, width=17)
    assert not [layer for layer in folded.layers if isinstance(layer, keras.layers.Rescaling)]
    assert folded.input_shape == (1, 20, 17, 3)
    lr = rng.integers(0, 256, (1, 20, 17, 3)).astype(np.float32)
    # float32 arithmetic in another order: some 1e-6 of the output's range.
    np.testing.assert_allclose(folded(lr), model(lr), atol=2e-3)
    assert np.std(model(lr)) > 1


def test_folding_residuals_is_exact_and_leaves_no_srb(network, family, assert_same_function):
    model = network(family)
    result = fold_residuals(model)
    assert_same_function(result, model)
    names = [layer.name for layer in result.layers if isinstance(layer, keras.layers.Add)]
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    srbs = sum(any(p.name.endswith("_r") for p in graph.parents(layer)) for layer in sums)
    assert len(names) == len(sums) - srbs
