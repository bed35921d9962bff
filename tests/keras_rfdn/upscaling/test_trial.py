import subprocess

import pytest
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling import litert, trial

NAME = "rfdn-mobile-x2"


@pytest.fixture(autouse=True)
def real_trial(monkeypatch, real_check):
    monkeypatch.setattr(trial, "check", real_check)


@pytest.fixture(scope="module")
def crashing():
    """An int8 file one of whose tensors says that it is uint8: LiteRT opens it, and crashes when it allocates."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(pretrained.int8(NAME).read_bytes()))
    model.subgraphs[0].tensors[92].type = 3
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_a_file_that_crashes_litert_is_an_error(crashing, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(crashing)
    with pytest.raises(UserError, match=r"a\.tflite makes LiteRT crash \(status -11\)"):
        litert.Model(path)


def test_a_foreign_file_is_tried_once_and_a_shipped_one_never(monkeypatch, tmp_path):
    runs, run = [], subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *args, **kwargs: runs.append(run(*args, **kwargs)) or runs[-1])
    content = pretrained.int8(NAME).read_bytes()
    trial.check(content, NAME)
    assert runs == []
    for _ in range(2):
        trial.check(content + b"\0", NAME)
    assert [done.returncode for done in runs] == [0]


def test_a_file_that_does_not_come_back(monkeypatch, crashing):
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    with pytest.raises(UserError, match=r"a\.tflite keeps LiteRT busy for more than 0\.01 s"):
        trial.check(crashing, "a.tflite")
