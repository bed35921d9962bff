import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import scoring
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite import sensitivity
from keras_rfdn.tflite.quantization import quantize, rewrite
from keras_rfdn.upscaling import upscalers

SCALE = 2
TINY = ModelConfig(block="rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=SCALE)  # tiny_model's


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    for seed in (1, 2):
        Image.fromarray(sample.dead_leaves(140, seed=seed)).save(path / f"{seed}.png")
    return str(path)


@pytest.fixture(scope="module")
def pairs():
    """Two images whose HR is what the network is compared with."""
    hrs = [sample.dead_leaves(128, seed=seed) for seed in (3, 4)]
    return [(str(i), bicubic.downscale(hr, SCALE), hr) for i, hr in enumerate(hrs)]


@pytest.fixture(scope="module")
def quantized(tiny_model):
    folded = rewrite.fold_value_range(tiny_model, TINY)
    return quantize.plain(folded, [sample.dead_leaves(64, seed=5)])


def _noisy(image, rng):
    return (image + rng.normal(0, 1, image.shape)).round().clip(0, 255).astype(np.uint8)


def test_a_spoilt_range_is_found(tiny_model, quantized, pairs, rng):
    """One tensor with steps thirty times too large must come first, and be nearly all that is lost."""
    ranges = {**quantized.ranges, "B1.c5": tuple(30 * end for end in quantized.ranges["B1.c5"])}
    # HR is what the float network gives, but for a little noise, so that scores depend on roundings above all.
    exact = upscalers.from_model(tiny_model)
    pairs = [(name, lr, _noisy(exact(lr), rng)) for name, lr, _ in pairs]
    spoilt = sensitivity.Examination(quantize.Quantized(quantized.model, ranges, quantized.steps), pairs, SCALE)
    roundings = spoilt.roundings()
    worst = max(roundings, key=lambda r: r["without_db"])
    assert (worst["name"], worst["kind"]) == ("B1.c5", "tensor")
    assert worst["snr_db"] < min(r["snr_db"] for r in roundings if r["name"] == "fea_conv" and r["kind"] == "tensor")
    assert max(spoilt.parts(), key=spoilt.parts().get) == "B1"


def test_everything_in_int8_is_the_network_that_is_converted(quantized, pairs):
    examination = sensitivity.Examination(quantized, pairs, SCALE)
    totals = examination.totals()
    network = quantized.network()
    for key, wanted in (("float", quantized.model), ("int8", network)):
        srs = (
            wanted(lr[None].astype(np.float32))[0].numpy().round().clip(0, 255).astype(np.uint8) for _, lr, _ in pairs
        )
        scores = [scoring.score(sr, hr, SCALE) for sr, (_, _, hr) in zip(srs, pairs, strict=True)]
        assert totals[key] == pytest.approx(scoring.mean(scores).psnr, abs=1e-3)


def test_the_command_ranks_and_draws(tiny_weights, folder, tmp_path, capsys):
    result = sensitivity.main(
        sensitivity.DoctorConfig(
            data=folder,
            calibration=folder,
            weights=tiny_weights,
            images=2,
            calibration_frames=2,
            json=str(tmp_path / "d.json"),
            plot=str(tmp_path / "d.png"),
        )
    )
    costs = [r["alone_db"] for r in result["roundings"]]
    assert costs == sorted(costs, reverse=True)
    assert {r["kind"] for r in result["roundings"]} == {"tensor", "kernel"}
    assert len([r for r in result["roundings"] if r["kind"] == "kernel"]) == 34
    names = {r["name"] for r in result["roundings"]}
    assert {"B1.c1_r/LeakyReLU", "B2.c5/Multiply", "LR_conv/Add"} <= names  # Keras' own names say nothing
    assert json.loads((tmp_path / "d.json").read_text())["parts"].keys() == result["parts"].keys() >= {"B1", "B2"}
    assert Image.open(tmp_path / "d.png").size[0] > 100
    assert "the sum over single roundings" in capsys.readouterr().out


def test_the_exact_skip_is_examined_too(tiny_weights, folder, monkeypatch, capsys):
    monkeypatch.setattr(sensitivity.Examination, "roundings", lambda self: [])  # the long part
    config = sensitivity.DoctorConfig(
        data=folder, calibration=folder, weights=tiny_weights, exact_skip=True, images=1, calibration_frames=1
    )
    assert rewrite.PATCHES in sensitivity.main(config)["parts"]
    assert "convert.py --int8 --exact_skip" in capsys.readouterr().out
    with pytest.raises(ValueError, match="which knows no --exact_skip and no --twice"):
        sensitivity.main(dataclasses.replace(config, plain=True))


def test_small_images_are_passed_over(pairs):
    small = ("small", pairs[0][1][:40], pairs[0][2][:80])
    assert sensitivity.large_enough([small, *pairs], 1) == pairs[:1]


def test_only_small_images_are_refused(tiny_weights, tmp_path):
    Image.fromarray(sample.dead_leaves(100, seed=1)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match="none of 1 has 64 LR pixels a side"):
        sensitivity.main(
            sensitivity.DoctorConfig(
                data=str(tmp_path), calibration=str(tmp_path), weights=tiny_weights, plain=True, calibration_frames=1
            )
        )
