import dataclasses
import json

import pytest
from PIL import Image

from keras_rfdn.data.sources import sample
from keras_rfdn.tflite import sensitivity
from keras_rfdn.tflite.quantization.im2col_skip import IM2COL
from keras_rfdn.tflite.quantization.sensitivity import SensitivityAnalysis


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_weights):
    folder = tmp_path_factory.mktemp("images")
    for seed in (1, 2):
        Image.fromarray(sample.dead_leaves(140, seed=seed)).save(folder / f"{seed}.png")
    return sensitivity.SensitivityConfig(data=str(folder), calibration=str(folder), weights=tiny_weights, images=2)


def test_the_command_ranks_and_draws(config, tmp_path, capsys):
    paths = {"json": str(tmp_path / "d.json"), "plot": str(tmp_path / "d.png")}
    report = sensitivity.main(dataclasses.replace(config, **paths))
    costs = [rounding.only_this_db for rounding in report.roundings]
    assert costs == sorted(costs, reverse=True)
    assert {rounding.kind for rounding in report.roundings} == {"tensor", "kernel"}
    assert len([r for r in report.roundings if r.kind == "kernel"]) == 20
    names = {rounding.name for rounding in report.roundings}
    assert {"B1.c1_r.leaky_re_lu", "B1.c5.multiply"} <= names  # Keras' own names say nothing
    written = json.loads((tmp_path / "d.json").read_text())
    assert written["parts"] == report.parts
    assert report.parts.keys() >= {"B1", IM2COL}
    assert written["roundings"][0]["only_this_db"] == costs[0]
    assert Image.open(tmp_path / "d.png").size[0] > 100
    printed = capsys.readouterr().out
    assert "the sum over single roundings" in printed
    assert "convert.py --int8\n" in printed


@pytest.mark.slow
def test_accurate_is_examined_too(config, monkeypatch, capsys):
    monkeypatch.setattr(SensitivityAnalysis, "roundings", lambda self: [])  # the long part
    report = sensitivity.main(dataclasses.replace(config, accurate=True, images=1))
    assert report.images == ("1",)
    assert "convert.py --int8 --accurate" in capsys.readouterr().out


def test_only_small_images_are_refused(config, tmp_path):
    Image.fromarray(sample.dead_leaves(100, seed=1)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="none of 1 has 64 LR pixels a side"):
        sensitivity.main(dataclasses.replace(config, data=str(tmp_path)))
