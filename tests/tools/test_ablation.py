import dataclasses
import json
import pathlib

import pytest
from PIL import Image

from keras_rfdn import evaluate, train
from keras_rfdn.data.sources import sample
from keras_rfdn.networks.config import VARIANTS
from tools import ablation


@pytest.fixture(scope="module", autouse=True)
def small_variants():
    """The rows of Table 2, made small."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ablation.TABLES[2]:
            patch.setitem(VARIANTS, name, dataclasses.replace(VARIANTS[name], channels=8, num_blocks=1, reduction=4))
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "images").mkdir()
    for seed in range(4):
        Image.fromarray(sample.dead_leaves(64, seed=seed)).save(folder / "images" / f"{seed}.png")
    return ablation.AblationConfig(
        (str(folder / "images"),), table=2, workdir=str(folder / "table2"), data=str(folder / "images"), images=2,
        scale=4, steps=2, batch=1, patch=15, log_every=1, valid_images=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(config):
    return ablation.main(config)


def test_rows_are_trained_alike_and_measured(config, result):
    workdir = pathlib.Path(config.workdir)
    assert [row["model"] for row in result["rows"]] == ["table2-0.25", "table2-0.5", "table2-0.75"]
    settings = [json.loads((workdir / row["model"] / "config.json").read_text()) for row in result["rows"]]
    for setting, row in zip(settings, result["rows"], strict=True):
        assert setting.pop("variant") == row["model"]
        assert setting.pop("workdir") == str(workdir / row["model"])
        assert setting == settings[0]
        assert {key: setting[key] for key in result["setting"]} == result["setting"]
        measured = evaluate.main(evaluate.EvaluateConfig(config.sets, (str(workdir / row["model"]),), images=2))
        assert measured["results"][1]["sets"] == row["sets"]
    assert result["setting"]["batch"] == 1
    # More distillation, more parameters; in the paper's size 523, 544 and 565K.
    parameters = [row["parameters"] for row in result["rows"]]
    assert parameters[1] - parameters[0] == parameters[2] - parameters[1] > 0
    assert [row["paper_thousand_parameters"] for row in result["rows"]] == [523, 544, 565]


def test_files(config, result):
    workdir = pathlib.Path(config.workdir)
    assert json.loads((workdir / "table.json").read_text()) == result
    lines = (workdir / "table.md").read_text().splitlines()
    assert "steps 2, batch 1, patch 15" in lines[0]
    score = result["rows"][0]["sets"]["images"]
    row = f"| table2-0.25 | 523K | {result['rows'][0]['parameters']:,} | {score['psnr']:.2f} / {score['ssim']:.4f} |"
    assert row in lines


def test_the_same_command_trains_nothing_twice(config, result, monkeypatch):
    monkeypatch.setattr(train.Trainer, "update", None)
    assert ablation.main(config) == result


def test_a_stopped_row_stops_the_table(config, result, monkeypatch):
    monkeypatch.setattr(train, "main", lambda row: {"step": 1})
    with pytest.raises(RuntimeError, match=r"table2-0\.25 is at step 1, not 2; the same command goes on"):
        ablation.main(config)
    with pytest.raises(ValueError, match="--table must be one of 1, 2, got 3"):
        ablation.main(dataclasses.replace(config, table=3))


def test_every_shared_setting_is_a_trainers():
    """So that no flag is without effect."""
    own = {"sets", "table", "workdir", "images"}
    fields = {field.name: field.default for field in dataclasses.fields(ablation.AblationConfig)}
    assert fields.keys() - own == set(ablation._shared())
    trainers = {field.name: field.default for field in dataclasses.fields(train.TrainConfig)}
    assert {name: fields[name] for name in ablation._shared()} == {name: trainers[name] for name in ablation._shared()}
