import dataclasses

import numpy as np
import pytest

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import scoring
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.sensitivity import SensitivityAnalysis
from keras_rfdn.tflite.quantization.simulator import simulate
from keras_rfdn.upscaling import keras_upscalers

SCALE = 2


@pytest.fixture(scope="module")
def pairs():
    """Two images whose HR is what the network is compared with."""
    hrs = [sample.dead_leaves(128, seed=seed) for seed in (3, 4)]
    return [(str(i), bicubic.downscale(hr, SCALE), hr) for i, hr in enumerate(hrs)]


@pytest.fixture(scope="module")
def quantized(tiny_model):
    return quantize(fold_value_range(tiny_model, batch=None), [sample.dead_leaves(64, seed=5)])


def test_a_spoilt_range_is_found(tiny_model, quantized, pairs, rng):
    """One tensor with steps thirty times too large must come first, and be nearly all that is lost."""
    ranges = {**quantized.ranges, "B1.c5": tuple(30 * end for end in quantized.ranges["B1.c5"])}
    # HR is what the float network gives, but for a little noise, so that scores depend on roundings above all.
    exact = keras_upscalers.from_model(tiny_model)
    noisy = [
        (name, lr, (exact(lr) + rng.normal(0, 1, hr.shape)).round().clip(0, 255).astype(np.uint8))
        for name, lr, hr in pairs
    ]
    spoilt = SensitivityAnalysis(dataclasses.replace(quantized, ranges=ranges), noisy, images=2)
    roundings = spoilt.roundings()
    worst = max(roundings, key=lambda rounding: rounding.all_but_this_db)
    assert (worst.name, worst.kind) == ("B1.c5", "tensor")
    (first,) = (r for r in roundings if (r.name, r.kind) == ("fea_conv", "tensor"))
    assert worst.facts.snr_db < first.facts.snr_db
    parts = spoilt.parts()
    assert max(parts, key=parts.get) == "B1"


def test_everything_in_int8_is_the_network_that_is_converted(quantized, pairs):
    analysis = SensitivityAnalysis(quantized, pairs, images=2)
    totals = analysis.totals()
    for key, wanted, tolerance in (("float", quantized.model, 1e-3), ("int8", simulate(quantized), 0.02)):
        srs = (
            wanted(lr[None].astype(np.float32))[0].numpy().round().clip(0, 255).astype(np.uint8) for _, lr, _ in pairs
        )
        scores = [scoring.score(sr, hr, SCALE) for sr, (_, _, hr) in zip(srs, pairs, strict=True)]
        # The analysis sums in float, where the file has whole numbers.
        assert totals[key] == pytest.approx(scoring.mean(scores).psnr, abs=tolerance)


def test_small_images_are_passed_over(quantized, pairs):
    small = ("small", pairs[0][1][:40], pairs[0][2][:80])
    assert SensitivityAnalysis(quantized, [small, *pairs], images=1).measured == ["0"]
    with pytest.raises(ValueError, match="none of 1 has 64 LR pixels a side"):
        SensitivityAnalysis(quantized, [small], images=1)
