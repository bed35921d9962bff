"""Fine-tuning trained weights for int8, with every rounding of the int8 file simulated:

    python tflite/qat.py --data FOLDER                               the newest run -> its int8 .tflite
    python tflite/qat.py --data FOLDER --weights RFDN_AIM.pth        any weights

It starts where convert --int8 ends: the network is rewritten, equalized and rounded, and ranges of tensors are calibrated
on the training images. Then the simulated network, weights and ranges, learns to give what the float one gives. The same
command goes on where it was; when all updates are done it writes the file, and with another --shape or --out a further
one.

A workdir holds config.json, prepared.h5 and ranges.json (the float weights and the ranges it starts from), best.h5 (the
simulated network's weights and ranges), state/ and metrics.jsonl.
"""

import dataclasses
import datetime
import functools
import json
import math
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.config import SMALLEST_INPUT, name_of
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import calibration, quantize, rewrite, simulation
from keras_rfdn.training import workdir
from keras_rfdn.training.checkpoint_manager import CheckpointManager
from keras_rfdn.training.loop import stop_signals
from keras_rfdn.training.progress import Progress
from keras_rfdn.upscaling.upscalers import from_model

PREPARED, RANGES, BEST = "prepared.h5", "ranges.json", "best.h5"
FITS = {"minmax": simulation.minmax, "least_error": simulation.least_error}
RANGE_RATE = 0.2  # how fast ranges are learned, relative to weights


@dataclasses.dataclass(frozen=True)
class QatConfig:
    """Fine-tune trained weights for int8 and write the .tflite; the same command again goes on where it was."""

    data: str = "div2k"  # what to fine-tune on: div2k, sample or a folder, as for keras_rfdn.train
    data_dir: str | None = None  # tensorflow-datasets' folder for div2k
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = 20  # validate on the first of them only
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    # Weight file, workdir or released .pth; by default the newest run or shipped.
    weights: str | None = None
    variant: str | None = None  # a row of keras_rfdn.networks.config.VARIANTS
    scale: int | None = None  # 2, 3 or 4
    workdir: str | None = None  # by default runs/qat-VARIANT-xSCALE
    out: str | None = None  # the .tflite; by default in the workdir, named by variant, scale and shape
    shape: str = "1,180,320,3"  # LR input of the .tflite, or "dynamic" for any height and width
    exact_skip: bool = False  # as for tflite/convert.py
    twice: tuple[str, ...] = ()  # as for tflite/convert.py
    frames: int = 64  # to calibrate on: patches of 64x64 LR pixels
    ranges: str = "minmax"  # those that training starts from: minmax of the frames, or least_error on them
    steps: int = 900  # updates
    batch: int = 8
    patch: int = 32  # LR pixels
    learning_rate: float = 3e-4  # of an update, relative to the weights; falls to 0 by a half cosine
    distillation: float = 1.0  # weight of the float network's output in the loss; the rest is that of the originals
    validate_every: int = 250  # updates
    log_every: int = 50  # updates
    save_minutes: float = 5  # longest time between two saved states
    seed: int = 0


# What may differ when a run is resumed; anything else would make it another run.
RESUMABLE = {"data_dir", "cache", "workdir", "out", "shape", "validate_every", "log_every", "save_minutes"}


def main(config):
    """Fine-tunes, writes the .tflite and returns its path, or None where a signal stopped it before the end."""
    _check(config)
    height, width = converter.size_of(config.shape)
    weights = checkpoint.resolve(config.weights, variant=config.variant, scale=config.scale)
    model, model_config = checkpoint.load(weights)
    name = f"{name_of(model_config)}_x{model_config.scale}"
    folder = pathlib.Path(config.workdir or checkpoint.RUNS / f"qat-{name.replace('_', '-')}")
    out = pathlib.Path(config.out or folder / f"{name}_int8{converter.suffix(height, width)}.tflite")
    with workdir.locked(folder, config, resumable=RESUMABLE):
        folded = rewrite.fold_value_range(model, model_config, batch=None)
        pairs, valid = _images(config, model_config.scale)
        ready = prepared(folded, pairs, config, folder)
        operations = simulation.operations(ready)
        learner = fine_tune(folded, operations, pairs, valid, config, folder)
        if learner is None:
            return None
        content = to_tflite(ready, *simulation.learned(operations, learner), height=height, width=width)
        converter.write(content, out)
    print(description.table([out.name], [description.describe(content)]))
    return out


def to_tflite(model, ranges, twin=None, *, height=None, width=None):
    """Float model -> bytes of its int8 TFLite file with ranges and, if there is one, a trained twin's weights.

    model: functional, float, of our layers without Rescaling (rewrite.fold_value_range), its height, width and batch
    open. ranges, twin: of simulation.operations(model). height, width: the fixed LR size, or None for any. Input and
    output are uint8 RGB, scale 1, zero point 0. Raises StoppedError when the converter left an operation in float.
    """
    operations = simulation.operations(model, height=height, width=width, batch=1)
    rounded = simulation.simulate(operations, simulation.named(operations, ranges.values()), for_converter=True)
    _set_weights(rounded, simulation.stored(rounded if twin is None else twin))
    content = converter.to_tflite(functools.partial(rounded, training=False), rounded, "int8")
    if floats := description.describe(content).float_operators:
        raise StoppedError(f"TFLite's converter left operations in float: {floats}")
    return content


def prepared(model, pairs, config, folder):
    """The float network that fine-tuning starts from: model after the steps of quantize.quantize, kept in folder.

    model: as for to_tflite. pairs, config: as for fine_tune.
    """
    rewriting = {"exact_skip": config.exact_skip, "twice": config.twice}
    ready = quantize.rewritten(model, **rewriting)
    if not (folder / PREPARED).exists():
        rounded = quantize.quantize(model, _frames(pairs, config), **rewriting).model
        with files.atomic_write(folder / PREPARED) as partial:
            rounded.save_weights(partial, save_format="h5")
    ready.load_weights(folder / PREPARED)
    return ready


def fine_tune(teacher, operations, pairs, valid, config, folder):
    """Train a model's learner, or go on from folder's state -> the best one, or None when stopped by a signal.

    teacher: float network of grey levels, uint8's range in and out, whose output is learned. operations: from
    simulation.operations; the learner is simulation.learning's. pairs: from data.pipeline.cache. valid: (name, lr, hr)
    images. config: QatConfig.
    Raises StoppedError when the loss is no longer a finite number.
    """
    if not (folder / RANGES).exists():
        files.write_json(folder / RANGES, _calibrated(operations, pairs, config))
    tuner = Tuner(teacher, operations, valid, config, folder)
    start = int(tuner.state.step)
    if start:
        logging.info("resumed at step %d, best so far %.3f dB", start, float(tuner.state.best_psnr_y))
    else:
        tuner.validate(None)
    if start < config.steps and not _updates(tuner, pairs, start, config):
        return None
    tuner.learner.load_weights(folder / BEST)
    return tuner.learner


def _updates(tuner, pairs, start, config):
    """The updates from start + 1 to the last. Returns whether it was reached, before a signal came."""
    stream = pipeline.stream(pairs, lr_patch=config.patch, batch=config.batch, seed=config.seed, start=start)
    progress = Progress(start, config.steps)
    with stop_signals() as stopped:
        for step, (lr, hr) in enumerate(stream, start + 1):
            progress.add(tuner.update(lr, hr), config.batch, 0.0)
            tuner.state.step.assign(step)
            stop, last = stopped(), step == config.steps
            if last or step % config.log_every == 0:
                progress.report(step, float(tuner.optimizer.learning_rate))
            validates = last or step % config.validate_every == 0
            if validates:
                progress.psnr_y = tuner.validate(progress.mean_loss())
            if validates or stop or tuner.states.minutes_since_save() > config.save_minutes:
                tuner.save(progress.mean_loss())
            if last or stop:
                break
    if not last:
        logging.info("stopped at step %d; the same command goes on from there", step)
    return last


class Tuner:
    """A learner with its optimizer, its saved state and its validation."""

    def __init__(self, teacher, operations, valid, config, folder):
        self.teacher, self.valid, self.config, self.folder = teacher, valid, config, folder
        self.learner = simulation.learning(operations, simulation.named(operations, _ranges(folder)))
        self.optimizer = RelativeAdam(keras.optimizers.schedules.CosineDecay(config.learning_rate, config.steps))
        self.optimizer.build(self.learner.trainable_variables)
        self.states = CheckpointManager(
            folder,
            otherwise="start again in another --workdir",
            learner=self.learner,
            optimizer=self.optimizer,
            step=tf.Variable(0, dtype=tf.int64),
            best_psnr_y=tf.Variable(-math.inf, dtype=tf.float64),
        )
        self.state = self.states.parts
        self.upscale = from_model(self.learner)

    @tf.function
    def update(self, lr, hr):
        """One update on a uint8 batch; returns the loss in squared grey levels."""
        lr, hr = tf.cast(lr, tf.float32), tf.cast(hr, tf.float32)
        wanted = tf.clip_by_value(self.teacher(lr), 0.0, 255.0)
        share = self.config.distillation
        with tf.GradientTape() as tape:
            sr = self.learner(lr, training=True)
            loss = share * tf.reduce_mean(tf.square(sr - wanted)) + (1 - share) * tf.reduce_mean(tf.square(sr - hr))
        variables = self.learner.trainable_variables
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
            with self.states.saving(), files.atomic_write(self.folder / BEST) as partial:
                self.learner.save_weights(partial, save_format="h5")
            self.state.best_psnr_y.assign(psnr_y)
        record = {
            "step": int(self.state.step),
            "loss": loss,
            "psnr_y": psnr_y,
            "best_psnr_y": float(self.state.best_psnr_y),
            "time": datetime.datetime.now().isoformat(timespec="seconds"),
        }
        workdir.add_record(self.folder, record)
        logging.info("step %d: %.3f dB on validation%s", record["step"], psnr_y, " (best yet)" if best else "")
        return psnr_y

    def save(self, loss):
        if not (math.isfinite(loss) and all(np.isfinite(w).all() for w in self.learner.get_weights())):
            raise StoppedError(
                f"the loss or a weight is no finite number by step {int(self.state.step)}; try a smaller "
                f"--learning_rate in another --workdir"
            )
        with self.states.saving():
            self.states.save()


class RelativeAdam(keras.optimizers.Adam):
    """Adam whose steps are relative to a weight's surroundings: times the root mean square of its output channel's.

    That is of the kernel as it was at the start, and for a bias of all biases of its layer. Rewriting before conversion
    leaves kernels whose sizes differ by powers of ten, from layer to layer and from channel to channel. An end of a
    range moves by RANGE_RATE of its own size: one that clips too much is found out slowly.
    """

    def build(self, variables):
        super().build(variables)
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


def _calibrated(operations, pairs, config):
    return list(simulation.calibrate(operations, _frames(pairs, config), FITS[config.ranges]).values())


def _frames(pairs, config):
    """What kernels are rounded and ranges taken on: patches as they are.

    The seams of calibration.frames' mosaics would widen ranges by what no image has.
    """
    named = [("", *pair) for pair in pairs]  # items as data.folders gives them
    return list(calibration.patches(named, count=config.frames, seed=config.seed))


def _ranges(folder):
    return json.loads((folder / RANGES).read_text())


def _set_weights(twin, weights):
    for variable, value in zip(twin.trainable_variables, weights, strict=True):
        variable.assign(value)


def _images(config, scale):
    """(pairs to train on, images to validate on)."""
    train, valid = pipeline.sources(
        config.data, scale, data_dir=config.data_dir, valid=config.valid, valid_images=config.valid_images
    )
    valid = pipeline.validation_images(valid, config.valid_images)
    return pipeline.cache(train, config.cache, smallest=config.patch), valid


def _check(config):
    for field in ("valid_images", "frames", "steps", "batch", "learning_rate", "validate_every", "log_every"):
        if getattr(config, field) <= 0:
            raise UserError(f"--{field} must be above 0, got {getattr(config, field)}")
    if config.patch < SMALLEST_INPUT:
        raise UserError(f"--patch must be {SMALLEST_INPUT} LR pixels or more, got {config.patch}")
    if config.ranges not in FITS:
        raise UserError(f"--ranges must be one of {', '.join(FITS)}, got {config.ranges}")
    if not 0 <= config.distillation <= 1:
        raise UserError(f"--distillation must be 0 to 1, got {config.distillation}")


if __name__ == "__main__":
    command.run(main, QatConfig)
