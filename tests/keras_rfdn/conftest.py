"""Trainings in processes of their own, and weight files."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest
import tf_keras as keras
from PIL import Image

from data import sample
from keras_rfdn import checkpoint, models
from keras_rfdn.config import ModelConfig

UNTRAINED = ModelConfig("rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=2)

# The command as users give it, with a network and a recipe of two stages that are small enough for a test.
DRIVER = """
import sys
import tensorflow as tf
from keras_rfdn import command, config, recipes, train
from keras_rfdn.recipes import Stage
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(sys.argv.pop(1)))
config.VARIANTS["tiny"] = config.ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=2)
recipes.RECIPES["tiny"] = recipes.Recipe(
    "here", "dead leaves", "little", 0, "tiny", 2, optimizer="muon", ema=0.9, clip_norm=200.0, stages=(
        Stage(steps=12, batch=4, patch=16, learning_rate=3e-3, schedule="cosine", warmup=2),
        Stage(steps=6, batch=2, patch=20, learning_rate=1e-3, schedule="constant", loss="charbonnier"),
    ),
)
command.run(train.main, train.TrainConfig, preset=recipes.preset)
"""


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Six dead-leaves images, of which the last is to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        Image.fromarray(sample.dead_leaves(48, seed=seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def untrained(tmp_path):
    """untrained(name, seed) -> path in tmp_path of a weight file of random weights; changes are to UNTRAINED."""

    def save(name, seed, **changes):
        config = dataclasses.replace(UNTRAINED, **changes)
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
    """start_training(workdir, *words, ...) -> Training of the tiny recipe on photos; what still runs is killed."""
    started = []

    def start(workdir, *words, **options):
        words = ["--recipe", "tiny", "--data", photos, "--workdir", workdir, "--log_every", 1, *words]
        started.append(Training(root, tmp_path / f"log{len(started)}", words, **options))
        return started[-1]

    yield start
    for training in started:
        training.process.kill()
        training.process.wait()
