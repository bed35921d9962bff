"""The states that a run resumes from, in its workdir: two of them, so that one cut short gives way to the other."""

import contextlib
import shutil
import time

import tensorflow as tf
from absl import logging

from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.training import workdir


class CheckpointManager:
    """What a run is made of (parts: a tf.train.Checkpoint, with a step among them) and where it is saved.

    folder: the workdir. If it has a state, the parts take the newest that can be read. otherwise: what the user may do
    when none can be read. Raises StoppedError then.
    """

    def __init__(self, folder, *, otherwise, **parts):
        self.folder = folder / workdir.STATE
        self.parts = tf.train.Checkpoint(**parts)
        self.manager = tf.train.CheckpointManager(self.parts, self.folder, max_to_keep=2)
        self._restore(otherwise)
        self._saved_at = time.monotonic()

    @property
    def latest(self):
        """Path of the newest saved state, or None."""
        return self.manager.latest_checkpoint

    def save(self):
        """Write a state; call it in saving()."""
        self.manager.save(int(self.parts.step))
        self._saved_at = time.monotonic()

    def minutes_since_save(self):
        return (time.monotonic() - self._saved_at) / 60

    @contextlib.contextmanager
    def saving(self):
        """Context for writing to the workdir. Raises StoppedError, what was saved before kept, where that fails."""
        latest = self.latest
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self._clear_partial()
            raise StoppedError(
                f"step {int(self.parts.step)} could not be saved ({error}). What was saved before is whole: "
                f"{latest or 'nothing yet'}. Make room in {self.folder.parent} and give the same command again"
            ) from error

    def _restore(self, otherwise):
        self._clear_partial()
        for path in reversed(self.manager.checkpoints):
            try:
                self.parts.restore(path).assert_existing_objects_matched()
            except (tf.errors.OpError, IndexError, ValueError) as error:
                logging.warning("%s can't be read (%s); trying the one before", path, error)
            else:
                return
        if self.manager.checkpoints:
            raise StoppedError(f"no state in {self.folder} can be read; {otherwise}")

    def _clear_partial(self):
        """Remove what a save that was cut short left behind."""
        for rest in self.folder.glob("*_temp*"):
            shutil.rmtree(rest, ignore_errors=True)
