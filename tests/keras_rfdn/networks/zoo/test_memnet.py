import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import variant

NORMALIZED = 1 + 6 * 6 * 2 * 64 + sum(6 + block for block in range(1, 7)) * 64 + 6 * 64  # channels, of all layers


@pytest.mark.slow
def test_published_counts():
    """678K in other papers are the convolutions; their Mult-Adds hold one of the six reconstructions."""
    c = complexity.of_variant("memnet", 4, *complexity.hd_input(4))
    assert c.parameters == 712_779 == 678_209 + 6 + 4 * NORMALIZED
    reconstruction = 9 * 64 * 1280 * 720
    assert (c.convolution_multiply_adds - 5 * reconstruction) / 1e9 == pytest.approx(2662.4, abs=0.05)
    assert c.convolutions == 80 + 5 + 6


def test_recursions_share_convolutions_and_not_normalization():
    model = models.build(variant("memnet", 2))
    assert len([layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]) == 85
    assert len(model.get_layer("conv03_a").inbound_nodes) == 6
    assert model.get_layer("bn_conv_transition_06").input_shape == (None, None, None, 12 * 64)


def test_predictions_are_added_up_by_weights(rng):
    """Without any detail each prediction is the bicubic image, and so is their sum while the weights' sum is one."""
    model = models.build(variant("memnet", 3))
    lr = rng.uniform(60, 180, (1, 15, 16, 3)).astype(np.float32)
    details = model.get_layer("conv_end")
    details.set_weights([0 * weight for weight in details.get_weights()])
    bicubic = keras.Model(model.input, model.get_layer("bicubic").output)(lr) * 255
    np.testing.assert_allclose(model(lr), bicubic, atol=1e-3)
