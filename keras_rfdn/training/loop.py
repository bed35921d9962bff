"""Training loop: updates, validation and saving, resumable, with signals handled."""

import contextlib
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import logging

from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.training import workdir
from keras_rfdn.training.progress import Progress
from keras_rfdn.training.trainer import Stream, Trainer

LOG_EVERY = 100  # updates


def fit(trainer: Trainer, stream: Stream, *, validate_every: int = 5000, save_minutes: float = 10) -> dict:
    """Train a fresh network, or resume from the workdir's state. Returns the last validation's record, {} without one.

    validate_every: updates. save_minutes: longest time between two saved states.
    Raises trainer.DivergedError, naming the last good checkpoint, when the loss becomes infinite or NaN, and
    StoppedError when a state can't be saved or another worker is gone.
    """
    start = int(trainer.state.step)
    if trainer.mean_over_workers(start) != start:
        raise StoppedError(
            f"this worker finds {start} updates in {trainer.folder}, others another number; all need one folder"
        )
    if start:
        logging.info("resumed at step %d, best so far %.2f dB", start, float(trainer.state.best_psnr_y))
    if start >= trainer.steps:
        logging.info("all %d steps are done; ask for more steps, or use another workdir", trainer.steps)
        return (workdir.records(trainer.folder) or [{}])[-1]
    with _other_workers_gone(trainer.folder), _tensorboard(trainer), stop_signals() as stopped:
        return _train(trainer, stream, start, stopped, validate_every, save_minutes)


def _train(trainer, stream, start, stopped, validate_every, save_minutes):
    """The updates from start + 1 to the last, with reports, validation and saving between them."""
    record, progress = {}, Progress(start, trainer.steps)
    if start == 0 and trainer.init and trainer.chief:  # so that no training ends worse than it started
        _validate(trainer, progress)
    for step, stage, batch, waited in _batches(trainer, stream, start):
        progress.add(trainer.update(batch, stage), trainer.stages[stage].batch, waited)
        trainer.state.step.assign(step)
        progress.heartbeat(step)
        # Workers wait for each other in an update, so all must stop after the same one.
        stop, last = trainer.mean_over_workers(stopped()) > 0, step == trainer.steps
        validates = last or step % validate_every == 0
        reports = validates or step % LOG_EVERY == 0
        # The chief alone saves: the other workers' time since then only grows.
        save_is_due = trainer.chief and trainer.checkpoints.minutes_since_save() > save_minutes
        saves = validates or stop or save_is_due
        if reports or saves:
            trainer.check_finite(progress.mean_loss())
        if reports:
            progress.report(step, trainer.learning_rate())
        if validates and trainer.chief:
            record = _validate(trainer, progress)
        if saves and trainer.chief:
            trainer.save()
        if stop and not last:
            logging.info("stopped at step %d; the same command resumes there", step)
        if stop or last:
            break
    return record


def _validate(trainer, progress):
    record = trainer.validate(progress)
    with trainer.checkpoints.saving():
        workdir.add_record(trainer.folder, record)
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


def _tensorboard(trainer):
    """tf.summary's writer as a context; workers but the chief write nothing."""
    if not trainer.chief:
        return tf.summary.create_noop_writer().as_default()
    return tf.summary.create_file_writer(str(trainer.folder / "tensorboard")).as_default()


@contextlib.contextmanager
def _other_workers_gone(folder: pathlib.Path):
    """Say what a lost worker means, instead of TensorFlow's pages about collective operations."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise StoppedError(
            f"another worker is gone ({str(error).splitlines()[0]}). The same command on all hosts resumes from the "
            f"last state in {folder}"
        ) from error


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Signal handlers for Ctrl-C and SIGTERM: the first signal does not kill the process, the second one does.

    Gives a function that returns whether one has come.
    """
    received = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def take(number, _):
        received.append(number)
        restore()

    for number in before:
        signal.signal(number, take)
    try:
        yield lambda: bool(received)
    finally:
        restore()
