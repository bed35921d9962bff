import contextlib
import dataclasses
import shutil
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import folders, sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite import qat
from keras_rfdn.tflite.finetuning import tuner
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.simulator import export_learned, make_trainable, simulate
from keras_rfdn.training import workdir
from keras_rfdn.upscaling import litert
from keras_rfdn.upscaling.keras_upscalers import from_model

CONFIG = ModelConfig("rfdb", 8, 1, scale=2)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folder of four images."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(4):
        Image.fromarray(sample.dead_leaves(96, seed=seed)).save(folder / f"{seed}.png")
    return str(folder)


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    """Weight file of a network of random weights, its output 128 give or take 25."""
    keras.utils.set_random_seed(0)
    model = models.build(CONFIG)
    last = model.get_layer("upsampler.0")
    kernel, bias = last.get_weights()
    sr = model(sample.dead_leaves(48, seed=0)[None].astype(np.float32)).numpy() / 255
    gain = 0.1 / sr.std()
    last.set_weights([kernel * gain, bias * gain + 0.5 - sr.mean() * gain])
    path = tmp_path_factory.mktemp("weights") / "small.h5"
    checkpoint.save(model, CONFIG, path)
    return str(path)


@pytest.fixture(scope="module")
def settings(small_weights, photographs):
    return qat.QatConfig(
        data=photographs,
        valid=photographs,
        valid_images=2,
        weights=small_weights,
        shape="1,32,40,3",
        steps=6,
        batch=2,
        patch=16,
        validate_every=3,
    )


@pytest.fixture(scope="module")
def tuned(settings, tmp_path_factory):
    """(workdir, .tflite) of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("tuned")
    return folder, qat.main(dataclasses.replace(settings, workdir=str(folder)))


def test_a_run_ends_in_an_integer_file_that_agrees_with_the_network(tuned, small_weights):
    folder, out = tuned
    assert out == folder / "rfdb_x2_int8_32x40.tflite"
    found = description.describe(out)
    assert found.float_operators == {}
    assert {t.dtype for t in found.inputs + found.outputs} == {"uint8"}
    lr = sample.dead_leaves(60, seed=9)[:32, :40]
    wanted = from_model(checkpoint.load(small_weights)[0])(lr)
    assert wanted.std() > 10
    assert np.abs(litert.Model(out).upscale(lr).astype(int) - wanted).mean() < 1.5
    records = workdir.records(folder)
    assert [record["step"] for record in records] == [0, 3, 6]
    assert records[-1]["best_psnr_y"] == max(record["psnr_y"] for record in records)


def test_it_starts_from_what_convert_makes_and_reads_that_back(small_weights, photographs, tmp_path, monkeypatch):
    model = fold_value_range(checkpoint.load(small_weights)[0], batch=None)
    pairs = [(lr, hr) for _, lr, hr in folders.find_pairs(photographs, 2)]
    asked = []
    original = tuner.quantize
    monkeypatch.setattr(tuner, "quantize", lambda *given, **named: asked.append(named) or original(*given, **named))
    first = tuner.calibrate(model, pairs, tmp_path, accurate=True, seed=0)
    again = tuner.calibrate(model, [], tmp_path, accurate=True, seed=0)
    assert asked == [{"accurate": True}]
    assert again.ranges == first.ranges
    lr = sample.dead_leaves(40, seed=9)[None].astype(np.float32)
    wanted = simulate(first)(lr)
    assert 0 < np.abs(wanted - np.clip(model(lr), 0, 255)).mean() < 1
    np.testing.assert_array_equal(simulate(export_learned(again, make_trainable(again)))(lr), wanted)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(tuned, settings, tmp_path, monkeypatch):
    config = dataclasses.replace(settings, workdir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(tuner, "stop_signals", lambda: contextlib.nullcontext(lambda: True))
        assert qat.main(config) is None  # after the first update
        assert qat.main(config) is None
    assert not list(tmp_path.glob("*.tflite"))
    qat.main(config)
    weights = [tf.train.load_checkpoint(str(folder / "state")) for folder in (tmp_path, tuned[0])]
    names = [
        name
        for name in weights[0].get_variable_to_shape_map()
        if name.startswith("model") and ("kernel" in name or "above" in name)
    ]
    assert len(names) > 20
    for name in names:
        resumed, whole = (state.get_tensor(name) for state in weights)
        # Threads sum in any order; an update changes weights by a thousandth.
        np.testing.assert_allclose(resumed, whole, rtol=0, atol=5e-5 * np.abs(whole).max())


@pytest.mark.slow
def test_a_finished_run_gives_further_files(tuned, settings, monkeypatch):
    monkeypatch.setattr(tuner.Tuner, "update", None)
    folder, _ = tuned
    out = qat.main(dataclasses.replace(settings, workdir=str(folder), shape="1,20,24,3"))
    assert out == folder / "rfdb_x2_int8_20x24.tflite"
    assert litert.Model(out).tile == (20, 24)
    with pytest.raises(ValueError, match=r"steps was 6 and is now 7"):
        qat.main(dataclasses.replace(settings, workdir=str(folder), steps=7))


def test_training_lowers_the_loss(tuned, small_weights, photographs, rng, tmp_path):
    """On one batch, from weights that were disturbed, and in every layer."""
    for name in (tuner.CALIBRATED, tuner.SCALES):
        shutil.copy(tuned[0] / name, tmp_path)
    model = fold_value_range(checkpoint.load(small_weights)[0], batch=None)
    pairs = [(lr, hr) for _, lr, hr in folders.find_pairs(photographs, 2)]
    valid = [("", *pair) for pair in pairs[:1]]
    quantized = tuner.calibrate(model, pairs, tmp_path, accurate=False, seed=0)
    settings = tuner.TunerSettings(
        steps=40, batch=1, patch=48, learning_rate=1e-2, validate_every=40, save_minutes=5, seed=0
    )
    trained = tuner.Tuner(model, quantized, valid, settings, tmp_path)
    for variable in trained.model.trainable_variables:
        variable.assign(variable * rng.uniform(0.9, 1.1, variable.shape))
    before = [v.numpy() for v in trained.model.trainable_variables]
    lr = pairs[0][0][None]
    losses = [float(trained.update(lr)) for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    after = [v.numpy() for v in trained.model.trainable_variables]
    changed = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert np.mean(changed) > 0.9  # a ReLU may never fire


def test_the_time_waited_for_data_is_reported(monkeypatch):
    def slow_stream(*_, **__):
        while True:
            time.sleep(0.05)
            yield "lr", "hr"

    waited = []
    stub = mock.MagicMock()
    stub.checkpoints.minutes_since_save.return_value = 0.0
    stub.optimizer.learning_rate = 0.1
    progress = mock.MagicMock()
    progress.return_value.add.side_effect = lambda loss, images, seconds: waited.append(seconds)
    monkeypatch.setattr(tuner.pipeline, "stream", slow_stream)
    monkeypatch.setattr(tuner, "Progress", progress)
    settings = tuner.TunerSettings(3, 2, 16, 1e-3, validate_every=10, save_minutes=5, seed=0)
    assert tuner._train(stub, [], 0, settings) is True
    assert len(waited) == 3
    assert all(0.05 <= seconds < 5 for seconds in waited)


def test_steps_are_relative_to_a_channel():
    variable = tf.Variable(np.full((1, 1, 2, 2), [1.0, 100.0], np.float32))
    optimizer = tuner.RelativeAdam(0.01)
    optimizer.build([variable])
    optimizer.apply_gradients([(tf.ones_like(variable), variable)])
    np.testing.assert_allclose(variable[0, 0, 0], [0.99, 99.0], rtol=1e-4)


def test_steps_of_a_resumed_run_are_relative_to_the_weights_that_the_run_began_with():
    """Keras builds the optimizer again at the first update, when a resumed run has its state already."""
    variable = tf.Variable(np.full((1, 1, 1, 1), 100.0, np.float32))
    optimizer = tuner.RelativeAdam(0.01)
    optimizer.build([variable])
    variable.assign(variable * 2)
    optimizer.apply_gradients([(tf.ones_like(variable), variable)])
    np.testing.assert_allclose(variable, [[[[199.0]]]], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps must be above 0"),
        ({"patch": 8}, "--patch must be 15 or above"),
        ({"learning_rate": float("nan")}, "--learning_rate must be a finite number, got nan"),
        ({"shape": "1,2"}, "shape must be"),
        ({"weights": "nowhere.h5"}, "no weight file at nowhere.h5"),
    ],
)
def test_mistakes_are_named(settings, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        qat.main(dataclasses.replace(settings, workdir=str(tmp_path), **change))


@pytest.mark.parametrize(
    "command", [["tflite/qat.py"], pytest.param(["-m", "keras_rfdn.tflite.qat"], marks=pytest.mark.slow)]
)
def test_starts_as_a_script_and_as_a_module(command, root):
    result = subprocess.run(
        [sys.executable, *command, "--weights", "nowhere.h5"], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: no weight file at nowhere.h5")
