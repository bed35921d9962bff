import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from keras_rfdn import evaluate
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders, sample
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import metrics, scoring
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.upscaling.upscalers import float_from_model, from_model

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


@pytest.fixture(scope="module")
def upscale(weights):
    return from_model(checkpoint.load(weights)[0])


def config(folder, weights, **settings):
    return evaluate.EvaluateConfig((str(folder),), (str(weights),), **settings)


@pytest.mark.parametrize("protocol", ["y", "rgb"])
def test_main_scores_each_image_and_the_mean(folder, weights, upscale, tmp_path, capsys, protocol):
    json_file = tmp_path / "scores.json"
    result = evaluate.main(config(folder, weights, protocol=protocol, json=str(json_file)))
    assert json.loads(json_file.read_text()) == result
    assert (result["protocol"], result["scale"], result["shave"]) == (protocol, 2, 2)
    metric = {"y": (metrics.psnr_y, metrics.ssim_y), "rgb": (metrics.psnr, metrics.ssim)}[protocol]
    by_bicubic, by_network = (of["sets"][folder.name] for of in result["results"])
    for name in ("0", "1"):
        hr = bicubic.modcrop(np.asarray(Image.open(folder / f"{name}.png")), 2)
        lr = bicubic.downscale(hr, 2)
        for scores, function in ((by_network, upscale), (by_bicubic, lambda lr: bicubic.upscale(lr, 2))):
            wanted = [m(function(lr), hr, shave=2) for m in metric]
            assert list(scores["images"][name].values()) == pytest.approx(wanted)
    psnrs = [score["psnr"] for score in by_network["images"].values()]
    assert by_network["psnr"] == pytest.approx(sum(psnrs) / 2)  # of dB, not of squared errors
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-4:]] == ["-----", "0", "1", "mean"]
    mean = f"{by_bicubic['psnr']:.2f} / {by_bicubic['ssim']:.4f}  {by_network['psnr']:.2f} / {by_network['ssim']:.4f}"
    assert lines[-1].split(maxsplit=1)[1] == mean


def test_results_say_what_they_are_of(folder, weights):
    bicubic_result, network = evaluate.main(config(folder, weights, images=1))["results"]
    assert (network["model"], network["weights"]) == ("rfdb", str(weights))
    assert network["sha256"] == files.sha256(weights)
    cost = complexity.of_config(TINY, 360, 640)
    assert (network["parameters"], network["mult_adds"]) == (cost.parameters, cost.convolution_multiply_adds)
    assert network["versions"].keys() == {"tensorflow", "tf_keras", "numpy", "keras_rfdn"}
    assert network["versions"]["numpy"] == np.__version__
    assert [bicubic_result[key] for key in ("model", "weights", "sha256", "parameters")] == ["bicubic", *[None] * 3]
    assert list(network["sets"][folder.name]["images"]) == ["0"]


def test_several_sets_and_models_make_one_table(folder, weights, tmp_path, capsys):
    other = tmp_path / "Set5"
    (other / "HR").mkdir(parents=True)
    for seed in range(5):
        Image.fromarray(sample.dead_leaves(40, seed=seed)).save(other / "HR" / f"{seed}.png")
    checkpoint.save(models.build(TINY), TINY, tmp_path / "second.h5")
    files = {kind: str(tmp_path / f"table.{kind}") for kind in ("json", "markdown", "csv")}
    result = evaluate.main(
        evaluate.EvaluateConfig(
            (str(folder), str(other / "HR")), (str(weights), str(tmp_path / "second.h5")), images=5, **files
        )
    )
    assert [list(of["sets"]) for of in result["results"]] == [[folder.name, "Set5"]] * 3
    printed = capsys.readouterr().out
    rfdn = next(line for line in printed.splitlines() if line.startswith("RFDN "))
    assert rfdn.split() == ["RFDN", "published", "534", "120.9", "–", "38.05", "/", "0.9606"]
    assert sum(line.startswith("rfdb (") for line in printed.splitlines()) == 2
    assert "| RFDN | published | 534 | 120.9 | – | 38.05 / 0.9606 |" in (tmp_path / "table.markdown").read_text()
    assert f"rfdb ({files.sha256(weights)[:8]}),here,y,2," in (tmp_path / "table.csv").read_text()
    # Alone again, from the file.
    assert evaluate.main(evaluate.EvaluateConfig(earlier=(files["json"],))) == result


def test_ensemble_averages_before_it_rounds(folder, weights):
    lr = sample.dead_leaves(24, seed=3)[:20]
    forward = float_from_model(checkpoint.load(weights)[0])
    turned = [np.rot90(forward(np.ascontiguousarray(np.rot90(lr, k))), -k) for k in range(4)]
    flipped = [np.rot90(forward(np.ascontiguousarray(np.rot90(lr, k)[:, ::-1]))[:, ::-1], -k) for k in range(4)]
    hr = np.mean(turned + flipped, axis=0).round().clip(0, 255).astype(np.uint8)
    upscalers, fresh = evaluate._open(config(folder, weights, ensemble=True))
    np.testing.assert_array_equal(upscalers[1](lr), hr)
    assert [of["ensemble"] for of in fresh["results"]] == [False, True]


def test_what_cannot_be_is_refused_before_the_work(folder, weights, tmp_path, monkeypatch):
    earlier = tmp_path / "earlier.json"
    evaluate.main(config(folder, weights, images=1, json=str(earlier)))
    monkeypatch.setattr(evaluate, "_measure", None)
    with pytest.raises(ValueError, match="protocol y and rgb cannot stand side by side"):
        evaluate.main(config(folder, weights, protocol="rgb", earlier=(str(earlier),)))
    with pytest.raises(ValueError, match="x2, not any x4"):
        evaluate.main(config(folder, weights, scale=4))
    three = dataclasses.replace(TINY, scale=3)
    checkpoint.save(models.build(three), three, tmp_path / "three.h5")
    with pytest.raises(ValueError, match=r"three\.h5 holds rfdb x3, not any x2"):
        evaluate.main(evaluate.EvaluateConfig((str(folder),), (str(weights), str(tmp_path / "three.h5"))))
    with pytest.raises(ValueError, match="shave 2 and 3, scale 2 and 3 cannot"):
        evaluate.main(config(folder, tmp_path / "three.h5", earlier=(str(earlier),)))
    with pytest.raises(ValueError, match="different names"):
        evaluate.main(evaluate.EvaluateConfig((str(folder), str(folder)), (str(weights),)))
    with pytest.raises(ValueError, match="name folders"):
        evaluate.main(evaluate.EvaluateConfig())


@pytest.mark.parametrize(
    ("name", "scale", "psnr_y", "ssim_y"),
    [("Set5", 4, 28.42, 0.8104), ("Set5", 3, 30.39, 0.8682), ("Set5", 2, 33.66, 0.9299)],
)
def test_bicubic_rows_of_the_papers(shared, name, scale, psnr_y, ssim_y):
    """The bicubic row of every SR paper's table, the RFDN paper's Table 3 among them."""
    pairs = folders.find_pairs(shared / "data" / "benchmark" / name, scale)
    scores = scoring.evaluate(lambda lr: bicubic.upscale(lr, scale), pairs, scale)
    mean = scoring.mean(scores.values())
    assert mean.psnr == pytest.approx(psnr_y, abs=0.015)
    assert mean.ssim == pytest.approx(ssim_y, abs=0.001)


@pytest.mark.slow
def test_bicubic_row_of_bsd100(shared):
    pairs = folders.find_pairs(shared / "data" / "benchmark" / "BSD100", 4)
    mean = scoring.mean(scoring.evaluate(lambda lr: bicubic.upscale(lr, 4), pairs, 4).values())
    assert mean.psnr == pytest.approx(25.96, abs=0.01)
    assert mean.ssim == pytest.approx(0.6675, abs=0.001)


def test_command_line():
    parsed = command._parse(
        evaluate.EvaluateConfig, ["", "A", "B", "--weights", "c", "d.pth", "--with", "e.json", "--ensemble"]
    )
    assert parsed == evaluate.EvaluateConfig(("A", "B"), ("c", "d.pth"), earlier=("e.json",), ensemble=True)
    assert command._parse(evaluate.EvaluateConfig, ["evaluate", "A"]) == evaluate.EvaluateConfig(("A",))
