"""Trainer of a network: its update on one or many devices, its saved state, its validation."""

import datetime
import math
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources.pair_source import Pair
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import models, reparameterized
from keras_rfdn.networks.config import Config
from keras_rfdn.training import initial_weights, strategies
from keras_rfdn.training.checkpoint_manager import CheckpointManager
from keras_rfdn.training.losses import LOSSES
from keras_rfdn.training.optimizers import OPTIMIZERS
from keras_rfdn.training.recipes import Stage
from keras_rfdn.training.schedules import learning_rate
from keras_rfdn.upscaling.keras_upscalers import from_model

# stream(stage, start, shard, shards) -> dataset of (lr, hr) uint8 batches from update `start` of a stage on, of which a
# shard has its own part.
Stream = Callable[[int, int, int, int], tf.data.Dataset]


class DivergedError(StoppedError):
    """The loss or a weight is no longer a finite number."""


class Trainer:
    """Network, optimizer and counters: everything that a run keeps from one update to the next.

    stages: of training.recipes. valid: (name, lr, hr) images. folder: the workdir. optimizer: a key of OPTIMIZERS. ema:
    decay of a moving average of the weights, which then is what is validated and kept; 0: the weights themselves.
    clip_norm: largest norm of all gradients together; 0: not clipped. precision: compute type, a key of
    models.POLICIES. init: weight file that a fresh network starts from, or None. seed: of a fresh network's weights.
    Raises StoppedError when the workdir holds states of which none can be read.
    """

    def __init__(
        self,
        model_config: Config,
        stages: tuple[Stage, ...],
        valid: list[Pair],
        folder: pathlib.Path,
        *,
        optimizer: str = "adam",
        ema: float = 0.0,
        clip_norm: float = 0.0,
        precision: str = "float32",
        init: pathlib.Path | None = None,
        strategy: tf.distribute.Strategy | None = None,
        seed: int = 0,
    ):
        self.model_config, self.stages, self.valid, self.folder = model_config, stages, valid, folder
        self.init = init
        self.strategy = strategy or tf.distribute.get_strategy()
        self.chief = strategies.is_chief(self.strategy)
        keras.utils.set_random_seed(seed)
        with self.strategy.scope():
            self.model = models.build_for_training(model_config, precision=precision)
            if init is not None:
                initial_weights.load(self.model, model_config, init)
            self.optimizer = OPTIMIZERS[optimizer](
                learning_rate(stages), beta_1=0.9, beta_2=0.999, epsilon=1e-8,
                global_clipnorm=clip_norm or None, use_ema=bool(ema), ema_momentum=ema,
            )  # fmt: skip
            if precision == "float16":
                self.optimizer = keras.mixed_precision.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.model.trainable_variables)
        self.keeps_average = bool(ema)
        self.checkpoints = CheckpointManager(
            folder,
            hint=f"start in another workdir, with {folder / checkpoint.LAST} as init",
            model=self.model,
            optimizer=self.optimizer,
            step=tf.Variable(0, dtype=tf.int64),
            best_psnr_y=tf.Variable(-math.inf, dtype=tf.float64),
            seconds=tf.Variable(0, dtype=tf.float64),
        )
        self.state = self.checkpoints.parts
        self.counted_at = time.monotonic()
        # Validation measures what users get: the same weights in float32, branches merged.
        self._float_branches = models.build_for_training(model_config)
        self.float_model = reparameterized.merged(self._float_branches)
        self.upscale = from_model(self.float_model)

    @property
    def steps(self) -> int:
        """Updates of all stages."""
        return sum(stage.steps for stage in self.stages)

    def batches(self, stream: Stream, stage: int, start: int) -> Iterator:
        """Batches of this process, an endless iterator from update `start` of a stage on.

        Raises UserError when the devices can't share a batch evenly.
        """
        replicas = self.strategy.num_replicas_in_sync
        if self.stages[stage].batch % replicas:
            raise UserError(f"a batch of {self.stages[stage].batch} can't be split evenly on {replicas} devices")

        def of_worker(context):
            dataset = stream(stage, start, context.input_pipeline_id, context.num_input_pipelines)
            return _split(dataset, replicas // context.num_input_pipelines)  # a part for each device of this process

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def update(self, batch, stage):
        """Update of the weights by a batch from `batches`; returns the loss, a scalar, over all devices."""
        return self._update(*batch, loss=self.stages[stage].loss)

    @tf.function
    def _update(self, lr, hr, *, loss):
        losses = self.strategy.run(self._update_replica, (lr, hr), {"loss": loss})
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    def _update_replica(self, lr, hr, *, loss):
        with tf.GradientTape() as tape:
            sr = self.model(tf.cast(lr, tf.float32), training=True)
            replica_loss = LOSSES[loss](sr, tf.cast(hr, tf.float32))
            # The optimizer sums the devices' gradients: together they are the gradient of the whole batch's mean.
            scaled = replica_loss / self.strategy.num_replicas_in_sync
            if self._scales_loss:
                scaled = self.optimizer.get_scaled_loss(scaled)
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return replica_loss

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def mean_over_workers(self, value):
        """The mean of a number that each process gives, known to all of them: all must call this together."""
        if self.strategy.cluster_resolver is None:  # a single process need not wait for its GPU in every update
            return value
        return float(self._mean(tf.constant(value, tf.float32)))

    @tf.function
    def _mean(self, value):
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, self.strategy.run(tf.identity, (value,)), axis=None)

    def weights(self):
        """Weights that are validated and kept, as NumPy arrays: the network's, or their moving average."""
        if not self.keeps_average:
            return self.model.get_weights()
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        # Private, but Keras has nothing public that reads the average: finalize_variable_values writes it over the
        # weights that training goes on with.
        return keras.backend.batch_get_value(inner._model_variables_moving_average)

    def check_finite(self, loss):
        """Raise DivergedError if a mean loss, or a weight, is not a finite number."""
        # A loss is older than the update it causes: weights can be NaN already while it is finite.
        if math.isfinite(loss) and all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            return
        saved = self.checkpoints.latest
        good = f"{saved} (weights: {self.folder / checkpoint.LAST})" if saved else "none was saved yet"
        raise DivergedError(
            f"the loss or a weight is no finite number by step {int(self.state.step)} (mean loss {loss})."
            f" Last good checkpoint: {good}. Try a smaller learning_rate, a longer warmup, clip_norm or "
            f"float32 as mixed_precision, in another workdir"
        )

    def validate(self, progress):
        """Validation: mean Y-PSNR of the images; keeps the weights if they are the best yet. Returns the record."""
        step, started = int(self.state.step), time.monotonic()
        self._refresh_float_model()
        scale = self.model_config.scale
        images = [(self.upscale(lr), lr, hr) for _, lr, hr in self.valid]
        psnr_y = float(np.mean([metrics.psnr_y(sr, hr, shave=scale) for sr, _, hr in images]))
        best = psnr_y > float(self.state.best_psnr_y)
        if best:
            with self.checkpoints.saving():
                self._save_weights(checkpoint.BEST, step=step, psnr_y=psnr_y)
            self.state.best_psnr_y.assign(psnr_y)
        tf.summary.scalar("valid/psnr_y", psnr_y, step)
        tf.summary.image("valid/bicubic_network_original", _panel(*images[0], scale)[None], step)
        seconds = time.monotonic() - started
        note = " (best yet)" if best else ""
        logging.info("step %d: %.3f dB on validation%s, in %.0f s", step, psnr_y, note, seconds)
        progress.psnr_y = psnr_y
        reported = {name: getattr(progress, name) for name in ("loss", "images_per_second", "data_wait")}
        return {
            "step": step,
            "psnr_y": psnr_y,
            "best_psnr_y": float(self.state.best_psnr_y),
            "learning_rate": self.learning_rate(),
            **{name: None if math.isnan(value) else value for name, value in reported.items()},
            "hours": self._count_seconds() / 3600,
            "time": datetime.datetime.now().isoformat(timespec="seconds"),
        }

    def save(self):
        """Write the state to resume from and last.h5. Raises StoppedError, the earlier ones kept, when it can't."""
        self._count_seconds()
        step = int(self.state.step)
        with self.checkpoints.saving():
            self.checkpoints.save()
            self._refresh_float_model()
            self._save_weights(checkpoint.LAST, step=step)

    def _refresh_float_model(self):
        self._float_branches.set_weights(self.weights())
        reparameterized.transfer(self._float_branches, self.float_model)

    def learning_rate(self):
        return float(keras.backend.get_value(self.optimizer.learning_rate))

    def _save_weights(self, name, **about):
        checkpoint.save(self.float_model, self.model_config, self.folder / name, **about)

    def _count_seconds(self):
        """Add the time since the last call to the run's own, and return that."""
        now = time.monotonic()
        self.state.seconds.assign_add(now - self.counted_at)
        self.counted_at = now
        return float(self.state.seconds)


def _split(dataset, count):
    """Each batch of (lr, hr) in `count` batches, one after the other."""
    if count == 1:
        return dataset

    def parts(*images):
        return tuple(tf.reshape(i, [count, i.shape[0] // count, *i.shape[1:]]) for i in images)

    return dataset.map(parts).unbatch()


def _panel(sr, lr, hr, scale):
    """bicubic | network | original, side by side, at most 1024 pixels high."""
    return np.concatenate([image[:1024, :1024] for image in (bicubic.upscale(lr, scale), sr, hr)], axis=1)
