import pathlib

import pytest
import tensorflow as tf

from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.training.checkpoint_manager import CheckpointManager


def half_an_index(checkpoint, prefix, **_):
    pathlib.Path(f"{prefix}.index").write_bytes(b"half")
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")


def test_a_full_disk_leaves_no_half_of_a_state(tmp_path, monkeypatch):
    checkpoints = CheckpointManager(tmp_path, hint="", step=tf.Variable(1, dtype=tf.int64))
    with checkpoints.saving():
        checkpoints.save()
    checkpoints.parts.step.assign(2)
    whole = sorted((tmp_path / "state").iterdir())
    assert [path.name for path in whole] == ["checkpoint", "ckpt-1.data-00000-of-00001", "ckpt-1.index"]
    monkeypatch.setattr(tf.train.Checkpoint, "_write", half_an_index)
    with pytest.raises(StoppedError, match=r"step 2 could not be saved .*No space left"), checkpoints.saving():
        checkpoints.save()
    assert sorted((tmp_path / "state").iterdir()) == whole
