"""A network in training: its update on one or many devices, its saved state, its validation."""

import dataclasses
import datetime
import math
import time

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import models
from keras_rfdn.training import strategies
from keras_rfdn.training.checkpoint_manager import CheckpointManager
from keras_rfdn.training.losses import LOSSES
from keras_rfdn.training.optimizers import OPTIMIZERS
from keras_rfdn.training.schedules import learning_rate
from keras_rfdn.upscaling.upscalers import from_model


class DivergedError(StoppedError):
    """The loss or a weight is no longer a finite number."""


class Trainer:
    """Everything that a run keeps from one update to the next.

    config: a TrainConfig, of which mixed_precision, optimizer, ema and clip_norm are read here. stages: of
    training.recipes. valid: (name, lr, hr) images. folder: the workdir. init: weight file that fresh networks start
    from, or None.
    Raises StoppedError when the workdir holds states of which none can be read.
    """

    def __init__(self, model_config, stages, valid, config, folder, *, strategy=None, init=None):
        self.model_config, self.stages, self.valid, self.folder = model_config, stages, valid, folder
        self.strategy = strategy or tf.distribute.get_strategy()
        self.chief = strategies.is_chief(self.strategy)
        with self.strategy.scope():
            self.model = models.build(model_config, precision=config.mixed_precision)
            if init is not None:
                _start_from(self.model, model_config, init)
            self.optimizer = _optimizer(stages, config)
            self.optimizer.build(self.model.trainable_variables)
        self.keeps_average = bool(config.ema)
        self.states = CheckpointManager(
            folder,
            otherwise=f"start a new --workdir from the weights with --init {folder / checkpoint.LAST}",
            model=self.model,
            optimizer=self.optimizer,
            step=tf.Variable(0, dtype=tf.int64),
            best_psnr_y=tf.Variable(-math.inf, dtype=tf.float64),
            seconds=tf.Variable(0, dtype=tf.float64),
        )
        self.state = self.states.parts
        self.counted_at = time.monotonic()
        # Validation measures what users get: the same weights in float32.
        self.float_model = models.build(model_config)
        self.upscale = from_model(self.float_model)

    def batches(self, stream, stage, start):
        """Iterator of this process' part of the batches, from update `start` of a stage on.

        stream(stage, start, shard, shards) -> dataset of (lr, hr) uint8 batches, of which a shard has its own part.
        """
        replicas = self.strategy.num_replicas_in_sync
        if self.stages[stage].batch % replicas:
            raise UserError(f"--batch {self.stages[stage].batch} can't be split evenly on {replicas} devices")

        def of_worker(context):
            dataset = stream(stage, start, context.input_pipeline_id, context.num_input_pipelines)
            return _split(dataset, replicas // context.num_input_pipelines)

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def update(self, batch, stage):
        """One update on a batch from `batches`; returns the loss, a scalar, over all devices."""
        return self._update(*batch, loss=self.stages[stage].loss)

    @tf.function
    def _update(self, lr, hr, *, loss):
        losses = self.strategy.run(self._update_replica, (lr, hr), {"loss": loss})
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    def _update_replica(self, lr, hr, *, loss):
        with tf.GradientTape() as tape:
            sr = self.model(tf.cast(lr, tf.float32), training=True)
            own = LOSSES[loss](sr, tf.cast(hr, tf.float32))
            # The optimizer adds up what the devices bring; together that is the gradient of the whole batch's mean.
            scaled = own / self.strategy.num_replicas_in_sync
            if self._scales_loss:
                scaled = self.optimizer.get_scaled_loss(scaled)
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return own

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def mean_over_workers(self, value):
        """The mean of a number that each process gives, known to all of them: all must call this together."""
        if self.strategy.cluster_resolver is None:  # alone, and not to wait for a GPU in every update
            return value
        return float(self._mean(tf.constant(value, tf.float32)))

    @tf.function
    def _mean(self, value):
        return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, self.strategy.run(tf.identity, (value,)), axis=None)

    def weights(self):
        """What is validated and kept, as NumPy arrays: the weights, or where one is kept their moving average."""
        if not self.keeps_average:
            return self.model.get_weights()
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return keras.backend.batch_get_value(inner._model_variables_moving_average)

    def check_finite(self, loss):
        """Raise DivergedError if a mean loss, or a weight, is not a finite number."""
        # A loss is older than the update it causes: weights can be NaN already while it is finite.
        if math.isfinite(loss) and all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            return
        saved = self.states.latest
        good = f"{saved} (weights: {self.folder / checkpoint.LAST})" if saved else "none was saved yet"
        raise DivergedError(
            f"the loss or a weight is no finite number by step {int(self.state.step)} (mean loss {loss})."
            f" Last good checkpoint: {good}. Try a smaller --learning_rate, a longer --warmup, --clip_norm or "
            f"--mixed_precision float32, in another --workdir"
        )

    def validate(self, progress):
        """Mean Y-PSNR of the validation images; keeps the weights if they are the best yet. Returns the record."""
        step, started = int(self.state.step), time.monotonic()
        self.float_model.set_weights(self.weights())
        scale = self.model_config.scale
        images = [(self.upscale(lr), lr, hr) for _, lr, hr in self.valid]
        psnr_y = float(np.mean([metrics.psnr_y(sr, hr, shave=scale) for sr, _, hr in images]))
        best = psnr_y > float(self.state.best_psnr_y)
        if best:
            with self.states.saving():
                self._save_weights(checkpoint.BEST, step=step, psnr_y=psnr_y)
            self.state.best_psnr_y.assign(psnr_y)
        tf.summary.scalar("valid/psnr_y", psnr_y, step)
        tf.summary.image("valid/bicubic_network_original", _picture(*images[0], scale)[None], step)
        seconds = time.monotonic() - started
        note = " (best yet)" if best else ""
        logging.info("step %d: %.3f dB on validation%s, in %.0f s", step, psnr_y, note, seconds)
        progress.psnr_y = psnr_y
        return {
            "step": step,
            "loss": progress.loss,
            "psnr_y": psnr_y,
            "best_psnr_y": float(self.state.best_psnr_y),
            "learning_rate": self.learning_rate(),
            "images_per_second": progress.images_per_second,
            "data_wait": progress.data_wait,
            "hours": self._count_seconds() / 3600,
            "time": datetime.datetime.now().isoformat(timespec="seconds"),
        }

    def save(self):
        """Write the state to resume from and last.h5. Raises StoppedError, the earlier ones kept, when it can't."""
        self._count_seconds()
        step = int(self.state.step)
        with self.states.saving():
            self.states.save()
            self.float_model.set_weights(self.weights())
            self._save_weights(checkpoint.LAST, step=step)

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


def _optimizer(stages, config):
    optimizer = OPTIMIZERS[config.optimizer](
        learning_rate(stages), beta_1=0.9, beta_2=0.999, epsilon=1e-8,
        global_clipnorm=config.clip_norm or None, use_ema=bool(config.ema), ema_momentum=config.ema,
    )  # fmt: skip
    return keras.mixed_precision.LossScaleOptimizer(optimizer) if config.mixed_precision == "float16" else optimizer


def _start_from(model, config, init):
    """Copy a weight file into a fresh model: all of it, or all but the last convolution of another scale."""
    start, start_config = checkpoint.load(init)
    if dataclasses.replace(start_config, scale=config.scale) != config:
        raise UserError(f"--init {init} is of another network: {start_config}, and this one is {config}")
    layers = [layer for layer in model.layers if layer.weights]
    for layer in layers if start_config == config else layers[:-1]:
        layer.set_weights(start.get_layer(layer.name).get_weights())
    logging.info("started from %s%s", init, "" if start_config == config else ", all but the last convolution")


def _split(dataset, count):
    """Each batch of (lr, hr) in `count` batches, one after the other."""
    if count == 1:
        return dataset

    def parts(*images):
        return tuple(tf.reshape(i, [count, i.shape[0] // count, *i.shape[1:]]) for i in images)

    return dataset.map(parts).unbatch()


def _picture(sr, lr, hr, scale):
    """bicubic | network | original, side by side, at most 1024 pixels high."""
    return np.concatenate([image[:1024, :1024] for image in (bicubic.upscale(lr, scale), sr, hr)], axis=1)
