"""Training loop: updates, validation and saving, resumable, with signals handled."""

import contextlib
import signal
import time

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.training import recipes, workdir
from keras_rfdn.training.progress import Progress
from keras_rfdn.training.trainer import Trainer


def fit(model_config, stages, stream, valid, config, folder, strategy=None):
    """Train a fresh network, or go on from the workdir's state. Returns the last validation's record.

    stages: of training.recipes. stream: as for Trainer.batches. valid: (name, lr, hr) images. folder: the workdir.
    Raises trainer.DivergedError, naming the last good checkpoint, when the loss becomes infinite or NaN, and
    RuntimeError when a state can't be saved or another worker is gone.
    """
    keras.utils.set_random_seed(config.seed)
    init = None if (folder / workdir.STATE / "checkpoint").exists() else _init(config)
    trainer = Trainer(model_config, stages, valid, config, folder, strategy=strategy, init=init)
    start, steps = int(trainer.state.step), sum(stage.steps for stage in stages)
    if trainer.mean_over_workers(start) != start:
        raise StoppedError(f"this worker finds {start} updates in {folder}, others another number; all need one folder")
    if start:
        logging.info("resumed at step %d, best so far %.2f dB", start, float(trainer.state.best_psnr_y))
    if start >= steps:
        logging.info("all %d steps are done; raise --steps to go on, or name another --workdir", start)
        return workdir.records(folder)[-1]
    with _other_workers_gone(folder), _tensorboard(folder, trainer.chief), stop_signals() as stopped:
        record = _train(trainer, stream, start, steps, config, stopped)
    if record.get("step") == steps and trainer.chief:
        summary(trainer, config, folder)
    return record


def _train(trainer, stream, start, steps, config, stopped):
    """The updates from start + 1 to steps, with reports, validation and saving between them."""
    record, progress = {}, Progress(start, steps)
    for step, stage, batch, waited in _batches(trainer, stream, start):
        progress.add(trainer.update(batch, stage), trainer.stages[stage].batch, waited)
        trainer.state.step.assign(step)
        # Workers wait for each other in an update, so all must stop after the same one.
        stop, last = trainer.mean_over_workers(stopped()) > 0, step == steps
        reports, validates = (last or step % every == 0 for every in (config.log_every, config.validate_every))
        saves = validates or stop or trainer.states.minutes_since_save() > config.save_minutes
        if reports or saves:
            trainer.check_finite(progress.mean_loss())
        if reports:
            progress.report(step, trainer.learning_rate())
        if validates and trainer.chief:
            record = trainer.validate(progress)
            workdir.add_record(trainer.folder, record)
        if saves and trainer.chief:
            trainer.save()
        if stop and not last:
            logging.info("stopped at step %d; the same command goes on from there", step)
        if stop or last:
            break
    return record


def _batches(trainer, stream, start):
    """Yields (update's number, stage, batch, seconds waited for it) of all stages from update start + 1 on."""
    first = 0
    for stage, settings in enumerate(trainer.stages):
        end = first + settings.steps
        if start < end:
            batches = trainer.batches(stream, stage, max(0, start - first))
            for step in range(max(start, first) + 1, end + 1):
                asked = time.monotonic()
                batch = next(batches)
                yield step, stage, batch, time.monotonic() - asked
        first = end


def summary(trainer, config, folder):
    """Print what a finished run came to, and write summary.json and curve.png. Returns what summary.json says."""
    from keras_rfdn.evaluation import plots

    records = workdir.records(folder)
    scale = trainer.model_config.scale
    baseline = [metrics.psnr_y(bicubic.upscale(lr, scale), hr, shave=scale) for _, lr, hr in trainer.valid]
    best = max(records, key=lambda record: record["psnr_y"])
    result = {
        "variant": config.variant,
        "scale": scale,
        "recipe": config.recipe,
        "parameters": trainer.model.count_params(),
        "steps": records[-1]["step"],
        "hours": records[-1]["hours"],
        "best_psnr_y": best["psnr_y"],
        "best_step": best["step"],
        "last_psnr_y": records[-1]["psnr_y"],
        "bicubic_psnr_y": float(np.mean(baseline)),
        "images_per_second": float(np.median([record["images_per_second"] for record in records])),
        "data_wait": float(np.median([record["data_wait"] for record in records])),
    }
    files.write_json(folder / "summary.json", result)
    plots.curve(records, folder / "curve.png", baseline=result["bicubic_psnr_y"])
    cells = [[key, f"{value:.4g}" if isinstance(value, float) else value] for key, value in result.items()]
    print(text_table(["run", str(folder)], cells))
    return result


def _tensorboard(folder, chief):
    """tf.summary's writer as a context; workers but the chief write nothing."""
    if not chief:
        return tf.summary.create_noop_writer().as_default()
    return tf.summary.create_file_writer(str(folder / "tensorboard")).as_default()


@contextlib.contextmanager
def _other_workers_gone(folder):
    """Say what a lost worker means, instead of TensorFlow's pages about collective operations."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise StoppedError(
            f"another worker is gone ({str(error).splitlines()[0]}). The same command on all hosts goes on from the "
            f"last state in {folder}"
        ) from error


@contextlib.contextmanager
def stop_signals():
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


def _init(config):
    """The weight file that a run starts from, or None."""
    source = config.recipe and recipes.recipe(config.recipe).starts_from
    path = config.init or (source and checkpoint.RUNS / source)
    if source and not config.init and not path.exists():
        raise UserError(
            f"recipe {config.recipe} starts from the weights of {source}: train that first, or name any of its network "
            f"({VARIANTS[config.variant].block}) with --init"
        )
    return path and checkpoint.resolve(path)
