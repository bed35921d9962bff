"""The example of a network that is in no table goes through convert."""

import importlib.util

import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import metrics
from keras_rfdn.tflite import convert
from keras_rfdn.tflite.inspection import description
from keras_rfdn.upscaling import keras_upscalers, litert


@pytest.fixture(scope="module")
def example(root):
    """examples/own_network.py as a module."""
    spec = importlib.util.spec_from_file_location("own_network", root / "examples/own_network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_learns_and_becomes_a_fully_integer_file(example, tmp_path):
    keras.utils.set_random_seed(0)
    model = example.build()
    losses = example.train(model, steps=5)
    assert losses[-1] < losses[0]
    model.save(tmp_path / "own.keras")
    path = convert.main(convert.ConvertConfig(int8=True, weights=str(tmp_path / "own.keras"), shape="1,32,40,3"))
    assert path == tmp_path / "own_x2_int8_32x40.tflite"
    found = description.describe(path)
    assert found.float_operators == {}
    # The block's layers are there three times, one for each call; each swish's sigmoid reads a copy.
    assert (found.operators["LOGISTIC"], found.operators["DEPTHWISE_CONV_2D"]) == (3, 6)
    lr = sample.dead_leaves(60, seed=9)[:32, :40]
    assert metrics.psnr(litert.Model(path).upscale(lr), keras_upscalers.from_model(model)(lr), shave=0) > 35


def test_a_file_of_the_older_format_gives_the_same(example, tmp_path):
    model = example.build()
    contents = []
    for name in ("own.keras", "own.h5"):
        model.save(tmp_path / name)
        path = convert.main(convert.ConvertConfig(weights=str(tmp_path / name), shape="1,32,40,3"))
        contents.append(litert.Model(path).upscale(np.zeros((32, 40, 3), np.uint8)))
    np.testing.assert_array_equal(*contents)
