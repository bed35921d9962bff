import numpy as np
import pytest
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.sources import sample
from keras_rfdn.tflite.inspection import description, profiler
from keras_rfdn.upscaling import litert

LR = sample.dead_leaves(100, seed=1)[:32, :40]


def profiled(path, **options):
    return profiler.profile(path, litert.Model(path).encode(LR)[None], threads=1, warmup=0, rounds=2, **options)


@pytest.mark.parametrize("xnnpack", [True, False])
def test_profiles_the_network_that_the_interpreter_runs(fixed_tflite, xnnpack):
    found, output = profiled(fixed_tflite, xnnpack=xnnpack)
    model = litert.Model(fixed_tflite, threads=1, xnnpack=xnnpack)
    model.upscale(LR)
    np.testing.assert_array_equal(output.reshape(64, 80, 3), model.grey_levels())
    assert {operator.delegated for operator in found.operators} == {xnnpack}
    assert sum(operator.ms for operator in found.operators) > 0


@pytest.mark.parametrize("xnnpack", [True, False])
def test_operators_are_the_files_in_its_order(fixed_tflite, xnnpack):
    graph = flatbuffer_utils.read_model(fixed_tflite)
    wanted = [graph.subgraphs[0].tensors[op.outputs[0]] for op in graph.subgraphs[0].operators]
    found = profiled(fixed_tflite, xnnpack=xnnpack)[0].operators
    assert [(o.tensor, o.shape) for o in found] == [(t.name.decode(), tuple(map(int, t.shape))) for t in wanted]
    convolutions = [o for o in found if "Conv" in o.kernel or "Fully Connected" in o.kernel or o.kernel == "CONV_2D"]
    assert len(convolutions) == description.describe(fixed_tflite).operators["CONV_2D"] == 19


def test_weights_in_float16_are_no_operators(fixed_tiny_model, to_tflite):
    import tensorflow as tf

    settings = {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec.supported_types": [tf.float16]}
    path = to_tflite(fixed_tiny_model, "half", **settings)
    found = profiled(path)[0].operators
    assert all(operator.tensor for operator in found)
    assert not [operator for operator in found if "quantize" in operator.kernel.lower()]


def test_errors_are_for_the_user(open_tflite, fixed_tflite):
    with pytest.raises(ValueError, match="needs a model of fixed size"):
        profiled(open_tflite)
    with pytest.raises(ValueError, match=r"holds 15360 bytes, got 12"):
        profiler.profile(fixed_tflite, np.zeros(3, np.float32), threads=1)


def test_another_layout_of_events_is_noticed(fixed_tflite, monkeypatch):
    monkeypatch.setattr(profiler, "KINDS", {profiler.WHOLE})
    with pytest.raises(RuntimeError, match="another way"):
        profiled(fixed_tflite)
