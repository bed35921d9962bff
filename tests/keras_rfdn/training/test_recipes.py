import dataclasses

import pytest

from keras_rfdn.networks import complexity
from keras_rfdn.train import TrainConfig
from keras_rfdn.training import recipes
from keras_rfdn.training.recipes import RECIPES, Recipe, Stage


def test_the_papers_are_as_the_paper_says():
    for name in ("rfdn-x2", "rfdn-x3", "rfdn-x4", "rfdn-l-x2", "rfdn-l-x3", "rfdn-l-x4"):
        row = RECIPES[f"paper-{name}"]
        (stage,) = row.stages
        assert f"{row.variant}-x{row.scale}" == name
        assert (stage.steps, stage.batch, stage.patch) == (1_000_000, 64, 64)
        assert (stage.learning_rate, stage.halve_every, stage.loss) == (5e-4, 200_000, "l1")
        assert row.starts_from == (None if row.scale == 2 else f"paper-{row.variant}-x2")


def test_aim_2020_is_as_the_report_says():
    row = RECIPES["aim2020-erfdn"]
    first, second = row.stages
    assert (row.variant, row.scale, first.patch * row.scale, first.batch) == ("e-rfdn", 4, 256, 64)
    assert (first.learning_rate, first.halve_every, first.steps) == (5e-4, 200 * 1000, 1000 * 1000)
    assert (second.learning_rate, second.loss, second.schedule) == (1e-5, "l2", "constant")


@pytest.mark.parametrize("row", RECIPES.values(), ids=RECIPES)
def test_cost(row):
    """Three times the convolutions' multiply-adds forward: once for the result, twice for both gradients."""
    total = sum(
        3
        * stage.steps
        * stage.batch
        * complexity.of_variant(row.variant, row.scale, stage.patch, stage.patch).convolution_multiply_adds
        for stage in row.stages
    )
    assert row.mult_adds == pytest.approx(total, rel=0.01)


def test_stages_of_a_config_without_recipe():
    config = TrainConfig(steps=7, batch=3, patch=20, learning_rate=1e-3, schedule="cosine", warmup=2, loss="l2")
    assert recipes.stages(config) == (
        Stage(7, 3, 20, 1e-3, "cosine", 200_000, 2, "l2"),
    )  # fmt: skip


def test_stages_of_a_recipe():
    row = RECIPES["aim2020-erfdn"]
    config = TrainConfig(recipe="aim2020-erfdn", **row.settings())
    assert recipes.stages(config) == row.stages
    assert config.steps == 1_200_000
    with pytest.raises(ValueError, match=r"--batch 3 contradicts recipe aim2020-erfdn, which fixes 64"):
        recipes.stages(dataclasses.replace(config, batch=3))
    with pytest.raises(ValueError, match=r"--scale 4 contradicts recipe paper-rfdn-x2, which fixes 2"):
        recipes.stages(TrainConfig(recipe="paper-rfdn-x2"))
    with pytest.raises(ValueError, match=r"unknown recipe 'paper'; choose from paper-rfdn-x2"):
        recipes.stages(TrainConfig(recipe="paper"))


@pytest.mark.parametrize("words", [["--recipe", "paper-rfdn-x2"], ["--recipe=paper-rfdn-x2", "--steps", "3"]])
def test_preset_of_a_command_line(words):
    fields = recipes.preset(["train", "--data", "sample", *words])
    assert fields == {"recipe": "paper-rfdn-x2", **RECIPES["paper-rfdn-x2"].settings()}
    assert fields["scale"] == 2


def test_no_preset_without_a_recipe():
    assert recipes.preset(["train", "--scale", "2"]) == {}


def test_a_row_must_be_trainable(monkeypatch):
    stages = Stage(), Stage(loss="l3")
    row = Recipe("here", "DIV2K", "?", 1.0, "rfdn", 4, stages)
    monkeypatch.setitem(RECIPES, "mine", row)
    with pytest.raises(ValueError, match="--loss must be one of l1, l2, charbonnier, got l3"):
        recipes.stages(TrainConfig(recipe="mine", **row.settings()))


def test_command_lists_every_row(capsys):
    recipes.main(recipes.RecipesConfig())
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES)
    assert "1,000,000 + 200,000" in printed
