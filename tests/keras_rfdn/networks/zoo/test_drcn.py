import numpy as np
import pytest

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import variant


@pytest.mark.parametrize("scale", [2, 4])
def test_published_counts(scale):
    c = complexity.of_variant("drcn", scale, *complexity.hd_input(scale))
    biases, ensemble = 5 * 256 - 255, 16
    assert c.parameters == 1_775_121 == 1_774_080 + biases + ensemble  # 1774K in papers are weights alone
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == "17974.3"  # CARN's table


@pytest.fixture(scope="module")
def model():
    return models.build(variant("drcn", 2))


def test_the_inference_layer_begins_as_one_that_passes_its_input_on(model, rng):
    layer = model.get_layer("inference")
    x = rng.normal(0, 1, (1, 5, 6, 256)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), x)


def test_predictions_are_added_up_by_weights(model, rng):
    """Without any detail each prediction is the bicubic image, and so is their sum while the weights' sum is one."""
    lr = rng.uniform(60, 180, (1, 15, 16, 3)).astype(np.float32)
    details, ensemble = model.get_layer("reconstruction.1"), model.get_layer("ensemble")
    details.set_weights([0 * weight for weight in details.get_weights()])
    bicubic = models.keras.Model(model.input, model.get_layer("bicubic").output)(lr) * 255
    np.testing.assert_allclose(model(lr), bicubic, atol=1e-3)
    ensemble.set_weights([ensemble.get_weights()[0] * 0])
    # All luma goes with the weights: 255/219 of it, in each colour.
    change = (bicubic - model(lr)).numpy()
    np.testing.assert_allclose(change.max(-1), change.min(-1), atol=1e-3)
    assert change.min() > 60
