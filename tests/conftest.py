"""Fixtures of several test modules: images, tiny models, their .tflite files, trainings in processes of their own."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite.quantization import calibration
from keras_rfdn.upscaling import trial
from keras_rfdn.upscaling.keras_upscalers import from_model

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=4, scale=2)

# The command as users give it, with a network and recipes of two stages and of one that are small enough for a test.
DRIVER = """
import sys
import tensorflow as tf
from keras_rfdn import train
from keras_rfdn.cli import command
from keras_rfdn.networks import config
from keras_rfdn.training import loop, recipes
from keras_rfdn.training.recipes import Stage
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv.pop(1)))
config.VARIANTS["tiny"] = config.ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=2)
first = Stage(steps=12, batch=4, patch=16, learning_rate=3e-3, schedule="cosine", warmup=2)
second = Stage(steps=6, batch=2, patch=20, learning_rate=1e-3, schedule="constant", loss="charbonnier")
for name, stages in {"tiny": (first, second), "one-stage": (first,)}.items():
    recipes.RECIPES[name] = recipes.Recipe(
        "here", "dead leaves", "little", 0, "tiny", 2, optimizer="muon", ema=0.9, clip_norm=200.0, stages=stages
    )
loop.LOG_EVERY = 1
command.run(train.main, train.TrainConfig, preset=train.preset)
"""


@pytest.fixture(scope="session", autouse=True)
def few_calibration_patches():
    """Calibration on 6 patches in place of 64: enough for the tiny networks of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "PATCHES", 6)
        yield


@pytest.fixture(scope="session", autouse=True)
def real_check():
    """trial.check, in whose place no .tflite file is run beforehand: those of the tests are ours."""
    check = trial.check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "check", lambda content, name: None)
        yield check


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared(root):
    """The folder of benchmark images beside the repository; a test that asks for it is skipped where it is absent."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def scipy_conv():
    """A convolution with bias as SciPy computes it: conv(x [h, w, c], kernel [k, k, c, o], bias [o], mode)."""

    def conv(x, kernel, bias, mode="same"):
        # SciPy centres an odd kernel as TensorFlow pads a stride of 1.
        channels = [
            sum(scipy.signal.correlate(x[..., i], kernel[..., i, o], mode) for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ]
        return np.stack(channels, axis=-1) + bias

    return conv


@pytest.fixture(scope="session")
def save_noise():
    """save_noise(path, height, width) writes a file of noise, and makes its folder."""

    def save(path, height=16, width=24):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(path)

    return save


@pytest.fixture
def benchmark_set(tmp_path, save_noise):
    """Three pairs in the layout of a benchmark set, x4."""
    for name in "abc":
        save_noise(tmp_path / f"HR/{name}.png")
        save_noise(tmp_path / f"LR_bicubic/X4/{name}x4.png", 4, 6)
    return tmp_path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Six dead-leaves images, of which the last is to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        Image.fromarray(sample.dead_leaves(48, seed=seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def untrained(tmp_path):
    """untrained(name, seed) -> path in tmp_path of a weight file of random weights; changes are to TINY."""

    def save(name, seed, **changes):
        config = dataclasses.replace(TINY, **changes)
        keras.utils.set_random_seed(seed)
        checkpoint.save(models.build(config), config, tmp_path / name)
        return str(tmp_path / name)

    return save


class Training:
    """The train command in a process of its own, its log in a file."""

    def __init__(self, root, log, words, *, devices=1, environment=None):
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(devices), *map(str, words)],
                cwd=root, stdout=file, stderr=file, env={**os.environ, **(environment or {})},
            )  # fmt: skip

    def text(self):
        return self.log.read_text()

    def wait_for(self, text, seconds=300):
        """Until the log says text; fails when the process ends before, or never says it."""
        deadline = time.monotonic() + seconds
        while text not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def wait(self, seconds=300):
        """Exit status."""
        return self.process.wait(seconds)


@pytest.fixture
def start_training(root, photos, tmp_path):
    """start_training(workdir, *words, ...) -> Training of a small recipe on photos; what still runs is killed."""
    started = []

    def start(workdir, *words, recipe="tiny", **options):
        words = ["--recipe", recipe, "--data", photos, "--workdir", workdir, *words]
        started.append(Training(root, tmp_path / f"log{len(started)}", words, **options))
        return started[-1]

    yield start
    for training in started:
        training.process.kill()
        training.process.wait()


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
    """RFDN of 8 channels and one block, x2, with random weights; its output is centred on 128 and seldom saturates.

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
