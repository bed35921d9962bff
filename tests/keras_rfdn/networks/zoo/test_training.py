"""Networks of other papers train, in either precision, and come back from their weight files."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ZOO, variant
from keras_rfdn.networks.reparameterized import EdgeOrientedConv2D
from keras_rfdn.training.recipes import Stage
from keras_rfdn.training.trainer import Trainer

SIDE = 15  # LR pixels; no network takes less
# Over 3 s each
LARGE = {"drcn", "drrn", "memnet", "idn", "carn", "carn-m", "rlfn", "bsrn", "lkdn", "efdn", "span", "vdsr"}
EACH = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in ZOO]
)


@pytest.fixture
def make(tmp_path):
    """make(name, **settings) -> Trainer of a network of the zoo at x2, in a workdir that all of a test share."""

    def make(name, **settings):
        keras.utils.set_random_seed(0)
        stage = Stage(steps=10, learning_rate=1e-4, batch=1, patch=SIDE)
        return Trainer(variant(name, 2), (stage,), [], tmp_path, **settings)

    return make


@pytest.fixture(scope="module")
def batch():
    """A smooth image, as bicubic interpolation would have it but for contrast."""
    ramp = np.linspace(40, 200, 2 * SIDE)
    hr = np.stack([ramp[:, None] + 0 * ramp, ramp[None] + 0 * ramp[:, None], np.add.outer(ramp, ramp) / 2], -1)
    hr = hr[None].astype(np.uint8)
    return tf.constant(hr[:, ::2, ::2]), tf.constant(hr)


@EACH
def test_updates_lower_the_loss_of_a_batch(make, batch, name):
    trainer = make(name)
    losses = [float(trainer.update(batch, 0)) for _ in range(5)]
    assert losses[-1] < losses[0]


@EACH
def test_a_network_of_mixed_precision_gives_float32(name):
    model = models.build(variant(name, 2), precision="bfloat16")
    sr = model(np.full((1, SIDE, SIDE, 3), 100, np.float32))
    assert (sr.dtype, sr.shape) == (tf.float32, (1, 2 * SIDE, 2 * SIDE, 3))
    assert np.isfinite(sr).all()
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert any(layer.compute_dtype == "bfloat16" for layer in convolutions)
    assert all(weight.dtype == tf.float32 for weight in model.weights)


@EACH
def test_a_weight_file_brings_it_back(tmp_path, name, rng):
    config = variant(name, 3)
    model = models.build(config)
    model.set_weights([w + rng.normal(0, 0.01, w.shape) for w in model.get_weights()])
    checkpoint.save(model, config, tmp_path / "w.h5")
    loaded, loaded_config = checkpoint.load(tmp_path / "w.h5")
    assert loaded_config == config
    lr = rng.uniform(0, 255, (1, SIDE, SIDE + 1, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(lr), model(lr))


@pytest.mark.slow
def test_efdn_trains_in_branches_and_is_kept_merged(make, batch, tmp_path):
    trainer = make("efdn")
    blocks = [layer for layer in trainer.model.layers if isinstance(layer, EdgeOrientedConv2D)]
    assert len(blocks) == 2 * 4
    before = [weight.numpy() for weight in blocks[0].weights]
    trainer.update(batch, 0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, blocks[0].get_weights(), strict=True))
    trainer.save()
    model, _ = checkpoint.load(tmp_path / checkpoint.LAST)
    assert model.count_params() == 260_604
    lr = tf.cast(batch[0], tf.float32)
    np.testing.assert_allclose(model(lr), trainer.model(lr), rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_efdn_starts_its_branches_from_a_merged_file(make, batch, tmp_path):
    config = variant("efdn", 2)
    model = models.build(config)
    checkpoint.save(model, config, tmp_path / "w.h5")
    trainer = make("efdn", init=tmp_path / "w.h5")
    lr = tf.cast(batch[0], tf.float32)
    np.testing.assert_allclose(trainer.model(lr), model(lr), rtol=1e-4, atol=1e-3)
