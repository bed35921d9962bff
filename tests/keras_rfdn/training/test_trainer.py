import math
import os
import resource
import time

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.training import losses, optimizers, recipes, strategies, workdir
from keras_rfdn.training.progress import Progress
from keras_rfdn.training.trainer import DivergedError, Trainer

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=2, scale=2)


@pytest.fixture
def make(tmp_path):
    """make(**settings) -> Trainer of a tiny network in a workdir that all of a test share."""

    def make(*, model=TINY, init=None, valid=(), folder=tmp_path, **settings):
        stage = {"steps": 50, "learning_rate": 3e-3, "batch": 2, "patch": 16}
        stage |= {field: settings.pop(field) for field in recipes.STAGE_FIELDS if field in settings}
        return Trainer(model, (recipes.Stage(**stage),), list(valid), folder, init=init, **settings)

    return make


@pytest.fixture(scope="module")
def batch(rng_of_module):
    hr = rng_of_module.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    return tf.constant(hr[:, ::2, ::2]), tf.constant(hr)


@pytest.fixture(scope="module")
def rng_of_module():
    return np.random.default_rng(0)


def weights_of(trainer):
    return [weight.copy() for weight in trainer.model.get_weights()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_optimizer_is_the_papers(make):
    adam = make(learning_rate=5e-4).optimizer
    assert isinstance(adam, keras.optimizers.Adam)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert float(adam.learning_rate) == pytest.approx(5e-4)


def test_every_name_that_recipes_gives_is_there():
    assert set(recipes.OPTIMIZERS) == optimizers.OPTIMIZERS.keys()
    assert set(recipes.PRECISIONS) == models.POLICIES.keys()
    assert set(recipes.STRATEGIES) == strategies.STRATEGIES.keys()


@pytest.mark.parametrize("loss", recipes.LOSSES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_one_batch_is_learnt(make, batch, precision, loss):
    trainer = make(precision=precision, loss=loss)
    lr, hr = (tf.cast(images, tf.float32) for images in batch)
    expected = float(losses.LOSSES[loss](trainer.model(lr), hr))
    values = [float(trainer.update(batch, 0)) for _ in range(40)]
    assert values[0] == pytest.approx(expected, rel=2e-2)
    assert values[-1] < 0.9 * values[0]


def test_float16_survives_an_overflow(make, batch):
    # The loss is in grey levels: multiplied by the first scale, its gradients are beyond float16's 65,504.
    trainer = make(precision="float16", ema=0.5)
    before, average = weights_of(trainer), trainer.weights()
    assert float(trainer.optimizer.loss_scale) == 2**15
    first = float(trainer.update(batch, 0))
    assert float(trainer.optimizer.loss_scale) == 2**14
    assert same(trainer.model.get_weights(), before)
    assert same(trainer.weights(), average)
    losses = [float(trainer.update(batch, 0)) for _ in range(40)]
    assert losses[-1] < 0.9 * first
    trainer.check_finite(losses[-1])


def test_checkpoints_are_free_of_precision(make, batch, tmp_path):
    trainer = make(precision="float16")
    for _ in range(20):
        trainer.update(batch, 0)
    trainer.save()
    model, config = checkpoint.load(tmp_path / checkpoint.LAST)
    assert config == TINY
    assert {weight.dtype for weight in model.weights} == {tf.float32}
    assert same(model.get_weights(), trainer.model.get_weights())


def test_state_is_restored_whole(make, batch):
    settings = {"precision": "float16", "ema": 0.9, "clip_norm": 1.0}
    trainer = make(**settings)
    for step in range(1, 13):
        trainer.update(batch, 0)
        trainer.state.step.assign(step)
    trainer.save()
    again = make(**settings)
    assert int(again.state.step) == 12
    assert same(again.model.get_weights(), trainer.model.get_weights())
    assert same(again.weights(), trainer.weights())
    assert float(again.optimizer.loss_scale) == float(trainer.optimizer.loss_scale) < 2**15
    assert int(again.optimizer.dynamic_counter) == int(trainer.optimizer.dynamic_counter) > 0
    for _ in range(3):
        trainer.update(batch, 0)
        again.update(batch, 0)
    assert same(again.model.get_weights(), trainer.model.get_weights())
    assert same(again.weights(), trainer.weights())


@pytest.mark.parametrize("optimizer", recipes.OPTIMIZERS)
def test_moving_average_by_hand(make, batch, tmp_path, optimizer):
    trainer = make(ema=0.75, optimizer=optimizer)
    weights = []
    for _ in range(5):
        trainer.update(batch, 0)
        weights.append(weights_of(trainer))
    shares = 0.75 ** np.arange(4, -1, -1)  # of the updates, oldest first; what was before them has no share
    average = [np.average(values, axis=0, weights=shares) for values in zip(*weights, strict=True)]
    for ours, expected in zip(trainer.weights(), average, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    trainer.save()
    assert same(checkpoint.load(tmp_path / checkpoint.LAST)[0].get_weights(), trainer.weights())
    assert not same(trainer.weights(), trainer.model.get_weights())


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_gradients_are_clipped(make, batch, clip_norm):
    trainer = make(clip_norm=clip_norm)
    trainer.update(batch, 0)
    # After the first update Adam's first moment is a tenth of the gradient.
    norm = math.sqrt(sum(float(tf.reduce_sum(tf.square(10 * m))) for m in trainer.optimizer._momentums))
    if clip_norm:
        assert norm == pytest.approx(clip_norm, rel=1e-3)
    else:
        assert norm > 1


def truncate(folder, step):
    (data,) = folder.glob(f"state/ckpt-{step}.data*")
    data.write_bytes(data.read_bytes()[:100])


def test_a_truncated_state_is_passed_over(make, batch, tmp_path, caplog):
    trainer = make()
    kept = {}
    for step in (3, 6):
        trainer.update(batch, 0)
        trainer.state.step.assign(step)
        trainer.save()
        kept[step] = weights_of(trainer)
    truncate(tmp_path, 6)
    again = make()
    assert int(again.state.step) == 3
    assert same(again.model.get_weights(), kept[3])
    assert "ckpt-6 can't be read" in caplog.text
    truncate(tmp_path, 3)
    with pytest.raises(RuntimeError, match=r"no state in .*/state can be read; .* with .*last\.h5 as init"):
        make()


def test_a_state_is_flushed_to_the_disk(make, tmp_path, monkeypatch):
    """Files, then the folder that lists them, before the next save may delete an older one."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")) or fsync(handle)
    )
    trainer = make()
    trainer.state.step.assign(3)
    trainer.checkpoints.save()
    folder = tmp_path / "state"
    names = {"ckpt-3.index", "ckpt-3.data-00000-of-00001", "checkpoint"}
    assert {*synced[:-1]} == {str(folder / name) for name in names} == {str(path) for path in folder.iterdir()}
    assert synced[-1] == str(folder)


@pytest.mark.parametrize("content", [b"", bytes(200), b"model_checkpoint_pa"])
def test_a_list_of_states_that_power_loss_took(make, tmp_path, content):
    trainer = make()
    for step in (3, 12):
        trainer.state.step.assign(step)
        trainer.checkpoints.save()
    (tmp_path / "state/checkpoint").write_bytes(content)
    assert workdir.has_state(tmp_path)
    again = make()
    assert int(again.state.step) == 12
    again.state.step.assign(15)
    again.checkpoints.save()  # two are kept, as before
    assert {path.stem for path in (tmp_path / "state").glob("*.index")} == {"ckpt-12", "ckpt-15"}


def test_a_clock_that_is_set_back_loses_no_state(make, tmp_path, monkeypatch):
    trainer = make()
    for step in (3, 12):
        trainer.state.step.assign(step)
        trainer.checkpoints.save()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86400)
    assert int(make().state.step) == 12


def test_a_full_disk_loses_nothing(make, batch, tmp_path):
    trainer = make()
    trainer.state.step.assign(1)
    trainer.save()
    kept = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    trainer.update(batch, 0)
    trainer.state.step.assign(2)
    with full_disk(), pytest.raises(RuntimeError, match=r"step 2 could not be saved .*: .*ckpt-1\. Make room in"):
        trainer.save()
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept
    assert int(make().state.step) == 1
    trainer.save()
    assert int(make().state.step) == 2


class full_disk:
    """Inside, no file may grow beyond 100 bytes: a write fails as it does where there is no room."""

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self.before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_bad_weight_is_found_while_the_loss_is_finite(make):
    # The loss of an update comes before the change that spoils the weights.
    trainer = make()
    trainer.check_finite(1.0)
    trainer.model.get_layer("B1.c1_r").bias.assign([0, 0, 0, math.nan, 0, 0, 0, 0])
    with pytest.raises(DivergedError, match=r"mean loss 1\.0.*none was saved yet"):
        trainer.check_finite(1.0)


def test_batches_of_stages(make):
    trainer = make()
    asked = []

    def stream(*arguments):
        asked.append(arguments)
        return tf.data.Dataset.from_tensors((tf.zeros([2, 16, 16, 3], tf.uint8), tf.zeros([2, 32, 32, 3], tf.uint8)))

    lr, hr = next(trainer.batches(stream, 0, 7))
    assert asked == [(0, 7, 0, 1)]
    assert (lr.shape, hr.shape) == ((2, 16, 16, 3), (2, 32, 32, 3))


def test_validation_measures_the_moving_average(make, batch, tmp_path, rng):
    hr = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    trainer = make(ema=0.9, valid=[("noise", hr[::2, ::2], hr)])
    for _ in range(5):
        trainer.update(batch, 0)
    record = trainer.validate(Progress(0, 50))
    model, _ = checkpoint.load(tmp_path / checkpoint.BEST)
    assert same(model.get_weights(), trainer.weights())
    assert checkpoint.about(tmp_path / checkpoint.BEST)[1]["psnr_y"] == record["psnr_y"] == record["best_psnr_y"]
