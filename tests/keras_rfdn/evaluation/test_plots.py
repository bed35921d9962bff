import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.evaluation import plots, tables
from keras_rfdn.evaluation.reports import Report, Result, SetResult, Timing
from keras_rfdn.evaluation.scoring import Score

SCORES = SetResult("Set5", 32.16, 0.8946, {str(i): Score(32.16, 0.8946) for i in range(5)})
E_RFDN = Result("e-rfdn", "e-rfdn.h5", None, False, 433_448, 23_759_144_640, {}, {"Set5": SCORES})


def report(result=E_RFDN, protocol="y"):
    return Report(protocol, 4, 4, (result,))


def test_points_are_the_published_and_ours():
    parameters = tables.points(report(), "parameters", "Set5")
    assert ("IMDN", "published", 715_000, 32.21) in parameters
    assert parameters[-1] == ("e-rfdn", "here", 433_448, 32.16)
    mult_adds = tables.points(report(), "mult_adds", "Set5")
    assert ("CARN", "published", pytest.approx(90.9e9), 32.13) in mult_adds
    # Without parameters (bicubic), without Mult-Adds (IDN): not there.
    assert "Bicubic" not in {method for method, *_ in parameters}
    assert {"Bicubic", "IDN"}.isdisjoint(method for method, *_ in mult_adds)
    equal = dataclasses.replace(E_RFDN, sets={"Set5": dataclasses.replace(SCORES, psnr=float("inf"))})
    assert [source for _, source, _, _ in tables.points(report(equal), "parameters", "Set5")][-1] == "published"


def test_latency_is_of_those_that_were_timed(tmp_path):
    timed = dataclasses.replace(E_RFDN, sha256="timed", timing=Timing(129.0, 213_400, 2, (180, 320)))
    both = dataclasses.replace(report(), results=(E_RFDN, timed))
    assert tables.points(both, "latency_ms", "Set5") == [("e-rfdn (timed)", "here", 129.0, 32.16)]
    assert tmp_path / "figure_latency_ms.png" in plots.save(both, tmp_path / "figure")


def test_no_label_covers_another():
    near = [(name, "here", 1e5, 30) for name in ("first", "second", "third")]
    (axes,) = plots._figure({"Set5": near}, 1e3, xlabel="", title="").axes
    boxes = [label.get_window_extent() for label in axes.texts]
    assert [label.get_text() for label in axes.texts] == ["first", "second", "third"]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_pictures(tmp_path):
    paths = plots.save(report(), tmp_path / "new/figure")
    assert [path.name for path in paths] == ["figure_parameters.png", "figure_mult_adds.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
        red = (pixels[..., 0] > 180) & (pixels[..., 1] < 80)
        grey = (pixels.max(2) - pixels.min(2) < 8) & (pixels[..., 0] > 90) & (pixels[..., 0] < 140)
        assert red.sum() > 20
        assert grey.sum() > 200


def test_what_nothing_is_known_of_gets_no_picture(tmp_path):
    unknown = dataclasses.replace(E_RFDN, parameters=None)
    assert plots.save(report(unknown, "rgb"), tmp_path / "figure") == [tmp_path / "figure_mult_adds.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["figure_mult_adds.png"]
