import numpy as np
import pytest
from PIL import Image

from keras_rfdn.evaluation import plots

IMAGES = {str(i): {} for i in range(5)}


def report(**changes):
    network = {
        "model": "e-rfdn",
        "sha256": None,
        "ensemble": False,
        "parameters": 433_448,
        "mult_adds": 23_759_144_640,
        "sets": {"Set5": {"psnr": 32.16, "ssim": 0.8946, "images": IMAGES}},
    }
    return {"protocol": "y", "shave": 4, "scale": 4, "results": [network | changes]}


def test_points_are_the_published_and_ours():
    parameters = plots.points(report(), "parameters", "Set5")
    assert ("IMDN", "published", 715_000, 32.21) in parameters
    assert parameters[-1] == ("e-rfdn", "here", 433_448, 32.16)
    mult_adds = plots.points(report(), "mult_adds", "Set5")
    assert ("CARN", "published", pytest.approx(90.9e9), 32.13) in mult_adds
    # Without parameters (bicubic), without Mult-Adds (EDSR-baseline), without a score (RFDN-L): not there.
    assert {"Bicubic", "RFDN-L"}.isdisjoint(method for method, *_ in parameters)
    assert {"Bicubic", "EDSR-baseline", "RFDN-L"}.isdisjoint(method for method, *_ in mult_adds)


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


def test_nothing_to_plot(tmp_path):
    with pytest.raises(ValueError, match="parameters are known, so nothing to plot"):
        plots.save({**report(parameters=None), "protocol": "rgb"}, tmp_path / "figure")
    assert not list(tmp_path.iterdir())
