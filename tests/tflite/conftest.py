"""Fixtures of several modules' tests: tiny models and their .tflite files."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from data import sample
from keras_rfdn import checkpoint, models
from keras_rfdn.config import ModelConfig
from keras_rfdn.upscale import from_model

TINY = ModelConfig(block="rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=2)


@pytest.fixture(scope="session")
def to_tflite(tmp_path_factory):
    """Function (Keras model, name of the file, converter's settings) -> path of a .tflite file."""
    folder = tmp_path_factory.mktemp("tflite")

    def convert(model, name, **settings):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        for key, value in settings.items():
            setattr(converter, key, value)
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        return str(path)

    return convert


@pytest.fixture(scope="session")
def int8_settings():
    """Function (arrays to calibrate with, dtype of input and output) -> the converter's settings for int8."""

    def settings(frames, dtype):
        return {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([frame[None].astype(np.float32)] for frame in frames),
            "inference_input_type": dtype,
            "inference_output_type": dtype,
        }

    return settings


@pytest.fixture(scope="session")
def tiny_model():
    """RFDN of 8 channels and 2 blocks, x2, with random weights; its output is centred on 128 and seldom saturates.

    Its attention is made strong, so that results differ between a whole image and its tiles.
    """
    keras.utils.set_random_seed(0)
    model = models.build(TINY)
    for layer in model.layers:
        if ".esa." in layer.name and layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 10, bias])
    sr = model(sample.dead_leaves(48, seed=0)[None].astype(np.float32)).numpy() / 255
    last = model.get_layer("upsampler.0")
    kernel, bias = last.get_weights()
    gain = 0.1 / sr.std()
    last.set_weights([kernel * gain, bias * gain + 0.5 - sr.mean() * gain])
    return model


@pytest.fixture(scope="session")
def tiny_upscale(tiny_model):
    """upscale(lr) of tiny_model by Keras."""
    return from_model(tiny_model)


@pytest.fixture(scope="session")
def tiny_weights(tiny_model, tmp_path_factory):
    """tiny_model's weight file."""
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(tiny_model, TINY, path)
    return str(path)


@pytest.fixture(scope="session")
def fixed_tiny_model(tiny_model):
    """tiny_model for images of 32x40."""
    model = models.build(TINY, height=32, width=40, batch=1)
    model.set_weights(tiny_model.get_weights())
    return model


@pytest.fixture(scope="session")
def fixed_tflite(fixed_tiny_model, to_tflite):
    """tiny_model in float32 for images of 32x40."""
    return to_tflite(fixed_tiny_model, "fixed")


@pytest.fixture(scope="session")
def open_tflite(tiny_model, to_tflite):
    """tiny_model in float32 for images of any size."""
    return to_tflite(tiny_model, "open")


@pytest.fixture(scope="session")
def nearest():
    """Function (height, width) -> Keras model that repeats pixels twice each way; its results are known exactly."""

    def build(height=None, width=None):
        lr = keras.Input((height, width, 3), 1)
        return keras.Model(lr, keras.layers.UpSampling2D(2)(lr))

    return build


@pytest.fixture(scope="session")
def nearest_tflite(nearest, to_tflite):
    """nearest in float32 for images of any size."""
    return to_tflite(nearest(), "nearest")


@pytest.fixture(scope="session")
def repeat():
    """What nearest computes."""
    return lambda image: image.repeat(2, axis=0).repeat(2, axis=1)
