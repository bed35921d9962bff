import dataclasses

import numpy as np
import pytest

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import mixed_precision
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.tflite.quantization.post_training import quantize
from keras_rfdn.tflite.quantization.sensitivity import SensitivityAnalysis
from keras_rfdn.tflite.quantization.simulator import simulate_switched
from keras_rfdn.upscaling import keras_upscalers, litert

SCALE = 2


@pytest.fixture(scope="module")
def pairs(tiny_model):
    """Two images whose HR is what the float network gives, but for a little noise: scores depend on roundings alone."""
    exact, rng = keras_upscalers.from_model(tiny_model), np.random.default_rng(0)
    lrs = [bicubic.downscale(sample.dead_leaves(128, seed=seed), SCALE) for seed in (3, 4)]
    hrs = [(exact(lr) + rng.normal(0, 1, (128, 128, 3))).round().clip(0, 255).astype(np.uint8) for lr in lrs]
    return [(str(i), *pair) for i, pair in enumerate(zip(lrs, hrs, strict=True))]


@pytest.fixture(scope="module")
def quantized(tiny_model):
    return quantize(fold_value_range(tiny_model, batch=None), [sample.dead_leaves(64, seed=5)])


@pytest.fixture(scope="module")
def spoilt(quantized):
    """One tensor with steps a hundred times too large."""
    ranges = {**quantized.ranges, "B1.c5": tuple(100 * end for end in quantized.ranges["B1.c5"])}
    return dataclasses.replace(quantized, ranges=ranges)


def test_the_tensor_that_loses_most_goes_first(spoilt, pairs):
    candidates = mixed_precision._Candidates(spoilt, SensitivityAnalysis(spoilt, pairs, images=2))
    allowed = 0.75 * candidates.loss(frozenset())
    found = mixed_precision.search(spoilt, pairs, max_drop_db=allowed)
    assert sorted(found.operations) == ["B1.c5", "B1.c5.multiply", "B1.esa.conv1"]
    assert found.loss_db <= allowed < found.int8_loss_db
    kernels = {"B1.c5", "B1.esa.conv1"}
    assert found.quantized.absmax.keys() == spoilt.absmax.keys() - kernels
    assert found.quantized.ranges.keys() == spoilt.ranges.keys() - {"B1.c5"}


def test_no_more_is_lost_than_allowed_and_the_file_is_what_was_simulated(spoilt, pairs):
    everything = mixed_precision.search(spoilt, pairs, max_drop_db=100)
    assert everything.operations == ()
    assert everything.loss_db == everything.int8_loss_db
    allowed = 0.3 * everything.int8_loss_db
    found = mixed_precision.search(spoilt, pairs, max_drop_db=allowed)
    assert 0 < found.loss_db <= allowed
    content = converter.convert_quantized(found.quantized, height=64, width=64)
    floats = description.describe(content).float_operators
    computing = sum(count for name, count in floats.items() if name not in ("QUANTIZE", "DEQUANTIZE"))
    assert computing == len(found.operations)
    lr = pairs[0][1]
    names = [*(("tensor", name) for name in found.quantized.ranges), *(("kernel", n) for n in found.quantized.absmax)]
    simulated, switches = simulate_switched(found.quantized, names)
    switches.assign([True] * len(names))
    wanted = simulated(lr[None].astype(np.float32))[0].numpy()
    difference = litert.Model(content).upscale(lr) - wanted
    assert np.sqrt(np.mean(difference**2)) < 0.04 * np.std(wanted)


def test_what_shares_a_range_stays_in_float_together(quantized, pairs):
    candidates = mixed_precision._Candidates(quantized, SensitivityAnalysis(quantized, pairs, images=2))
    leaders = quantized.scheme.leaders
    assert all(leaders[name] == leader for leader, names in candidates.groups.items() for name in names)
    grouped = {name for names in candidates.groups.values() for name in names}
    assert grouped.isdisjoint({"pixels", "upsampler.0", "upsampler.1"})
    # Not the resize's other input, of which it takes the size alone.
    touched = mixed_precision.touched_operations
    assert "B1.esa.resize" not in touched(quantized.model, ["B1.c5"])
    assert "B1.esa.resize" in touched(quantized.model, ["B1.esa.conv3_"])
    # A ReLU is part of the convolution that it is fused with.
    assert touched(quantized.model, ["B1.esa.conv3.re_lu"]) == {"B1.esa.conv3", "B1.esa.conv3_"}


def test_what_cannot_be_is_refused(quantized, pairs):
    with pytest.raises(ValueError, match=r"max_drop_db -1 is out of reach"):
        mixed_precision.search(quantized, pairs, max_drop_db=-1)
    small = [(name, lr[:40], hr[:80]) for name, lr, hr in pairs]
    with pytest.raises(ValueError, match=r"none of \d+ has 64 LR pixels a side"):
        mixed_precision.search(quantized, small, max_drop_db=1)
