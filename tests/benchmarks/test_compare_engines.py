import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import compare_engines
from benchmarks.compare_engines import Roofline
from keras_rfdn.data.sources import folders, sample
from keras_rfdn.evaluation import scoring


def config(weights, **fields):
    settings = {"height": 32, "width": 40, "threads": 1, "rounds": 2, "warmup": 0, "calibration_images": 1}
    return compare_engines.CompareEnginesConfig(weights=weights, **{**settings, **fields})


@pytest.mark.slow
def test_without_the_extras_each_engine_is_named(tiny_weights, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    packages = {package for method in compare_engines.METHODS.values() for package in method.packages}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else found(name))
    file = tmp_path / "engines.json"
    comparison = compare_engines.main(config(tiny_weights, json=str(file)))
    first, second = comparison.engines
    assert (first.engine, first.ratio) == ("LiteRT int8", 1)
    assert second.engine == "LiteRT float32"
    assert second.max_difference < 1e-2
    assert (first.cpu_ratio, len(second.cpu_ms), len(second.latencies_ms)) == (1, 2, 2)
    assert second.min_ms <= second.median_ms <= second.p90_ms
    assert len(comparison.absent) == len(compare_engines.METHODS) - 2
    assert comparison.absent["ncnn float32"] == "not installed: torch, pnnx, ncnn"
    assert (comparison.versions, comparison.rooflines) == ({}, {})
    assert json.loads(file.read_text()) == json.loads(json.dumps(dataclasses.asdict(comparison)))
    printed = capsys.readouterr().out
    assert "OpenVINO int8: not installed: torch, onnx, openvino, nncf" in printed
    assert comparison.surroundings["machine"]["processor"] in printed


@pytest.mark.slow
def test_scores_on_a_folder_and_the_roofline(tiny_weights, tiny_upscale, tmp_path, capsys):
    for seed in (5, 6):
        Image.fromarray(sample.dead_leaves(64, seed=seed)).save(tmp_path / f"{seed}.png")
    settings = config(tiny_weights, data=str(tmp_path), engines=("LiteRT float32",), roofline=True)
    comparison = compare_engines.main(settings)
    _, float32 = comparison.engines
    pairs = folders.find_pairs(str(tmp_path), 2)
    wanted = scoring.mean(scoring.evaluate(tiny_upscale, pairs, 2).values())
    assert float32.psnr_y == pytest.approx(wanted.psnr, abs=1e-2)  # images of 32x32, padded to 32x40
    assert comparison.rooflines.keys() == {"wall", "cpu"}
    for found in comparison.rooflines.values():
        assert found.gmac_per_s.keys() == {"LiteRT int8"}
        assert found.times_roofline == found.times_own_roofline
    assert "LiteRT int8 takes" in capsys.readouterr().out


def test_roofline_from_known_times():
    reference_ms = {"LiteRT int8": [10.0, 10.0, 10.0], "fast": [4.0, 5.0, 10.0]}
    found = compare_engines.roofline([30.0, 50.0, 40.0], reference_ms, 2_000_000_000, 500_000_000)
    assert found == Roofline(
        multiply_adds=2_000_000_000,
        gmac_per_s={"LiteRT int8": 50.0, "fast": 100.0},
        fastest="fast",
        roofline_ms=20.0,  # four times the median of 5
        times_roofline=1.875,  # the median of 30/16, 50/20 and 40/40
        times_own_roofline=1.0,  # the median of 30/40, 50/40 and 40/40
    )


def test_ratio_from_known_times():
    assert compare_engines.median_ratio([30.0, 20.0, 10.0], [10.0, 10.0, 20.0]) == 2.0


def test_errors_are_for_the_user(tiny_weights):
    with pytest.raises(ValueError, match="no engine Caffe; choose from LiteRT int8"):
        compare_engines.main(config(tiny_weights, engines=("Caffe",)))
    with pytest.raises(ValueError, match="--rounds must be 1 or above, got 0"):
        compare_engines.main(config(tiny_weights, rounds=0))
    with pytest.raises(ValueError, match="--calibration_images must be 1 or above, got 0"):
        compare_engines.main(config(tiny_weights, calibration_images=0))


@pytest.mark.slow
def test_every_engine_computes_the_same_network(tiny_weights):
    """With what is installed of benchmarks/requirements.txt."""
    comparison = compare_engines.main(config(tiny_weights, roofline=True, calibration_images=4))
    measured = {engine.engine: engine for engine in comparison.engines}
    assert measured.keys() | comparison.absent.keys() == compare_engines.METHODS.keys()
    for name, engine in measured.items():
        # Of grey levels: float32 in another order; 8 bits of mantissa; 8 bits of range.
        limit = 1e-2 if engine.exact else 10 if "bfloat16" in name else 100
        assert engine.max_difference < limit, name
        assert np.isfinite(engine.median_ms)
    for found in comparison.rooflines.values():
        assert set(found.gmac_per_s) == {name for name in measured if name.endswith("int8")}
