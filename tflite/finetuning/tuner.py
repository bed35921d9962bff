"""Quantization-aware training: a simulated int8 network, weights and ranges, learns the float network's output."""

import dataclasses
import datetime
import json
import math
import pathlib
import time

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.data.system.progress import heartbeat
from keras_rfdn.evaluation import metrics
from keras_rfdn.tflite.quantization import calibration
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.simulator import Quantized, export_learned, make_trainable
from keras_rfdn.training import workdir
from keras_rfdn.training.checkpoint_manager import CheckpointManager
from keras_rfdn.training.loop import stop_signals
from keras_rfdn.training.progress import Progress
from keras_rfdn.upscaling.keras_upscalers import from_model

CALIBRATED, SCALES, BEST = "calibrated.h5", "calibrated.json", "best.h5"
RANGE_RATE = 0.2  # how fast ranges are learned, relative to weights
LOG_EVERY = 50  # updates


@dataclasses.dataclass(frozen=True)
class TunerSettings:
    """Settings of a fine-tuning. learning_rate: relative to the weights; it falls to 0 by a half cosine."""

    steps: int  # updates
    batch: int  # patches
    patch: int  # LR pixels
    learning_rate: float
    validate_every: int  # updates
    save_minutes: float  # longest time between two saved states
    seed: int


def calibrate(model: keras.Model, pairs, folder: pathlib.Path, *, accurate: bool, seed: int) -> Quantized:
    """Quantize a float network after training, once: the result is kept in folder and read back from there.

    model: as for post_training.quantize. pairs: (lr, hr) items to take calibration.PATCHES patches from.
    """
    named = [("", *pair) for pair in pairs]
    if not (folder / SCALES).exists():
        images = list(calibration.patches(named, count=calibration.PATCHES, seed=seed))
        with heartbeat("calibrating"):
            quantized = quantize(model, images, accurate=accurate)
        with checkpoint.hdf5_write(folder / CALIBRATED) as file:
            quantized.model.save(file, save_format="h5")
        absmax = {name: value.tolist() for name, value in quantized.absmax.items()}
        files.write_json(folder / SCALES, {"ranges": quantized.ranges, "absmax": absmax})
    scales = json.loads((folder / SCALES).read_text())
    lowered = keras.models.load_model(folder / CALIBRATED, compile=False)
    return Quantized(
        model=lowered,
        scheme=Scheme.of(lowered),
        ranges={name: tuple(bounds) for name, bounds in scales["ranges"].items()},
        absmax={name: np.array(value, np.float32) for name, value in scales["absmax"].items()},
    )


def fine_tune(
    teacher: keras.Model, quantized: Quantized, pairs, valid, settings: TunerSettings, folder: pathlib.Path
) -> Quantized | None:
    """Train a quantized network, or go on from folder's state -> the best one, or None when stopped by a signal.

    teacher: float network of grey levels, whose output is learned. pairs: from pipeline.cache. valid: (name, lr, hr)
    images. Raises StoppedError when the loss is no longer a finite number.
    """
    tuner = Tuner(teacher, quantized, valid, settings, folder)
    start = int(tuner.state.step)
    if start:
        logging.info("resumed at step %d, best so far %.3f dB", start, float(tuner.state.best_psnr_y))
    else:
        tuner.validate(None)
    if start < settings.steps and not _train(tuner, pairs, start, settings):
        return None
    tuner.model.load_weights(folder / BEST)
    return export_learned(quantized, tuner.model)


def _train(tuner, pairs, start, settings):
    """The updates from start + 1 to the last. Returns whether it was reached, before a signal came."""
    stream = iter(
        pipeline.stream(pairs, lr_patch=settings.patch, batch=settings.batch, seed=settings.seed, start=start)
    )
    progress = Progress(start, settings.steps)
    with stop_signals() as stopped:
        for step in range(start + 1, settings.steps + 1):
            asked = time.monotonic()
            lr, _ = next(stream)
            waited = time.monotonic() - asked
            progress.add(tuner.update(lr), settings.batch, waited)
            tuner.state.step.assign(step)
            progress.heartbeat(step)
            stop, last = stopped(), step == settings.steps
            if last or step % LOG_EVERY == 0:
                progress.report(step, float(tuner.optimizer.learning_rate))
            validates = last or step % settings.validate_every == 0
            if validates:
                progress.psnr_y = tuner.validate(progress.mean_loss())
            if validates or stop or tuner.checkpoints.minutes_since_save() > settings.save_minutes:
                tuner.save(progress.mean_loss())
            if stop and not last:
                logging.info("stopped at step %d; the same command resumes there", step)
                return False
    return True


class Tuner:
    """Quantized network in training, with its optimizer, its saved state and its validation."""

    def __init__(self, teacher, quantized, valid, settings, folder):
        self.teacher, self.valid, self.folder = teacher, valid, folder
        self.model = make_trainable(quantized)
        rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
        self.optimizer = RelativeAdam(rate)
        self.optimizer.build(self.model.trainable_variables)
        self.checkpoints = CheckpointManager(
            folder,
            hint="start again in another workdir",
            model=self.model,
            optimizer=self.optimizer,
            step=tf.Variable(0, dtype=tf.int64),
            best_psnr_y=tf.Variable(-math.inf, dtype=tf.float64),
        )
        self.state = self.checkpoints.parts
        self.upscale = from_model(self.model)

    @tf.function
    def update(self, lr):
        """One update on a uint8 batch [n, p, p, 3]; returns the loss in squared grey levels to the float network."""
        lr = tf.cast(lr, tf.float32)
        wanted = tf.clip_by_value(self.teacher(lr), 0.0, 255.0)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.model(lr, training=True) - wanted))
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def validate(self, loss):
        """Mean Y-PSNR of the validation images, in dB; keeps the weights if they are the best yet.

        loss: the mean since the last report, for the record; None before the first update.
        """
        scale = self.valid[0][2].shape[0] // self.valid[0][1].shape[0]
        psnr_y = float(np.mean([metrics.psnr_y(self.upscale(lr), hr, shave=scale) for _, lr, hr in self.valid]))
        best = psnr_y > float(self.state.best_psnr_y)
        if best:
            with self.checkpoints.saving(), checkpoint.hdf5_write(self.folder / BEST) as file:
                checkpoint.save_weights(self.model, file)
            self.state.best_psnr_y.assign(psnr_y)
        record = {
            "step": int(self.state.step),
            "loss": loss,
            "psnr_y": psnr_y,
            "best_psnr_y": float(self.state.best_psnr_y),
            "time": datetime.datetime.now().isoformat(timespec="seconds"),
        }
        with self.checkpoints.saving():
            workdir.add_record(self.folder, record)
        logging.info("step %d: %.3f dB on validation%s", record["step"], psnr_y, " (best yet)" if best else "")
        return psnr_y

    def save(self, loss):
        """Write the state to resume from. Raises StoppedError when the loss or a weight is no finite number."""
        if not (math.isfinite(loss) and all(np.isfinite(w).all() for w in self.model.get_weights())):
            raise StoppedError(
                f"the loss or a weight is no finite number by step {int(self.state.step)}; try a smaller "
                f"learning_rate in another workdir"
            )
        with self.checkpoints.saving():
            self.checkpoints.save()


class RelativeAdam(keras.optimizers.Adam):
    """Adam whose updates are relative to a weight's surroundings: times the root mean square of its output channel's.

    That is of the kernel as it was at the start, and for a bias of all biases of its layer. Rewriting before conversion
    leaves kernels whose sizes differ by powers of ten, from layer to layer and from channel to channel. An end of a
    range moves by RANGE_RATE of its own size: one that clips too much is found out slowly.
    """

    _sizes = None

    def build(self, variables):
        super().build(variables)
        if not self._sizes:  # Keras builds again as it traces an update, in a resumed run with weights of later
            self._sizes = {variable.ref(): _size(variable.numpy()) for variable in variables}

    def update_step(self, gradient, variable):
        before = tf.identity(variable)
        super().update_step(gradient, variable)
        variable.assign(before + (variable - before) * self._sizes[variable.ref()])


def _size(weights):
    if weights.ndim == 0:
        return RANGE_RATE * np.abs(weights)
    axes = tuple(range(weights.ndim - 1)) or None
    return np.sqrt(np.square(weights).mean(axis=axes, keepdims=True)) + np.float32(1e-12)
