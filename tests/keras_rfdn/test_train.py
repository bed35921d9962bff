import dataclasses
import json
import math
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from data import folders, images, pipeline, sample
from keras_rfdn import checkpoint, metrics, train
from keras_rfdn.config import VARIANTS, ModelConfig
from keras_rfdn.train import TrainConfig, learning_rate

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=2, scale=2)


@pytest.fixture(scope="module", autouse=True)
def tiny_variant():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six dead-leaves images, of which the last is to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        Image.fromarray(sample.dead_leaves(48, seed=seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """(TrainConfig, returned record) of a run of four steps."""
    config = TrainConfig(
        variant="tiny", scale=2, data=str(photos), workdir=str(tmp_path_factory.mktemp("finished") / "run"), steps=4,
        batch=2, patch=16, validate_every=2, log_every=2, learning_rate=1e-3,
    )  # fmt: skip
    return config, train.main(config)


@pytest.fixture
def config(finished, tmp_path):
    """Settings of the finished run, in a workdir yet to be made."""
    return dataclasses.replace(finished[0], workdir=str(tmp_path / "run"))


@pytest.fixture
def batches(photos):
    """stream(start) as train.main makes it."""
    pairs = pipeline.cache(folders.find_pairs(photos, 2).split(1)[0])
    return lambda start: pipeline.stream(pairs, lr_patch=16, batch=2, start=start)


@pytest.fixture
def valid(photos):
    return list(folders.find_pairs(photos, 2).split(1)[1])


def fit(config, batches, valid, **changes):
    return train.fit(TINY, batches, valid, dataclasses.replace(config, **changes), pathlib.Path(config.workdir))


def test_defaults_are_the_papers(tmp_path):
    paper = TrainConfig()
    assert (paper.variant, paper.scale, paper.data, paper.batch, paper.patch) == ("rfdn", 4, "div2k", 64, 64)
    trainer = train.Trainer(TINY, [], paper, tmp_path)
    adam = trainer.optimizer
    assert isinstance(adam, keras.optimizers.Adam)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert trainer.learning_rate() == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, {0: 5e-4, 199_999: 5e-4, 200_000: 2.5e-4, 399_999: 2.5e-4, 400_000: 1.25e-4, 999_999: 5e-4 / 16}),
        ({"warmup": 100}, {0: 5e-6, 49: 2.5e-4, 99: 5e-4, 100: 5e-4, 200_000: 2.5e-4}),
        ({"schedule": "cosine", "steps": 1000}, {0: 5e-4, 250: 2.5e-4 * (1 + 0.5**0.5), 500: 2.5e-4, 1000: 0}),
        ({"schedule": "cosine", "steps": 1100, "warmup": 100}, {0: 0, 50: 2.5e-4, 100: 5e-4, 600: 2.5e-4, 1100: 0}),
    ],
)
def test_learning_rates(settings, rates):
    schedule = learning_rate(TrainConfig(**settings))
    assert {step: float(schedule(step)) for step in rates} == pytest.approx(rates, abs=1e-9)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert float(again(50)) == float(schedule(50))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_one_batch_is_learnt(config, batches, tmp_path, precision):
    config = dataclasses.replace(config, learning_rate=3e-3, mixed_precision=precision)
    trainer = train.Trainer(TINY, [], config, tmp_path)
    lr, hr = next(iter(batches(0)))
    loss = abs(trainer.model(tf.cast(lr, tf.float32)).numpy() - hr.numpy()).mean()  # L1 in grey levels
    losses = [float(trainer.train_step(lr, hr)) for _ in range(40)]
    assert losses[0] == pytest.approx(loss, rel=1e-2)
    assert losses[-1] < 0.8 * losses[0]
    scales_loss = isinstance(trainer.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scales_loss == (precision == "float16")
    if scales_loss:
        trainer.save()
        again = train.Trainer(TINY, [], config, tmp_path).optimizer
        assert float(again.loss_scale) == float(trainer.optimizer.loss_scale) < 2**15  # where it starts
        assert int(again.dynamic_counter) == int(trainer.optimizer.dynamic_counter) > 10


def test_a_run_leaves_what_it_promises(finished, photos):
    config, record = finished
    workdir = pathlib.Path(config.workdir)
    assert json.loads((workdir / "config.json").read_text()) == dataclasses.asdict(config)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[-1] == record
    assert record["best_psnr_y"] == max(line["psnr_y"] for line in lines)
    assert 0 < record["loss"] < 255
    assert not [*workdir.glob("*.tmp*")]

    # The best weights score what the record says, computed by hand on the file that was held out.
    model, _ = checkpoint.load(workdir)
    model_config, facts = checkpoint.about(workdir / checkpoint.BEST)
    hr = images.read(photos / "5.png")
    ((_, lr, _),) = folders.find_pairs(photos, 2).split(1)[1]
    sr = model(lr[None].astype(np.float32))[0].numpy().round().clip(0, 255).astype(np.uint8)
    assert metrics.psnr_y(sr, hr, shave=2) == pytest.approx(record["best_psnr_y"], abs=1e-3)
    assert (model_config, facts["psnr_y"]) == (TINY, record["best_psnr_y"])
    assert checkpoint.about(workdir / checkpoint.LAST)[1] == {"step": 4}

    found = {}
    for file in (workdir / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    assert found["train/loss"].keys() == found["valid/psnr_y"].keys() == {2, 4}
    assert found["train/loss"][4] == pytest.approx(record["loss"])
    assert found["train/learning_rate"][4] == pytest.approx(1e-3)
    assert found["valid/psnr_y"][4] == pytest.approx(record["psnr_y"])
    picture = tf.io.decode_png(found["valid/bicubic_network_original"][4][2]).numpy()  # after width and height
    assert picture.shape == (48, 3 * 48, 3)
    np.testing.assert_array_equal(picture[:, 96:], hr)


def test_finished_run_is_not_started_again(finished):
    config, record = finished[:2]
    before = (pathlib.Path(config.workdir) / "metrics.jsonl").read_text()
    assert train.main(config) == record
    assert (pathlib.Path(config.workdir) / "metrics.jsonl").read_text() == before


def test_resuming_with_other_settings_is_refused(finished):
    with pytest.raises(
        ValueError, match=r"made with other settings: batch was 2 and is now 3, seed was 0 and is now 1;"
    ):
        train.main(dataclasses.replace(finished[0], batch=3, seed=1, steps=9))


def test_steps_are_part_of_a_cosine(config, tmp_path):
    cosine = dataclasses.replace(config, schedule="cosine")
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps(dataclasses.asdict(cosine)))
    with pytest.raises(ValueError, match="steps was 4 and is now 9"):
        train.main(dataclasses.replace(cosine, steps=9))


def test_a_run_that_never_saved_may_be_started_otherwise(config, monkeypatch):
    with pytest.raises(ValueError, match="neither div2k, nor sample, nor a folder"):
        train.main(dataclasses.replace(config, data="/absent"))
    monkeypatch.setattr(train, "fit", lambda *_: "trained")
    assert train.main(config) == "trained"


def test_stopped_and_resumed_equals_uninterrupted(finished, config, batches, valid):
    def stream(start):
        for step, batch in enumerate(batches(start), start + 1):
            if step == 3:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    # Stopped, it saves and does not validate first: who sends SIGTERM may not wait long.
    assert fit(config, stream, valid, steps=1000, validate_every=1000) == {}
    last = pathlib.Path(config.workdir) / checkpoint.LAST
    assert checkpoint.about(last)[1]["step"] == 3
    assert fit(config, batches, valid)["step"] == 4
    straight, _ = checkpoint.load(pathlib.Path(finished[0].workdir) / checkpoint.LAST)
    resumed, _ = checkpoint.load(last)
    for a, b in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_noted_and_their_handlers_come_back(number):
    handler = signal.getsignal(number)
    with train._stop_signals() as stopped:
        assert not stopped()
        signal.raise_signal(number)
        assert stopped()
    assert signal.getsignal(number) is handler


def test_divergence_leaves_the_last_good_weights(finished, config, batches, valid):
    workdir = pathlib.Path(config.workdir)
    shutil.copytree(finished[0].workdir, workdir)
    before = {name: (workdir / name).read_bytes() for name in (checkpoint.BEST, checkpoint.LAST)}
    with pytest.raises(train.DivergedError, match=r"no finite number by step 6 .*last\.h5.*smaller --learning_rate"):
        fit(config, batches, valid, learning_rate=1e30, steps=9)
    assert {name: (workdir / name).read_bytes() for name in before} == before
    assert {p.name for p in (workdir / "state").glob("*.index")} == {"ckpt-2.index", "ckpt-4.index"}


def test_a_bad_weight_is_found_while_the_loss_is_finite(config, tmp_path):
    # The loss of a step comes before the update that spoils the weights.
    trainer, progress = train.Trainer(TINY, [], config, tmp_path), train.Progress(0, config)
    progress.add(tf.constant(1.0))
    progress.check_finite(trainer)
    trainer.model.get_layer("B1.c1_r").bias.assign([0, 0, 0, math.nan, 0, 0, 0, 0])
    with pytest.raises(train.DivergedError, match=r"mean loss 1\.0.*none was saved yet"):
        progress.check_finite(trainer)


@pytest.mark.parametrize(
    ("flag", "error"),
    [
        ({"variant": "rdfn"}, "unknown variant 'rdfn'"),
        ({"scale": 5}, "scale must be one of"),
        ({"steps": 0}, "--steps must be above 0, got 0"),
        ({"learning_rate": -1e-4}, "--learning_rate must be above 0"),
        ({"patch": 14}, "--patch must be 15 LR pixels or more, got 14"),
        ({"warmup": -1}, "--warmup must be 0 or above, got -1"),
        ({"schedule": "linear"}, "--schedule must be one of halving, cosine, got linear"),
        ({"mixed_precision": "float8"}, "--mixed_precision must be one of float32, float16, bfloat16, got float8"),
        ({"patch": 30}, "no image has LR sides of 30 pixels"),
        ({"valid": "/absent"}, "/absent is not a folder"),
    ],
)
def test_bad_flags(config, flag, error):
    with pytest.raises(ValueError, match=error):
        train.main(dataclasses.replace(config, **flag))


def test_no_readable_validation_image(config, tmp_path):
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/a.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="no validation image could be read"):
        train.main(dataclasses.replace(config, valid=str(tmp_path / "valid"), skip_broken=True))


@pytest.mark.slow
def test_the_command_saves_on_sigterm(root, photos, tmp_path):
    command = [sys.executable, "-m", "keras_rfdn.train", "--variant", "e-rfdn", "--scale", "2", "--data", str(photos)]
    command += ["--workdir", str(tmp_path / "run"), "--batch", "1", "--patch", "16", "--log_every", "1"]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=root, stderr=log)
    deadline = time.monotonic() + 240
    while "step 3/1000000" not in (tmp_path / "log").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.terminate()
    assert process.wait(120) == 0
    step = checkpoint.about(tmp_path / "run/last.h5")[1]["step"]
    assert f"stopped at step {step}; the same command goes on from there" in (tmp_path / "log").read_text()
