import dataclasses

import numpy as np
import pytest

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite import convert
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import fakequant, mixed, quantize, rewrite
from keras_rfdn.upscaling import litert, upscalers

SCALE = 2
TINY = ModelConfig(block="rfdb", channels=8, num_blocks=2, attention="esa", reduction=4, scale=SCALE)  # tiny_model's


@pytest.fixture(scope="module")
def folded(tiny_model):
    return rewrite.fold_value_range(tiny_model, TINY, height=64, width=64)


@pytest.fixture(scope="module")
def pairs(tiny_model):
    """Two images whose HR is what the float network gives, but for a little noise: scores depend on roundings alone."""
    exact, rng = upscalers.from_model(tiny_model), np.random.default_rng(0)
    lrs = [bicubic.downscale(sample.dead_leaves(128, seed=seed), SCALE) for seed in (3, 4)]
    hrs = [(exact(lr) + rng.normal(0, 1, (128, 128, 3))).round().clip(0, 255).astype(np.uint8) for lr in lrs]
    return [(str(i), *pair) for i, pair in enumerate(zip(lrs, hrs, strict=True))]


@pytest.fixture(scope="module")
def quantized(folded):
    return quantize.plain(folded, [sample.dead_leaves(64, seed=5)])


@pytest.fixture(scope="module")
def spoilt(quantized):
    """One tensor with steps a hundred times too large."""
    ranges = {**quantized.ranges, "B1.c5": tuple(100 * end for end in quantized.ranges["B1.c5"])}
    return dataclasses.replace(quantized, ranges=ranges)


def test_the_tensor_that_loses_most_goes_first(spoilt, pairs):
    found = mixed.search(spoilt, pairs, float_ops=3)
    gates = [name for name in found.operations if name.startswith("multiply")]
    assert sorted(found.operations) == sorted(["B1.c5", "B1.esa.conv1", *gates])
    assert len(gates) == 1
    assert "B1.c5" not in found.quantized.ranges
    assert found.loss_db < 0.75 * found.int8_loss_db
    kernels = {"B1.c5", "B1.esa.conv1"}
    assert found.quantized.steps.keys() == spoilt.steps.keys() - kernels
    assert found.quantized.ranges.keys() == spoilt.ranges.keys() - {"B1.c5"}


def test_no_more_is_lost_than_allowed_and_the_file_is_what_was_simulated(folded, spoilt, pairs):
    everything = mixed.search(spoilt, pairs, float_ops=0)
    assert everything.operations == ()
    assert everything.loss_db == everything.int8_loss_db
    allowed = 0.3 * everything.int8_loss_db
    found = mixed.search(spoilt, pairs, max_drop_db=allowed)
    assert 0 < found.loss_db <= allowed
    content = converter.to_tflite(found.quantized.network(), folded, "int8")
    floats = description.describe(content).float_operators
    computing = sum(count for name, count in floats.items() if name not in ("QUANTIZE", "DEQUANTIZE"))
    assert computing == len(found.operations)
    lr = pairs[0][1]
    wanted = found.quantized.network()(lr[None].astype(np.float32))[0].numpy()
    difference = litert.Model(content).upscale(lr) - wanted
    assert np.sqrt(np.mean(difference**2)) < 0.04 * np.std(wanted)


def test_what_shares_a_range_stays_in_float_together(quantized, pairs):
    trial = mixed._Trial(quantized, mixed.Examination(quantized, pairs, SCALE))
    leaders = fakequant.shared(quantized.model)
    assert all(leaders[name] == leader for leader, names in trial.groups.items() for name in names)
    assert {"lr", "upsampler.0", "upsampler.1"}.isdisjoint(name for names in trial.groups.values() for name in names)
    # Not the resize's other input, of which it takes the size alone.
    assert "B1.esa.resize" not in mixed._operations(quantized.model, ["B1.c5"])
    assert "B1.esa.resize" in mixed._operations(quantized.model, ["B1.esa.conv3_"])


def test_what_cannot_be_is_refused(quantized, pairs):
    with pytest.raises(ValueError, match=r"--max_drop_db -1 is out of reach"):
        mixed.search(quantized, pairs, max_drop_db=-1)
    small = [(name, lr[:40], hr[:80]) for name, lr, hr in pairs]
    with pytest.raises(ValueError, match=r"none of \d+ has 64 LR pixels a side"):
        mixed.search(quantized, small, float_ops=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"float_ops": 3}, "are for --int8 alone"),
        ({"int8": True, "float_ops": 3, "max_drop_db": 0.1}, "one of --float_ops and --max_drop_db"),
        ({"int8": True, "max_drop_db": -0.1}, "of 0 or more"),
    ],
)
def test_flags_that_contradict(settings, message):
    with pytest.raises(ValueError, match=message):
        convert.main(convert.ConvertConfig(**settings))


def test_the_command_tells_gain_and_cost(tiny_weights, tmp_path, capsys):
    config = convert.ConvertConfig(int8=True, weights=tiny_weights, shape="1,32,40,3", float_ops=2)
    out = convert.main(dataclasses.replace(config, out=str(tmp_path / "mixed.tflite")))
    printed = capsys.readouterr().out
    assert "2 operations in float (" in printed
    assert "ratio" in printed
    floats = description.describe(out).float_operators
    assert sum(count for name, count in floats.items() if name not in ("QUANTIZE", "DEQUANTIZE")) == 2
