"""The paper's tables: as they stand in the paper, and as our own networks count."""

import csv

import pytest

from keras_rfdn.evaluation import published
from keras_rfdn.evaluation.scoring import Score
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import VARIANTS


def printed(row, *before):
    """A Row as the paper prints it."""
    parameters = "-" if row.thousand_parameters is None else f"{row.thousand_parameters}K"
    return [*before, row.method, parameters, *(f"{s.psnr:.2f}/{s.ssim:.4f}" for s in row.scores.values())]


def test_every_number_is_the_papers(shared):
    tables = {
        1: [printed(row) for row in published.TABLE_1],
        2: [printed(row) for row in published.TABLE_2],
        3: [printed(row, f"x{scale}") for scale, rows in published.TABLE_3.items() for row in rows],
        4: [printed(row) for row in published.TABLE_4],
        5: [
            [e.team, e.author, f"{e.psnr_test:.2f}", f"{e.runtime_s:.3f}", f"{e.million_parameters:.3f}",
             f"{e.giga_flops:.2f}", f"{e.million_activations:.2f}", "Yes" if e.extra_data else "No"]
            for e in published.TABLE_5
        ],
    }  # fmt: skip
    for number, rows in tables.items():
        with open(shared / "paper" / f"table{number}.tsv") as file:
            _, *wanted = csv.reader(file, delimiter="\t")
        assert rows == wanted, number


def test_some_numbers_by_hand():
    rows = {(scale, row.method): row for scale, table in published.TABLE_3.items() for row in table}
    assert rows[4, "RFDN"].scores["Set5"] == Score(32.24, 0.8952)
    assert rows[4, "RFDN-L"].scores["Urban100"] == Score(26.20, 0.7883)
    assert rows[3, "IDN"].scores["Manga109"] == Score(32.71, 0.9381)
    assert rows[2, "Bicubic"].scores["B100"] == Score(29.56, 0.8431)
    assert len(rows) == 3 * 14
    assert published.TABLE_1[3].scores["Manga109"] == Score(30.55, 0.9082)
    assert [row.scores["Set5"].psnr for row in published.TABLE_2] == [32.18, 32.16, 32.15]
    assert published.TABLE_4[1].scores["B100"] == Score(27.54, 0.7355)
    assert published.TABLE_5[0].giga_flops == 27.10


def test_more_scale_is_harder():
    """A digit that was copied wrongly would stand out: every method loses dB from x2 to x3 to x4 on every set."""
    for at_2, at_3, at_4 in zip(*published.TABLE_3.values(), strict=True):
        assert at_2.method == at_3.method == at_4.method
        for name in published.SETS:
            by_scale = [row.scores[name] for row in (at_2, at_3, at_4)]
            assert [s.psnr for s in by_scale] == sorted((s.psnr for s in by_scale), reverse=True), (at_2.method, name)
            assert [s.ssim for s in by_scale] == sorted((s.ssim for s in by_scale), reverse=True), (at_2.method, name)


# What papers print otherwise than their networks have it (networks/zoo says why, each in its file).
OTHER_PARAMETERS = {"SRCNN", "DRCN", "LapSRN", "DRRN", "MemNet", "CARN", "RLFN"}
OTHER_MULT_ADDS = {("LapSRN", 2), *((name, scale) for name in ("MemNet", "BSRN", "LKDN") for scale in (2, 3, 4))}


@pytest.mark.parametrize("scale", [4, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_our_variants_have_the_published_costs(scale):
    for row in published.rows(scale)[1:]:
        cost = complexity.of_variant(row.variant, scale, *complexity.hd_input(scale))
        if row.method not in OTHER_PARAMETERS:
            assert round(cost.parameters / 1e3) == row.thousand_parameters, row.method
        if row.giga_mult_adds and (row.method, scale) not in OTHER_MULT_ADDS:
            # At x3 the LR image of 427 columns covers 1281.
            close = pytest.approx(row.giga_mult_adds, abs=0.051, rel=1e-3 if scale == 3 else 0)
            assert cost.convolution_multiply_adds / 1e9 == close, row.method


def test_later_networks():
    assert [row.method for row in published.rows(4)[14:]] == ["RLFN", "BSRN", "LKDN"]
    rlfn = published.rows(2)[-1]
    assert (rlfn.variant, rlfn.thousand_parameters, rlfn.giga_mult_adds) == ("rlfn", 527, 115.4)
    assert rlfn.scores["Set5"] == Score(38.07, 0.9607)
    assert "Manga109" not in rlfn.scores
    assert published.row_of("rlfn", 2) == rlfn
    assert published.row_of("lapsrn-tf", 4) == published.row_of("lapsrn", 4) == published.TABLE_3[4][5]
    assert published.row_of("e-rfdn", 4) is None
    assert {row.variant for row in published.rows(4)} - VARIANTS.keys() == {"bicubic"}


def test_ablations_have_the_published_parameters():
    for table in published.ABLATIONS.values():
        for row in table:
            assert round(models.build(VARIANTS[row.variant]).count_params() / 1e3) == row.thousand_parameters


def test_e_rfdn_has_the_costs_that_the_challenge_counted():
    entry, cost = published.TABLE_5[0], complexity.of_variant("e-rfdn", 4, 256, 256)
    assert round(cost.parameters / 1e6, 3) == entry.million_parameters
    assert cost.multiply_adds / 1e9 == pytest.approx(entry.giga_flops, abs=0.005)
    assert cost.activations / 1e6 == pytest.approx(entry.million_activations, abs=0.005)


def test_names_of_sets():
    names = [published.set_name(name) for name in ("Set5", "BSD100", "urban100", "mine")]
    assert names == ["Set5", "B100", "Urban100", "mine"]
