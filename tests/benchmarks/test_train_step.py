import dataclasses
import importlib.util
import json
import pathlib

import pytest

from benchmarks import train_step
from benchmarks.train_step import TrainStepConfig
from keras_rfdn.networks.config import VARIANTS, ModelConfig


@pytest.fixture
def config(monkeypatch, tmp_path):
    monkeypatch.setitem(VARIANTS, "tiny", ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=2))
    return TrainStepConfig(
        "tiny", scale=2, batch=2, patch=16, rounds=3, warmup=1, profile=True, json=str(tmp_path / "times.json")
    )


def test_command(config, capsys):
    """Where PyTorch is installed, the command itself checks that both compute the same loss of the same weights."""
    result = train_step.main(config)
    assert json.loads(pathlib.Path(config.json).read_text()) == json.loads(json.dumps(dataclasses.asdict(result)))
    frameworks = {"TensorFlow", "PyTorch"} if importlib.util.find_spec("torch") else {"TensorFlow"}
    assert result.seconds.keys() == result.ratio.keys() == frameworks
    assert all(len(times) == 3 and min(times) > 0 for times in result.seconds.values())
    assert result.ratio["TensorFlow"] == 1
    convolutions = [name for name in result.profile if "Conv2D" in name]
    assert any("BackpropFilter" in name for name in convolutions)
    assert any("BackpropInput" in name for name in convolutions)
    printed = capsys.readouterr().out
    assert "to TensorFlow" in printed
    assert "BackpropFilter" in printed


def test_frameworks_that_disagree_are_not_compared(config):
    with pytest.raises(RuntimeError, match=r"disagree about the loss of the same batch: \{'a': 1\.0, 'b': 1\.5\}"):
        train_step._interleaved({"a": lambda: 1.0, "b": lambda: 1.5}, config)


def test_bad_flags(config):
    with pytest.raises(ValueError, match="--rounds must be 1 or above, got 0"):
        train_step.main(dataclasses.replace(config, rounds=0))
