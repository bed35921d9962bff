"""Every variant comes back from every file format, in either precision, for any batch and size."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.networks import models
from keras_rfdn.networks.config import SCALES, VARIANTS

# Together these have every layer class and network; the other rows take minutes.
QUICK = {"e-rfdn", "imdn", "msrresnet"}
ROWS = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in VARIANTS]
)


def tiny(name, scale=4):
    """A row of VARIANTS with 8 channels and 2 blocks."""
    row = VARIANTS[name]
    return dataclasses.replace(row, channels=8, num_blocks=2, reduction=min(row.reduction, 4), scale=scale)


@functools.cache
def tiny_model(name):
    keras.utils.set_random_seed(1)
    return models.build(tiny(name))


def image(height=16, width=17, batch=1):
    return np.random.default_rng(0).uniform(0, 255, (batch, height, width, 3)).astype(np.float32)


@ROWS
def test_keras_file(tmp_path, name):
    model = tiny_model(name)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded(image()), model(image()))


@ROWS
def test_weight_file(tmp_path, name):
    model = tiny_model(name)
    checkpoint.save(model, tiny(name), tmp_path / "w.h5", step=3)
    loaded, config = checkpoint.load(tmp_path / "w.h5")
    assert config == tiny(name)
    assert checkpoint.about(tmp_path / "w.h5")[1] == {"step": 3}
    np.testing.assert_array_equal(loaded(image()), model(image()))


@ROWS
def test_saved_model(tmp_path, name):
    """As TensorFlow alone loads it, without Keras or this package; sizes and batch stay open."""
    model = tiny_model(name)
    model.export(tmp_path / "m")
    loaded = tf.saved_model.load(tmp_path / "m")
    for lr in (image(), image(19, 15, batch=2)):
        np.testing.assert_allclose(loaded.serve(lr), model(lr), atol=1e-3)


@ROWS
def test_saved_model_of_keras(tmp_path, name):
    model = tiny_model(name)
    model.save(tmp_path / "m", save_format="tf")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m")(image()), model(image()), atol=1e-3)


@ROWS
def test_float16(name):
    """Half precision inside, float32 variables and images; near the float32 result, of which a level is 1/255."""
    model = tiny_model(name)
    half = models.build(tiny(name), precision="float16")
    half.set_weights(model.get_weights())
    assert {w.dtype for w in half.weights} == {tf.float32}
    assert "float16" in {layer.compute_dtype for layer in half.layers}
    assert half(image()).dtype == tf.float32
    difference = np.abs(half(image()).numpy() - model(image()).numpy())
    assert 0 < difference.max() < 1


@pytest.mark.parametrize("name", sorted(QUICK))
def test_float16_comes_back_as_float16(tmp_path, name):
    half = models.build(tiny(name), precision="float16")
    half.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [layer.compute_dtype for layer in loaded.layers] == [layer.compute_dtype for layer in half.layers]
    np.testing.assert_array_equal(loaded(image()), half(image()))


@ROWS
@pytest.mark.parametrize(("height", "width"), [(15, 15), (17, 23), (16, 64)])
def test_batches_and_odd_sizes(name, height, width):
    model, lr = tiny_model(name), image(height, width, batch=3)
    sr = model(lr).numpy()
    assert sr.shape == (3, 4 * height, 4 * width, 3)
    for i in range(3):  # an image's result does not depend on its neighbours in the batch
        np.testing.assert_allclose(sr[i : i + 1], model(lr[i : i + 1]), atol=1e-3)


@ROWS
@pytest.mark.parametrize("scale", SCALES)
def test_scales(name, scale):
    assert models.build(tiny(name, scale), height=15, width=20, batch=2).output_shape == (2, 15 * scale, 20 * scale, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_full_size(tmp_path, name):
    model = models.build(VARIANTS[name])
    expected = model(image()).numpy()
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(image()), expected)
    checkpoint.save(model, VARIANTS[name], tmp_path / "w.h5")
    np.testing.assert_array_equal(checkpoint.load(tmp_path / "w.h5")[0](image()), expected)
    model.export(tmp_path / "m")
    loaded = tf.saved_model.load(tmp_path / "m")
    np.testing.assert_allclose(loaded.serve(image()), expected, atol=1e-2)
    half = models.build(VARIANTS[name], precision="float16")
    half.set_weights(model.get_weights())
    assert np.abs(half(image()).numpy() - expected).max() < 1
