import numpy as np
import pytest
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite.quantization.folding import fold_value_range


def test_what_is_linear_becomes_part_of_convolutions(parts, rng):
    model = parts
    folded = fold_value_range(model)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert not kinds & {"Rescaling", "Luma", "BicubicUpscale", "Conv2DTranspose", "LayerNormalization"}
    assert "BatchNormalization" not in kinds
    assert all(len(layer.inbound_nodes) == 1 for layer in folded.layers)
    lr = rng.integers(0, 256, (1, 20, 17, 3)).astype(np.float32)
    wanted = model(lr).numpy()
    # The border too, where a convolution pads black luma or the mean with zeros that are no pixels.
    np.testing.assert_allclose(folded(lr), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (4, 2), (9, 2), (9, 3), (9, 4), (5, 1), (2, 3)])
def test_a_transposed_convolution_is_a_convolution_whose_pixels_are_shuffled(size, stride, rng):
    lr = keras.Input((None, None, 3))
    y = layers.Conv2DTranspose(4, size, stride, padding="same", name="up")(lr)
    model = keras.Model(lr, layers.Conv2D(3, 1)(y))
    x = rng.normal(size=(1, 7, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(fold_value_range(model)(x), model(x), atol=1e-5)


def test_a_transposed_convolution_of_another_size_is_refused():
    lr = keras.Input((None, None, 3))
    model = keras.Model(lr, layers.Conv2DTranspose(3, 4, 2, padding="valid", name="up")(lr))
    with pytest.raises(ValueError, match=r"up: a transposed convolution must be square.*padding 'valid'"):
        fold_value_range(model)


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
