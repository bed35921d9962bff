import pytest

from keras_rfdn.evaluation import published
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import VARIANTS


def test_rows_are_well_formed():
    for scale, rows in published.TABLE_3.items():
        assert len({row.method for row in rows}) == len(rows)
        for row in rows:
            assert len(row.scores) == len(published.SETS)
            for psnr, ssim in row.scores:
                assert psnr is None or 22 < psnr < 40, (scale, row.method)
                assert ssim is None or 0.6 < ssim < 1, (scale, row.method)


def test_more_scale_is_harder_and_sets_keep_their_order():
    """A digit that was copied wrongly would stand out: every method loses dB from x2 to x3 to x4 on every set."""
    for method in ("Bicubic", "VDSR", "DRRN", "CARN", "IMDN", "RFDN"):
        by_scale = [next(r for r in published.TABLE_3[s] if r.method == method).scores for s in (2, 3, 4)]
        for of_set in zip(*by_scale, strict=True):
            for numbers in zip(*of_set, strict=True):
                known = [n for n in numbers if n is not None]
                assert known == sorted(known, reverse=True)


@pytest.mark.parametrize("scale", [4, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_our_variants_have_the_published_costs(scale):
    for row in published.TABLE_3[scale]:
        if row.variant:
            cost = complexity.of_variant(row.variant, scale, *complexity.hd_input(scale))
            assert round(cost.parameters / 1e3) == row.thousand_parameters
            assert f"{cost.convolution_multiply_adds / 1e9:.1f}" == f"{row.giga_mult_adds:.1f}"


def test_ablations_have_the_published_parameters():
    for name, thousands in (published.TABLE_1 | published.TABLE_2).items():
        assert round(models.build(VARIANTS[name]).count_params() / 1e3) == thousands


def test_names_of_sets():
    assert [published.set_name(n) for n in ("Set5", "BSD100", "urban100", "mine")] == [
        "Set5",
        "B100",
        "Urban100",
        "mine",
    ]
    (row,) = (row for row in published.TABLE_3[4] if row.method == "RFDN")
    assert row.score("B100") == (27.57, 0.7360)
    assert row.score("mine") == (None, None)
