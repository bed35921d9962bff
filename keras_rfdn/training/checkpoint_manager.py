"""Checkpoints that a run resumes from, in its workdir: the newest two, in case one was cut short."""

import contextlib
import pathlib
import shutil
import time

import tensorflow as tf
from absl import logging

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.training import workdir


class CheckpointManager:
    """tf.train.CheckpointManager whose files are complete, on the disk, or passed over.

    folder: the workdir. If it has a state, the parts take the newest that can be read. hint: what the user may do when
    none can be read, for which StoppedError is raised. parts: what a run is made of, a step among them.
    """

    def __init__(self, folder: pathlib.Path, *, hint: str, **parts):
        self.folder = folder / workdir.STATE
        self.parts = tf.train.Checkpoint(**parts)
        self._mend_list()
        self.manager = tf.train.CheckpointManager(self.parts, self.folder, max_to_keep=2)
        self._restore(hint)
        self._saved_at = time.monotonic()

    @property
    def latest(self) -> str | None:
        """Path of the newest saved state, or None."""
        return self.manager.latest_checkpoint

    def save(self):
        """Write a state and flush it to the disk; call it in saving()."""
        path = pathlib.Path(self.manager.save(int(self.parts.step)))
        for file in (*self.folder.glob(f"{path.name}.*"), self.folder / "checkpoint", self.folder):
            files.sync(file)
        self._saved_at = time.monotonic()

    def minutes_since_save(self) -> float:
        return (time.monotonic() - self._saved_at) / 60

    @contextlib.contextmanager
    def saving(self):
        """Context for writing to the workdir. Raises StoppedError, what was saved before kept, where that fails."""
        latest = self.latest
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self._remove_unfinished()
            self._remove_unlisted(f"ckpt-{int(self.parts.step)}")
            raise StoppedError(
                f"step {int(self.parts.step)} could not be saved ({error}). What was saved before is complete: "
                f"{latest or 'nothing yet'}. Make room in {self.folder.parent} and give the same command again"
            ) from error

    def _mend_list(self):
        """Write the list of states again, without its times and, where it can't be read, from the states themselves.

        TensorFlow passes over states that are younger than the clock, which may have been set back, and starts anew;
        and it flushes no list to the disk before it removes older states.
        """
        file = self.folder / "checkpoint"
        if not file.exists():
            return
        try:
            listed = tf.train.get_checkpoint_state(self.folder)
        except ValueError:  # an empty file
            listed = None
        if listed is not None:
            names = [pathlib.Path(path).name for path in listed.all_model_checkpoint_paths]
        else:
            steps = sorted(int(path.stem.removeprefix("ckpt-")) for path in self.folder.glob("ckpt-*.index"))
            names = [f"ckpt-{step}" for step in steps]
            logging.warning("%s can't be read; the states are %s", file, ", ".join(names))
        lines = [f'model_checkpoint_path: "{name}"' for name in names[-1:]]
        lines += [f'all_model_checkpoint_paths: "{name}"\nall_model_checkpoint_timestamps: 1' for name in names]
        files.write_text(file, "\n".join(lines))

    def _restore(self, hint):
        self._remove_unfinished()
        for path in reversed(self.manager.checkpoints):
            try:
                self.parts.restore(path).assert_existing_objects_matched()
            except (tf.errors.OpError, IndexError, ValueError) as error:
                logging.warning("%s can't be read (%s); trying the one before", path, error)
            else:
                return
        if self.manager.checkpoints:
            raise StoppedError(f"no state in {self.folder} can be read; {hint}")

    def _remove_unfinished(self):
        """Remove what a save that was cut short left behind."""
        for rest in self.folder.glob("*_temp*"):
            shutil.rmtree(rest, ignore_errors=True)

    def _remove_unlisted(self, name):
        """Remove a state's files unless it was saved: a full disk leaves half an index under its final name."""
        if name not in {pathlib.Path(path).name for path in self.manager.checkpoints}:
            for rest in self.folder.glob(f"{name}.*"):
                with contextlib.suppress(OSError):  # a disk that is read-only by now
                    rest.unlink()
