import dataclasses
import json
import pathlib

import pytest
from PIL import Image

from keras_rfdn import train
from keras_rfdn.cli import command
from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import published, reports
from keras_rfdn.evaluation.measurement import measure
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.training import loop
from tools import ablation

ROWS = [row.variant for row in published.TABLE_2]


@pytest.fixture(scope="module", autouse=True)
def small_variants():
    """The rows of Table 2, made small."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ROWS:
            patch.setitem(VARIANTS, name, dataclasses.replace(VARIANTS[name], channels=8, num_blocks=1, reduction=4))
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Five images under the name of Set5, so that the paper's numbers stand beside ours."""
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "Set5").mkdir()
    for seed in range(5):
        Image.fromarray(sample.dead_leaves(64, seed=seed)).save(folder / "Set5" / f"{seed}.png")
    training = train.TrainConfig(
        data=str(folder / "Set5"), workdir=str(folder / "table2"), scale=4, steps=2, batch=1, patch=15, valid_images=1
    )
    return ablation.AblationConfig((str(folder / "Set5"),), table=2, training=training)


@pytest.fixture(scope="module")
def report(config):
    return ablation.main(config)


def test_rows_are_trained_alike_and_measured(config, report):
    workdir = pathlib.Path(config.training.workdir)
    assert [result.model for result in report.results] == ["bicubic", *ROWS]
    settings = [json.loads((workdir / name / "config.json").read_text()) for name in ROWS]
    for setting, result in zip(settings, report.results[1:], strict=True):
        assert setting.pop("variant") == result.model
        assert setting.pop("workdir") == str(workdir / result.model)
        assert setting == settings[0]
        assert measure(config.sets, [workdir / result.model]).results[1].sets == result.sets
    assert {"batch": 1, "patch": 15, "learning_rate": 5e-4}.items() <= settings[0].items()
    # More distillation, more parameters; in the paper's size 523, 544 and 565K.
    parameters = [result.parameters for result in report.results[1:]]
    assert parameters[1] - parameters[0] == parameters[2] - parameters[1] > 0


def test_the_papers_numbers_stand_beside_ours(config, report):
    workdir = pathlib.Path(config.training.workdir)
    assert reports.read(workdir / "table.json") == report
    table = json.loads((workdir / "table.json").read_text())
    assert (table["table"], table["setting"]["steps"], "scale" in table["setting"]) == (2, 2, False)
    lines = (workdir / "table.md").read_text().splitlines()
    assert "steps 2, batch 1, patch 15" in lines[0]
    result = report.results[1]
    assert "| 0.25, Table 2 | published | 523 | – | 32.18 / 0.8946 |" in lines
    ours = next(line for line in lines if line.startswith("| table2-0.25 | here |"))
    assert ours.endswith(f"| {result.sets['Set5'].score} |")


def test_the_same_command_trains_nothing_twice(config, report, monkeypatch, capsys):
    monkeypatch.setattr(loop.Trainer, "update", None)
    assert ablation.main(config) == report
    assert "32.18 / 0.8946" in capsys.readouterr().out


def test_a_stopped_row_stops_the_table(config, report, monkeypatch):
    monkeypatch.setattr(train, "main", lambda row: {"step": 1})
    with pytest.raises(RuntimeError, match=r"table2-0\.25 is at step 1, not 2; the same command goes on"):
        ablation.main(config)


def test_flags_are_trains_own(capsys):
    parsed = command._parse(ablation.AblationConfig, ["", "A", "B", "--table", "2", "--steps", "9", "--workdir", "w"])
    assert parsed == ablation.AblationConfig(("A", "B"), 2, training=train.TrainConfig(steps=9, workdir="w"))
    with pytest.raises(SystemExit):
        command._parse(ablation.AblationConfig, ["", "A", "--table", "3"])
    assert "invalid choice: 3" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["variant", "recipe"])
def test_what_the_rows_decide_is_refused(config, field):
    training = dataclasses.replace(config.training, **{field: "imdn"})
    with pytest.raises(ValueError, match=f"--{field} is what the rows of the table differ in"):
        ablation.main(dataclasses.replace(config, training=training))
