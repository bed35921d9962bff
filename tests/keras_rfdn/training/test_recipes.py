import re

import pytest

from keras_rfdn.networks import complexity
from keras_rfdn.training.recipes import AUTHORS, CONTINUED, RECIPES, Stage


def test_the_papers_are_as_the_paper_says():
    for name in ("rfdn-x2", "rfdn-x3", "rfdn-x4", "rfdn-l-x2", "rfdn-l-x3", "rfdn-l-x4"):
        row = RECIPES[f"paper-{name}"]
        (stage,) = row.stages
        assert f"{row.variant}-x{row.scale}" == name
        assert (stage.steps, stage.batch, stage.patch) == (1_000_000, 64, 64)
        assert (stage.learning_rate, stage.halve_every, stage.loss) == (5e-4, 200_000, "l1")
        assert row.init_from == (None if row.scale == 2 else f"paper-{row.variant}-x2")


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


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"loss": "l3"}, "loss must be one of l1, l2, charbonnier, got l3"),
        ({"steps": 0}, "steps must be above 0, got 0"),
        ({"patch": 14}, "patch must be 15 or above, got 14"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan"),
    ],
)
def test_a_stage_must_be_trainable(setting, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Stage(**setting)


def test_rows_start_from_rows_or_a_release_of_weights():
    for row in RECIPES.values():
        if row.init_sha256 is None:
            assert row.init_from in (None, *RECIPES)
        else:
            assert row.init_from == AUTHORS or row.init_from.rsplit("-x", 1)[0] == row.variant
            assert re.fullmatch("[0-9a-f]{64}", row.init_sha256)


def test_continued_rows_are_one_for_each_network_that_ships():
    networks = {f"cpu-{variant}-x{scale}" for variant in ("e-rfdn", "rfdn", "rfdn-mobile") for scale in (2, 3, 4)}
    assert set(CONTINUED) == networks
    for name in CONTINUED:
        row = RECIPES[name]
        assert name == f"cpu-{row.variant}-x{row.scale}"
        assert row.mult_adds < 3e14  # three hours at what two cores of Zen 3 make of it
        assert [stage.patch for stage in row.stages] == sorted(stage.patch for stage in row.stages)
