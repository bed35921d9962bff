"""Training:

    python -m keras_rfdn.train --scale 4                      RFDN on DIV2K with the paper's settings
    python -m keras_rfdn.train --scale 4 --data FOLDER        on the images of a folder

A workdir holds config.json, best.h5 and last.h5 (weights that evaluate, upscale and convert take), state/ (what the
same command resumes from), metrics.jsonl and tensorboard/.
"""

import contextlib
import dataclasses
import datetime
import itertools
import json
import math
import pathlib
import signal
import time

import numpy as np
import simple_parsing
import tensorflow as tf
import tf_keras as keras
from absl import logging

from data import bicubic, pipeline
from keras_rfdn import checkpoint, command, metrics, models, report
from keras_rfdn.config import SMALLEST_INPUT, variant
from keras_rfdn.upscale import from_model

SCHEDULES = ("halving", "cosine")
METRICS = "metrics.jsonl"  # in a workdir: a line of JSON for every validation


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network; the same command again resumes it. Defaults: the paper's settings (section 4.2)."""

    variant: str = "rfdn"  # a row of keras_rfdn.config.VARIANTS
    scale: int = 4  # 2, 3 or 4
    data: str = "div2k"  # div2k, sample, or a folder of HR images (data/folders.py says in which layouts)
    data_dir: str | None = None  # tensorflow-datasets' folder for div2k
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = 10  # validate on the first of them only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    workdir: str | None = None  # by default runs/VARIANT-xSCALE
    steps: int = 1_000_000  # updates
    batch: int = 64
    patch: int = 64  # LR pixels
    learning_rate: float = 5e-4
    schedule: str = simple_parsing.choice(*SCHEDULES, default="halving")  # halving: by half every halve_every updates
    halve_every: int = 200_000  # updates
    warmup: int = 0  # updates in which the learning rate rises from 0
    mixed_precision: str = simple_parsing.choice(*models.POLICIES, default="float32")  # compute type
    validate_every: int = 5000  # updates
    log_every: int = 100  # updates
    save_minutes: float = 10  # longest time between two saved states
    seed: int = 0


INTERVALS = ("validate_every", "log_every")
# What may differ when a run is resumed; anything else would make it another run. (steps: not where the learning rate
# of every step depends on it.)
RESUMABLE = {"data_dir", "cache", "steps", "save_minutes", "workdir", *INTERVALS}


class DivergedError(RuntimeError):
    """The loss is no longer a finite number."""


def learning_rate(config):
    """TrainConfig -> Keras schedule, a function of the update's number."""
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if config.warmup else config.learning_rate,
            max(1, config.steps - config.warmup),
            warmup_target=config.learning_rate if config.warmup else None,
            warmup_steps=config.warmup,
        )
    return HalvingWithWarmup(config.learning_rate, config.halve_every, config.warmup)


@keras.saving.register_keras_serializable("keras_rfdn")
class HalvingWithWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """initial halved every halve_every updates, after a linear rise over warmup updates."""

    def __init__(self, initial, halve_every, warmup=0):
        self.initial, self.halve_every, self.warmup = initial, halve_every, warmup

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        rise = tf.minimum(1.0, (step + 1) / max(1, self.warmup))
        return self.initial * rise * 0.5 ** tf.floor(step / self.halve_every)

    def get_config(self):
        return {"initial": self.initial, "halve_every": self.halve_every, "warmup": self.warmup}


def main(config):
    """Trains and returns the last validation's record: step, loss, psnr_y, best_psnr_y, images_per_second."""
    model_config = variant(config.variant, config.scale)
    _check(config)
    workdir = pathlib.Path(config.workdir or checkpoint.RUNS / f"{config.variant}-x{config.scale}")
    _claim(workdir, config)
    train_source, valid_source = pipeline.sources(
        config.data,
        config.scale,
        data_dir=config.data_dir,
        valid=config.valid,
        valid_images=config.valid_images,
        skip_broken=config.skip_broken,
    )
    pairs = pipeline.cache(train_source, config.cache, smallest=config.patch)
    valid = list(itertools.islice(valid_source, config.valid_images))
    if not valid:
        raise ValueError("no validation image could be read; name a folder of images with --valid")
    logging.info("%d training images, %d to validate on, workdir %s", len(pairs), len(valid), workdir)

    def stream(start):
        return pipeline.stream(pairs, lr_patch=config.patch, batch=config.batch, seed=config.seed, start=start)

    return fit(model_config, stream, valid, config, workdir)


def fit(model_config, stream, valid, config, workdir):
    """Train a fresh network, or go on from workdir/state.

    stream(start) -> dataset of (lr, hr) uint8 batches from the batch of step `start` on. valid: (name, lr, hr) images.
    Raises DivergedError, naming the last good checkpoint, when the loss becomes infinite or NaN.
    """
    keras.utils.set_random_seed(config.seed)
    trainer = Trainer(model_config, valid, config, workdir)
    start = int(trainer.state.step)
    if start:
        logging.info("resumed at step %d, best so far %.2f dB", start, float(trainer.state.best_psnr_y))
    if start >= config.steps:
        logging.info("all %d steps are done; raise --steps to go on, or name another --workdir", start)
        return json.loads((workdir / METRICS).read_text().splitlines()[-1])
    record = {}
    with _stop_signals() as stopped, trainer.writer.as_default():
        progress = Progress(start, config)
        for step, (lr, hr) in enumerate(stream(start), start + 1):
            progress.add(trainer.train_step(lr, hr))
            trainer.state.step.assign(step)
            stop, last = stopped(), step == config.steps
            if last or step % config.log_every == 0:
                progress.report(step, trainer)
            if last or step % config.validate_every == 0:
                record = trainer.validate(step, progress)
            if record.get("step") == step or stop or trainer.minutes_since_save() > config.save_minutes:
                progress.check_finite(trainer)
                trainer.save()
            if stop and not last:
                logging.info("stopped at step %d; the same command goes on from there", step)
            if stop or last:
                break
    return record


class Trainer:
    """A network in training with its optimizer, its saved state and its validation."""

    def __init__(self, model_config, valid, config, workdir):
        self.model_config, self.valid, self.config, self.workdir = model_config, valid, config, workdir
        self.model = models.build(model_config, precision=config.mixed_precision)
        self.optimizer = keras.optimizers.Adam(learning_rate(config), 0.9, 0.999, 1e-8)
        if config.mixed_precision == "float16":
            self.optimizer = keras.mixed_precision.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self.state = tf.train.Checkpoint(
            model=self.model,
            optimizer=self.optimizer,
            step=tf.Variable(0, dtype=tf.int64),
            best_psnr_y=tf.Variable(-math.inf, dtype=tf.float64),
        )
        self.manager = tf.train.CheckpointManager(self.state, workdir / "state", max_to_keep=2)
        if self.manager.latest_checkpoint:
            self.state.restore(self.manager.latest_checkpoint).assert_existing_objects_matched()
        self.saved_at = time.monotonic()
        self.writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        # Validation measures what users get: the same weights in float32.
        self.float_model = models.build(model_config)
        self.upscale = from_model(self.float_model)

    @tf.function
    def train_step(self, lr, hr):
        """One update on a uint8 batch; returns the L1 loss in grey levels (0..255)."""
        with tf.GradientTape() as tape:
            sr = self.model(tf.cast(lr, tf.float32), training=True)
            loss = tf.reduce_mean(tf.abs(sr - tf.cast(hr, tf.float32)))
            scaled = self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return loss

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)

    def validate(self, step, progress):
        """Mean Y-PSNR of the validation images; keeps the weights if they are the best yet. Returns the record."""
        progress.check_finite(self)
        started = time.monotonic()
        self.float_model.set_weights(self.model.get_weights())
        images = [(self.upscale(lr), lr, hr) for _, lr, hr in self.valid]
        psnr_y = float(np.mean([metrics.psnr_y(sr, hr, shave=self.config.scale) for sr, _, hr in images]))
        best = psnr_y > float(self.state.best_psnr_y)
        if best:
            checkpoint.save(self.model, self.model_config, self.workdir / checkpoint.BEST, step=step, psnr_y=psnr_y)
            self.state.best_psnr_y.assign(psnr_y)
        tf.summary.scalar("valid/psnr_y", psnr_y, step)
        tf.summary.image("valid/bicubic_network_original", _picture(*images[0], self.config.scale)[None], step)
        record = {
            "step": step,
            "loss": progress.loss,
            "psnr_y": psnr_y,
            "best_psnr_y": float(self.state.best_psnr_y),
            "learning_rate": self.learning_rate(),
            "images_per_second": progress.images_per_second,
            "time": datetime.datetime.now().isoformat(timespec="seconds"),
        }
        with open(self.workdir / METRICS, "a") as file:
            file.write(json.dumps(record) + "\n")
        seconds = time.monotonic() - started
        logging.info(
            "step %d: %.3f dB on validation%s, in %.0f s", step, psnr_y, " (best yet)" if best else "", seconds
        )
        progress.psnr_y = psnr_y
        return record

    def save(self):
        step = int(self.state.step)
        self.manager.save(step)
        checkpoint.save(self.model, self.model_config, self.workdir / checkpoint.LAST, step=step)
        self.saved_at = time.monotonic()

    def minutes_since_save(self):
        return (time.monotonic() - self.saved_at) / 60

    def learning_rate(self):
        return float(self.optimizer.learning_rate)


class Progress:
    """Loss and speed since the last report, and the line that tells them."""

    def __init__(self, start, config):
        self.config, self.psnr_y = config, math.nan
        self.losses, self.loss, self.images_per_second = [], math.nan, math.nan
        self.reported_step, self.reported_at = start, time.monotonic()

    def add(self, loss):
        self.losses.append(loss)

    def check_finite(self, trainer):
        """Raise DivergedError if a loss since the last report, or a weight, is not a finite number."""
        if self.losses:
            self.loss = float(tf.reduce_mean(self.losses))
        # A loss is older than the update it causes: weights can be NaN already while it is finite.
        if not math.isfinite(self.loss) or not all(np.isfinite(w).all() for w in trainer.model.get_weights()):
            saved = trainer.manager.latest_checkpoint
            good = f"{saved} (weights: {trainer.workdir / checkpoint.LAST})" if saved else "none was saved yet"
            raise DivergedError(
                f"the loss or a weight is no finite number by step {int(trainer.state.step)} (mean loss {self.loss})."
                f" Last good checkpoint: {good}. Try a smaller --learning_rate, a longer --warmup or "
                f"--mixed_precision float32, in another --workdir"
            )

    def report(self, step, trainer):
        self.check_finite(trainer)
        now = time.monotonic()
        steps_per_second = (step - self.reported_step) / (now - self.reported_at)
        self.images_per_second = steps_per_second * self.config.batch
        left = datetime.timedelta(seconds=round((self.config.steps - step) / steps_per_second))
        logging.info(
            "step %d/%d  loss %.3f  valid %.2f dB  %.1f images/s  left %s",
            step,
            self.config.steps,
            self.loss,
            self.psnr_y,
            self.images_per_second,
            left,
        )
        tf.summary.scalar("train/loss", self.loss, step)
        tf.summary.scalar("train/learning_rate", trainer.learning_rate(), step)
        tf.summary.scalar("train/images_per_second", self.images_per_second, step)
        self.losses, self.reported_step, self.reported_at = [], step, now


def _picture(sr, lr, hr, scale):
    """bicubic | network | original, side by side, at most 1024 pixels high."""
    return np.concatenate([image[:1024, :1024] for image in (bicubic.upscale(lr, scale), sr, hr)], axis=1)


def _check(config):
    for field in ("steps", "batch", "patch", "learning_rate", "halve_every", *INTERVALS, "valid_images"):
        if getattr(config, field) <= 0:
            raise ValueError(f"--{field} must be above 0, got {getattr(config, field)}")
    for field in ("warmup", "seed"):
        if getattr(config, field) < 0:
            raise ValueError(f"--{field} must be 0 or above, got {getattr(config, field)}")
    for field, choices in (("schedule", SCHEDULES), ("mixed_precision", models.POLICIES)):
        if getattr(config, field) not in choices:
            raise ValueError(f"--{field} must be one of {', '.join(choices)}, got {getattr(config, field)}")
    if config.patch < SMALLEST_INPUT:
        raise ValueError(f"--patch must be {SMALLEST_INPUT} LR pixels or more, got {config.patch}")


def _claim(workdir, config):
    """Write the settings into a workdir; refuse one that was trained with others."""
    settings, file = dataclasses.asdict(config), workdir / "config.json"
    if file.exists() and (workdir / "state").exists():  # a run that never saved has nothing to mix up
        before = {f.name: f.default for f in dataclasses.fields(config)} | json.loads(file.read_text())
        fixed = settings.keys() - RESUMABLE | ({"steps"} if config.schedule == "cosine" else set())
        differ = {key: (before[key], settings[key]) for key in sorted(fixed) if before[key] != settings[key]}
        if differ:
            changes = ", ".join(f"{k} was {old} and is now {new}" for k, (old, new) in differ.items())
            raise ValueError(f"{workdir} was made with other settings: {changes}; use another --workdir")
    report.write_json(file, settings)


@contextlib.contextmanager
def _stop_signals():
    """The first Ctrl-C or SIGTERM does not kill; the function handed out tells whether it came. The second one does."""
    came = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def take(number, _):
        came.append(number)
        restore()

    for number in before:
        signal.signal(number, take)
    try:
        yield lambda: bool(came)
    finally:
        restore()


if __name__ == "__main__":
    command.run(main, TrainConfig)
