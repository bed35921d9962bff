import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert.tools import flatbuffer_utils

from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling import litert, resizable


def image(height, width):
    return sample.dead_leaves(100, seed=1)[:height, :width]


@pytest.mark.parametrize(("dtype", "zero_point"), [(tf.uint8, 0), (tf.int8, -128)])
def test_quantized_by_the_tensors_own_scale(nearest, to_tflite, int8_settings, repeat, dtype, zero_point, difference):
    frames = [np.full((32, 40, 3), level) for level in (0, 200)]
    path = to_tflite(nearest(32, 40), f"nearest_{dtype.name}", **int8_settings(frames, dtype))
    model = litert.Model(path)
    assert model.input_dtype == model.output_dtype == dtype.as_numpy_dtype
    # Calibrated on 0..200 there are 255 steps of 0.78 grey levels: all up to 200 come back, those above become 200.
    levels = np.arange(256, dtype=np.uint8).repeat(15).reshape(32, 40, 3)
    assert difference(resizable.ResizableModel(path)(levels), repeat(levels.clip(0, 200))) == 0
    model.load(np.full((32, 40, 3), 100, np.uint8))
    assert model._interpreter.get_tensor(model._input["index"])[0, 0, 0, 0] == round(100 / (200 / 255)) + zero_point


def test_int16_is_decoded_over_its_whole_range():
    details = {"dtype": np.int16, "quantization": (1 / 128, 0)}
    numbers = np.array([-32768, -1, 0, 63, 65, 128, 100 * 128 + 63, 32640, 32767], np.int16)
    assert litert._decoder(details)(numbers).tolist() == [0, 0, 0, 0, 1, 1, 100, 255, 255]
    assert litert._encoder(details)(np.arange(256, dtype=np.uint8)).tolist() == list(range(0, 32641, 128))


def test_grey_levels_are_neither_rounded_nor_clipped(fixed_tflite, fixed_tiny_model):
    model = litert.Model(fixed_tflite)
    model.load(image(32, 40))
    model.invoke_ms()
    wanted = fixed_tiny_model(image(32, 40)[None].astype(np.float32))[0]
    np.testing.assert_allclose(model.grey_levels(), wanted, atol=1e-2)
    assert (model.grey_levels() % 1 > 0.01).any()


def test_facts_of_a_fixed_size(fixed_tflite):
    model = litert.Model(fixed_tflite)
    assert (model.height, model.width, model.scale) == (32, 40, 2)
    assert model.tile == (32, 40)
    assert (model.input_shape, model.output_shape) == ((1, 32, 40, 3), (1, 64, 80, 3))
    assert model.input_dtype == model.output_dtype == np.float32
    model.load(image(32, 40))
    assert model.invoke_ms() > 0


def test_facts_of_an_open_size(open_tflite):
    with open(open_tflite, "rb") as file:
        model = litert.Model(file.read())
    assert (model.height, model.width, model.scale) == (None, None, 2)
    assert model.tile is None
    assert model.input_shape[1:] == model.output_shape[1:] == (-1, -1, 3)


def test_xnnpack_takes_the_graph_or_does_not(fixed_tflite):
    def delegated(xnnpack):
        model = litert.Model(fixed_tflite, xnnpack=xnnpack)
        model.load(image(32, 40))  # allocates
        return [op["op_name"] for op in model._interpreter._get_ops_details()].count("DELEGATE")

    assert (delegated(True), delegated(False)) == (1, 0)


def test_reallocates_only_for_a_new_size(open_tflite, monkeypatch):
    model = litert.Model(open_tflite)
    sizes = []
    resize = model._interpreter.resize_tensor_input
    monkeypatch.setattr(
        model._interpreter, "resize_tensor_input", lambda i, shape: (sizes.append(shape), resize(i, shape))
    )
    for size in [(20, 20), (20, 20), (20, 30), (20, 30)]:
        model.upscale(image(*size))
    assert sizes == [[1, 20, 20, 3], [1, 20, 30, 3]]


def test_refuses_a_size_that_it_does_not_take(fixed_tflite, open_tflite):
    # LiteRT with XNNPACK would run on images too small for the network, and give anything.
    with pytest.raises(ValueError, match="takes no 14x20"):
        litert.Model(open_tflite).upscale(image(14, 20))
    with pytest.raises(ValueError, match="takes no 32x41"):
        litert.Model(fixed_tflite).upscale(image(32, 41))


def test_refuses_what_is_no_model(tmp_path, fixed_tflite):
    with pytest.raises(ValueError, match=r"no file at .*gone\.tflite"):
        litert.Model(tmp_path / "gone.tflite")
    with pytest.raises(ValueError, match="not a TFLite model"):
        litert.Model(b"\x89PNG\r\n\x1a\n")
    with open(fixed_tflite, "rb") as file, pytest.raises(ValueError, match="is it complete"):
        litert.Model(file.read()[:10_000])


def _two_inputs():
    a, b = keras.Input((32, 40, 3), 1), keras.Input((32, 40, 3), 1)
    return keras.Model([a, b], keras.layers.Add()([a, b]))


def _model(shape, layer, batch=1):
    x = keras.Input(shape, batch)
    return keras.Model(x, layer(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_two_inputs, "one input, of shape"),
        (lambda: _model((32, 40, 1), keras.layers.UpSampling2D(2)), r"has \[\[1, 32, 40, 1\]\]"),
        (lambda: _model((32, 40, 3), keras.layers.UpSampling2D(2), batch=2), r"has \[\[2, 32, 40, 3\]\]"),
        (lambda: _model((32, 40, 3), keras.layers.Flatten()), r"one output.*has \[\[1, 3840\]\]"),
        (lambda: _model((32, 40, 3), keras.layers.MaxPooling2D(2)), "no integer factor"),
        (lambda: _model((32, 40, 3), keras.layers.UpSampling2D((2, 3))), "no integer factor"),
    ],
)
def test_refuses_what_is_no_upscaler(to_tflite, model, message):
    with pytest.raises(ValueError, match=message):
        litert.Model(to_tflite(model(), "other"))


def test_needs_no_tensorflow(root):
    code = "import sys, keras_rfdn.upscaling.litert; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_what_litert_refuses_after_opening_is_told_too(fixed_tflite):
    """A graph of a good structure, in which a convolution has its kernel for a bias."""
    with open(fixed_tflite, "rb") as file:
        graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(file.read()))
    operator = graph.subgraphs[0].operators[0]
    operator.inputs = [*operator.inputs[:2], operator.inputs[1]]
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(graph))
    for open_model in (litert.Model, resizable.ResizableModel):
        with pytest.raises(UserError, match=r"can't run model \(.*failed to prepare.*\); is it complete"):
            open_model(content, xnnpack=False).upscale(image(32, 40))


def test_errors_of_readers_become_one_line():
    told = r"^LiteRT can't run a\.tflite \(bad tensor, node 3\); is it complete"
    with pytest.raises(UserError, match=told), litert.told_as_user_error("a.tflite"):
        raise IndexError("bad tensor,\n  node 3")
    with pytest.raises(UserError, match=r"^as it is$"), litert.told_as_user_error("a.tflite"):
        raise UserError("as it is")
