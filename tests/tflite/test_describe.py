import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.networks.layers import PixelShuffle
from keras_rfdn.tflite import describe
from keras_rfdn.tflite.inspection import description, vela


@pytest.fixture(scope="module")
def three_operators():
    """Keras model of a convolution, a pixel shuffle and a multiplication, 3x8x8 -> 3x16x16."""
    lr = keras.Input((8, 8, 3), 1, name="lr")
    x = PixelShuffle(2)(keras.layers.Conv2D(12, 3, padding="same", bias_initializer="ones")(lr))
    return keras.Model(lr, keras.layers.Rescaling(3.0)(x))


OPERATORS = {"CONV_2D": 1, "DEPTH_TO_SPACE": 1, "MUL": 1}


def test_known_graph(three_operators, to_tflite):
    path = to_tflite(three_operators, "three")
    with open(path, "rb") as file:
        content = file.read()
    found = description.describe(path)
    assert found == description.describe(content)
    assert found.operators == found.float_operators == OPERATORS
    assert found.constants == {"float32": 3}  # kernel, bias, factor
    assert found.activations == {"float32": 4}  # the input and each operator's result
    assert found.size_bytes == len(content)
    (lr,), (sr,) = found.inputs, found.outputs
    assert (lr.dtype, lr.shape, lr.scale, lr.zero_point) == ("float32", (1, 8, 8, 3), None, None)
    assert (sr.dtype, sr.shape) == ("float32", (1, 16, 16, 3))
    assert "lr" in lr.name


def test_int8_inside_float_outside(three_operators, to_tflite, int8_settings, rng):
    frames = rng.uniform(0, 255, (2, 8, 8, 3))
    found = description.describe(to_tflite(three_operators, "hybrid", **int8_settings(frames, tf.float32)))
    assert found.operators == {**OPERATORS, "QUANTIZE": 1, "DEQUANTIZE": 1}
    assert found.float_operators == {"QUANTIZE": 1, "DEQUANTIZE": 1}
    assert found.activations == {"int8": 4, "float32": 2}


def test_int8_throughout(three_operators, to_tflite, int8_settings):
    frames = [np.full((8, 8, 3), level) for level in (0, 200)]
    found = description.describe(to_tflite(three_operators, "uint8", **int8_settings(frames, tf.uint8)))
    assert found.operators == {**OPERATORS, "QUANTIZE": 2}  # between uint8 and int8
    assert found.float_operators == {}
    assert found.constants == {"int8": 2, "int32": 1}
    (lr,) = found.inputs
    assert (lr.dtype, lr.zero_point) == ("uint8", 0)
    assert lr.scale == pytest.approx(200 / 255)


def test_float16_weights_are_float(three_operators, to_tflite):
    spec = tf.lite.TargetSpec()
    spec.supported_types = [tf.float16]
    settings = {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec": spec}
    found = description.describe(to_tflite(three_operators, "float16", **settings))
    assert found.constants == {"float16": 3}
    assert found.float_operators == {**OPERATORS, "DEQUANTIZE": 3}


def test_float_of_half_width_is_float_too(three_operators, to_tflite):
    graph = flatbuffer_utils.read_model(to_tflite(three_operators, "three"))
    for tensor in graph.subgraphs[0].tensors:
        tensor.type = flatbuffer_utils.TensorType.FLOAT16
    found = description.describe(bytes(flatbuffer_utils.convert_object_to_bytearray(graph)))
    assert found.float_operators == OPERATORS
    assert found.activations == {"float16": 4}


def test_open_sizes(open_tflite):
    found = description.describe(open_tflite)
    assert found.inputs[0].shape[1:] == (-1, -1, 3)
    assert found.operators["RESIZE_BILINEAR"] == 1  # the ESA
    assert list(found.operators.values()) == sorted(found.operators.values(), reverse=True)


def test_refuses_what_it_cannot_read(tmp_path, open_tflite):
    with pytest.raises(ValueError, match="no file at"):
        description.describe(tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match="mark TFL3"):
        description.describe(b"")
    with open(open_tflite, "rb") as file:
        content = file.read()
    for size in (8, 40, 1000, len(content) // 2):
        (tmp_path / "cut.tflite").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.tflite is a broken TFLite model"):
            description.describe(tmp_path / "cut.tflite")


@pytest.mark.parametrize(
    "command", [["tflite/describe.py"], pytest.param(["-m", "keras_rfdn.tflite.describe"], marks=pytest.mark.slow)]
)
def test_command_prints_a_column_for_each_model(three_operators, to_tflite, nearest_tflite, root, command):
    path = to_tflite(three_operators, "three")
    done = subprocess.run(
        [sys.executable, *command, path, nearest_tflite], cwd=root, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == [path, nearest_tflite]
    for name in OPERATORS:
        assert [name, "1", "(1", "float)", "1" if name == "MUL" else "0"] in lines  # nearest multiplies sizes
    assert ["RESIZE_NEAREST_NEIGHBOR", "0", "1", "(1", "float)"] in lines


def test_targets_of_a_known_graph(three_operators, to_tflite, monkeypatch, capsys):
    monkeypatch.setattr(vela, "find", lambda: None)
    path = to_tflite(three_operators, "three")
    (found,) = describe.main(describe.DescribeConfig((path,), targets=True))
    by_target = {verdict.target: verdict for verdict in found}
    assert by_target["LiteRT GPU"].accepted == 3
    assert [refusal.operator for refusal in by_target["MediaTek"].refusals] == ["DEPTH_TO_SPACE"]
    assert by_target["Ethos-U85"].accepted == 0  # floats
    text = capsys.readouterr().out
    assert "Core ML delegate" in text
    assert "pip install ethos-u-vela" in text
    assert "1 DEPTH_TO_SPACE: not in the list" in text


@pytest.mark.skipif(vela.find() is None, reason="needs Vela: pip install ethos-u-vela")
def test_targets_with_vela_s_own_verdict(three_operators, to_tflite, int8_settings, capsys):
    path = to_tflite(three_operators, "uint8", **int8_settings([np.full((8, 8, 3), 200)], tf.uint8))
    (found,) = describe.main(describe.DescribeConfig((path,), targets=True))
    by_target = {verdict.target: verdict for verdict in found}
    for name in ("Vela, ethos-u55-256", "Vela, ethos-u65-512", "Vela, ethos-u85-512"):
        assert [refusal.operator for refusal in by_target[name].refusals] == ["DEPTH_TO_SPACE"]
        assert by_target[name].accepted == 4
    assert "pip install" not in capsys.readouterr().out
