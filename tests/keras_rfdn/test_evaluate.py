import json

import numpy as np
import pytest
from PIL import Image

from data import bicubic, folders, sample
from keras_rfdn import checkpoint, evaluate, metrics, models
from keras_rfdn.config import ModelConfig
from keras_rfdn.upscale import from_model

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=4, scale=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two HR images, one of an odd size."""
    folder = tmp_path_factory.mktemp("hr")
    for seed, (h, w) in enumerate([(60, 70), (45, 51)]):
        Image.fromarray(sample.dead_leaves(80, seed=seed)[:h, :w]).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(models.build(TINY), TINY, path)
    return path


def test_main_scores_each_image_and_the_mean(folder, weights, tmp_path, capsys):
    json_file = tmp_path / "scores.json"
    result = evaluate.main(evaluate.EvaluateConfig(str(folder), weights=str(weights), json=str(json_file)))
    assert json.loads(json_file.read_text()) == result
    assert result["scale"] == 2
    upscale = from_model(checkpoint.load(weights)[0])
    for name, seed in (("0", 0), ("1", 1)):
        hr = bicubic.modcrop(np.asarray(Image.open(folder / f"{seed}.png")), 2)
        lr = bicubic.downscale(hr, 2)
        for method, function in (("network", upscale), ("bicubic", lambda lr: bicubic.upscale(lr, 2))):
            wanted = metrics.psnr_y(function(lr), hr, shave=2), metrics.ssim_y(function(lr), hr, shave=2)
            assert tuple(result["images"][method][name].values()) == pytest.approx(wanted)
    psnrs = [score["psnr_y"] for score in result["images"]["network"].values()]
    assert result["mean"]["network"]["psnr_y"] == pytest.approx(sum(psnrs) / 2)  # of dB, not of squared errors
    table = capsys.readouterr().out
    assert f"{result['mean']['bicubic']['psnr_y']:.2f} / {result['mean']['bicubic']['ssim_y']:.4f}" in table


def test_limit_and_wrong_scale(folder, weights):
    config = evaluate.EvaluateConfig(str(folder), weights=str(weights), images=1)
    assert list(evaluate.main(config)["images"]["network"]) == ["0"]
    with pytest.raises(ValueError, match="x2, not any x4"):
        evaluate.main(evaluate.EvaluateConfig(str(folder), weights=str(weights), scale=4))


@pytest.mark.parametrize(
    ("name", "scale", "psnr_y", "ssim_y"),
    [("Set5", 4, 28.42, 0.8104), ("Set5", 3, 30.39, 0.8682), ("Set5", 2, 33.66, 0.9299)],
)
def test_bicubic_rows_of_the_papers(shared, name, scale, psnr_y, ssim_y):
    """The bicubic row of every SR paper's table, the RFDN paper's Table 3 among them."""
    pairs = folders.find_pairs(shared / "data" / "benchmark" / name, scale)
    scores = evaluate.evaluate(lambda lr: bicubic.upscale(lr, scale), pairs, scale)
    mean = evaluate.mean(scores.values())
    assert mean.psnr_y == pytest.approx(psnr_y, abs=0.015)
    assert mean.ssim_y == pytest.approx(ssim_y, abs=0.001)


@pytest.mark.slow
def test_bicubic_row_of_bsd100(shared):
    pairs = folders.find_pairs(shared / "data" / "benchmark" / "BSD100", 4)
    mean = evaluate.mean(evaluate.evaluate(lambda lr: bicubic.upscale(lr, 4), pairs, 4).values())
    assert mean.psnr_y == pytest.approx(25.96, abs=0.01)
    assert mean.ssim_y == pytest.approx(0.6675, abs=0.001)
