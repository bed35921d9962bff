import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import compare_engines
from keras_rfdn.data.sources import folders, sample
from keras_rfdn.evaluation import scoring


def config(weights, **fields):
    settings = {"height": 32, "width": 40, "threads": 1, "rounds": 2, "warmup": 0, "calibration_frames": 1}
    return compare_engines.PeersConfig(weights=weights, **{**settings, **fields})


def test_without_the_extras_each_engine_is_named(tiny_weights, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    packages = {package for row in compare_engines.ENGINES.values() for package in row.packages}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else found(name))
    file = tmp_path / "peers.json"
    result = compare_engines.main(config(tiny_weights, json=str(file)))
    first, second = result["engines"]
    assert (first["engine"], first["ratio"]) == ("LiteRT int8", 1)
    assert second["engine"] == "LiteRT float32"
    assert second["max_difference"] < 1e-2
    assert (first["cpu_ratio"], len(second["cpu_ms"])) == (1, 2)
    assert len(result["absent"]) == len(compare_engines.ENGINES) - 2
    assert result["absent"]["ncnn float32"] == "not installed: torch, pnnx, ncnn"
    assert (result["versions"], result["bound"]) == ({}, None)
    assert json.loads(file.read_text()) == json.loads(json.dumps(result))
    printed = capsys.readouterr().out
    assert "OpenVINO int8: not installed: torch, onnx, openvino, nncf" in printed
    assert result["machine"]["processor"] in printed


def test_scores_on_a_folder(tiny_weights, tiny_upscale, tmp_path):
    for seed in (5, 6):
        Image.fromarray(sample.dead_leaves(64, seed=seed)).save(tmp_path / f"{seed}.png")
    (_, float32) = compare_engines.main(config(tiny_weights, data=str(tmp_path), engines=("LiteRT float32",)))[
        "engines"
    ]
    pairs = folders.find_pairs(str(tmp_path), 2)
    wanted = scoring.mean(scoring.evaluate(tiny_upscale, pairs, 2).values())
    assert float32["psnr_y"] == pytest.approx(wanted.psnr, abs=1e-2)  # images of 32x32, padded to 32x40


def test_bound_from_known_times():
    dense_ms = {"LiteRT int8": [10.0, 10.0, 10.0], "fast": [4.0, 5.0, 10.0]}
    found = compare_engines._bound([30.0, 50.0, 40.0], dense_ms, 2_000_000_000, 500_000_000)
    assert found == {
        "multiply_adds": 2_000_000_000,
        "gmac_per_s": {"LiteRT int8": 50.0, "fast": 100.0},
        "fastest": "fast",
        "bound_ms": 20.0,  # four times the median of 5
        "times_bound": 1.875,  # the median of 30/16, 50/20 and 40/40
        "times_own_bound": 1.0,  # the median of 30/40, 50/40 and 40/40
    }


def test_processor_time_from_known_times():
    found = compare_engines._cpu([30.0, 20.0, 10.0], [10.0, 10.0, 10.0])
    assert found == {"cpu_ms": [30.0, 20.0, 10.0], "median_cpu_ms": 20.0, "cpu_ratio": 2.0}


def test_errors_are_for_the_user(tiny_weights):
    with pytest.raises(ValueError, match="no engine Caffe; choose from LiteRT int8"):
        compare_engines.main(config(tiny_weights, engines=("Caffe",)))
    with pytest.raises(ValueError, match="--rounds"):
        compare_engines.main(config(tiny_weights, rounds=0))


@pytest.mark.slow
def test_every_engine_computes_the_same_network(tiny_weights):
    """With what is installed of requirements-peers.txt."""
    result = compare_engines.main(config(tiny_weights, bound=True, calibration_frames=4))
    measured = {engine["engine"]: engine for engine in result["engines"]}
    assert measured.keys() | result["absent"].keys() == compare_engines.ENGINES.keys()
    for name, engine in measured.items():
        # Of grey levels: float32 in another order; 8 bits of mantissa; 8 bits of range.
        limit = 1e-2 if engine["exact"] else 10 if "bfloat16" in name else 100
        assert engine["max_difference"] < limit, name
        assert np.isfinite(engine["median_ms"])
    for bound in result["bound"].values():
        assert set(bound["gmac_per_s"]) == {name for name in measured if name.endswith("int8")}
