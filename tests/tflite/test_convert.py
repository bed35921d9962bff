import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from PIL import Image

from keras_rfdn.checkpoints import author_weights, checkpoint, formats, pretrained, releases
from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.tflite import convert
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.upscaling import keras_upscalers, litert, resizable


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folder of two images to calibrate on."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in (3, 4):
        Image.fromarray(sample.dead_leaves(132, seed=seed)).save(folder / f"{seed}.png")
    return str(folder)


@pytest.fixture(scope="module")
def converted(tiny_weights, photographs, tmp_path_factory):
    """Function (precision, shape) -> path of the .tflite that main makes of tiny_weights."""
    folder = tmp_path_factory.mktemp("converted")

    def run(precision, shape="1,32,40,3"):
        out = folder / f"{precision}_{shape}.tflite"
        if not out.exists():
            calibration = photographs if precision in converter.CALIBRATED else None
            config = convert.ConvertConfig(
                precision, weights=tiny_weights, shape=shape, out=str(out), calibration=calibration
            )
            assert convert.main(config) == out
        return out

    return run


LR = sample.dead_leaves(60, seed=9)[:32, :40]


@pytest.mark.parametrize(
    ("precision", "dtype", "least_db"),
    [("float32", "float32", 60), ("float16", "float32", 55)],
)
def test_float_models_come_close_to_keras(converted, tiny_upscale, precision, dtype, least_db):
    path = converted(precision)
    found = description.describe(path)
    (tensor_in,), (tensor_out,) = found.inputs, found.outputs
    assert (tensor_in.dtype, tensor_in.shape) == (dtype, (1, 32, 40, 3))
    assert (tensor_out.dtype, tensor_out.shape) == (dtype, (1, 64, 80, 3))
    assert found.float_operators
    sr, wanted = resizable.ResizableModel(path)(LR), tiny_upscale(LR)
    assert (sr == wanted).all() or metrics.psnr(sr, wanted, shave=0) > least_db


def test_int8_is_integer_throughout_and_its_pixels_are_grey_levels(converted, tiny_upscale):
    path = converted("int8")
    found = description.describe(path)
    assert found.operators["CONV_2D"] == 20  # 8 and 7 of the attention in the block, 4 around, and the image's im2col
    assert found.operators["ADD"] == 1  # the attention's: neither the residual steps nor the long skip have one
    assert found.float_operators == {}
    assert set(found.activations) <= {"int8", "uint8", "int32"}
    for tensor in found.inputs + found.outputs:
        assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("uint8", 1.0, 0)
    sr, wanted = resizable.ResizableModel(path)(LR), tiny_upscale(LR)
    assert metrics.psnr(sr, wanted, shave=0) > 50


def test_int8_is_nearer_to_float_than_the_converter_s_default(tiny_model, tiny_upscale, converted):
    pairs = [(str(seed), sample.dead_leaves(60, seed=seed), None) for seed in (3, 4)]
    images = list(converter.calibration_images(pairs, "int8_plain", 32, 40))
    plain = converter.convert(tiny_model, "int8_plain", height=32, width=40, images=images)
    wanted = tiny_upscale(LR)
    files = converted("int8"), plain
    ours, theirs = (metrics.psnr(resizable.ResizableModel(file)(LR), wanted, shave=0) for file in files)
    assert ours > theirs + 1


def test_an_open_size_is_for_networks_without_a_resize(tiny_weights, tmp_path):
    """With one LiteRT's CompiledModel crashes."""
    out = tmp_path / "open.tflite"
    with pytest.raises(ValueError, match=r"ESA.*CompiledModel crashes; fix a shape"):
        convert.main(convert.ConvertConfig(weights=tiny_weights, shape="dynamic", out=str(out)))
    convert.main(convert.ConvertConfig(weights="rfdn-mobile-x2", shape="dynamic", out=str(out)))
    assert litert.Model(out).tile is None
    compiled = CompiledModel.from_file(str(out))
    for height, width in [(20, 30), (33, 17)]:
        lr = sample.dead_leaves(40, seed=1)[:height, :width]
        compiled.resize_input_tensor(0, [1, height, width, 3])
        inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        inputs[0].write(lr[None].astype(np.float32))
        compiled.run_by_index(0, inputs, outputs)
        sr = np.asarray(outputs[0].read(12 * height * width, np.float32)).reshape(2 * height, 2 * width, 3)
        np.testing.assert_array_equal(sr.round().clip(0, 255), litert.Model(out).upscale(lr))


def test_int16x8_is_integer_throughout_and_close_to_keras(converted, tiny_upscale):
    path = converted("int16x8")
    found = description.describe(path)
    assert found.operators["CONV_2D"] == 19
    assert "DEPTH_TO_SPACE" not in found.operators
    assert found.float_operators == {}
    assert set(found.activations) <= {"int16", "int32"}
    assert found.constants["int8"] == 19
    for tensor in found.inputs + found.outputs:
        assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("int16", 1 / 128, 0)
    sr, wanted = resizable.ResizableModel(path)(LR), tiny_upscale(LR)
    # int8 reaches 25 dB here (the test above); what is left are the weights' 8 bits.
    assert metrics.psnr(sr, wanted, shave=0) > 45


def test_an_int16_grey_level_is_128_steps(converted):
    model = litert.Model(converted("int16x8"))
    model.load(LR)
    given = model._interpreter.get_tensor(model._input["index"])[0]
    assert (given == LR.astype(np.int16) * 128).all()


def test_int16x8_takes_the_papers_attention(tmp_path):
    config = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=4, scale=2)
    model = models.build(config)
    content = converter.convert(model, "int16x8", height=32, width=40, images=[LR])
    found = description.describe(content)
    assert found.float_operators == {}
    assert not {"SQRT", "SQUARED_DIFFERENCE"} & found.operators.keys()
    wanted = model(LR[None].astype(np.float32))[0].numpy()
    found = litert.Model(content)
    found.upscale(LR)
    assert np.abs(found.grey_levels() - wanted.clip(-256, 256)).mean() < 0.02 * wanted.std()


def test_weights_are_stored_in_the_precision_asked_for(converted):
    constants = {p: description.describe(converted(p)).constants for p in ("float32", "float16", "int8")}
    assert "float16" in constants["float16"]
    assert "int8" in constants["int8"]
    assert not {"float16", "int8"} & set(constants["float32"])


def test_dynamic_stores_int8_weights():
    """LiteRT's converter leaves weights below 1024 numbers as they are, and with them all of the tiny model's."""
    config = ModelConfig("rfdb", channels=16, num_blocks=1, attention="esa", reduction=4, scale=2)
    content = converter.convert(models.build(config), "dynamic", height=20, width=20)
    assert description.describe(content).constants["int8"] == 6  # the 3x3 kernels outside the attention


def test_overshoot_is_clipped(tiny_weights, photographs, tmp_path):
    """A network that gives values far outside 0..255 must end in black and white in int8 as it does in float."""
    weights = tmp_path / "overshoot.h5"
    model, config = checkpoint.load(tiny_weights)
    last = model.get_layer("upsampler.0")
    kernel, bias = last.get_weights()
    last.set_weights([8 * kernel, 8 * (bias - 0.5) + 0.5])
    checkpoint.save(model, config, weights)
    out = convert.main(
        convert.ConvertConfig(
            weights=str(weights), shape="1,32,40,3", int8=True, out=str(tmp_path / "o.tflite"), calibration=photographs
        )
    )
    sr = resizable.ResizableModel(out)(LR).astype(int)
    exact = model(LR[None].astype(np.float32))[0].numpy()
    assert (exact < -30).any()
    assert (exact > 285).any()
    assert sr[exact < -30].max() < 40
    assert sr[exact > 285].min() > 215


def test_a_failed_conversion_leaves_the_old_file(tiny_weights, tmp_path, monkeypatch):
    out = tmp_path / "model.tflite"
    out.write_bytes(b"precious")
    monkeypatch.setattr(converter, "convert", lambda *_, **__: b"....TFL3 broken")
    with pytest.raises(ValueError, match="not a valid"):
        convert.main(convert.ConvertConfig(weights=tiny_weights, shape="1,32,40,3", out=str(out)))
    assert out.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_without_weights_the_newest_run_is_taken(tiny_weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "nothing shipped")
    with pytest.raises(ValueError, match=r"no trained run in runs/"):
        convert.main(convert.ConvertConfig())
    checkpoint.save(*checkpoint.load(tiny_weights), "runs/mine/best.h5")
    out = convert.main(convert.ConvertConfig(shape="1,32,40,3"))
    assert str(out) == "runs/mine/rfdb_x2_float32_32x40.tflite"
    with pytest.raises(ValueError, match="no trained run of any variant x4"):
        convert.main(convert.ConvertConfig(scale=4))
    with pytest.raises(ValueError, match=r"holds rfdb x2, not rfdn x2"):
        convert.main(convert.ConvertConfig(weights="runs/mine", variant="rfdn", scale=2))


def test_a_file_of_shipped_weights_goes_where_the_user_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        convert.main(convert.ConvertConfig(shape="1,32,40,3")).resolve() == tmp_path / "e-rfdn_x4_float32_32x40.tflite"
    )


@pytest.mark.parametrize("shape", ["180,320", "2,180,320,3", "1,180,320,1", "1,10,320,3", "any"])
def test_bad_shapes_are_refused(shape, tiny_weights):
    with pytest.raises(ValueError, match="shape must be"):
        convert.main(convert.ConvertConfig(weights=tiny_weights, shape=shape))


def test_accurate_splits_channels_and_the_fewest_operations_in_float_are_named(
    converted, tiny_weights, photographs, tiny_upscale, tmp_path, capsys
):
    out = tmp_path / "accurate.tflite"
    convert.main(
        convert.ConvertConfig(
            int8=True, accurate=True, max_drop_db=100, weights=tiny_weights, shape="1,32,40,3", out=str(out),
            calibration=photographs,
        )
    )  # fmt: skip
    assert "0 operations in float (none): " in capsys.readouterr().out
    more, less = (description.describe(file) for file in (out, converted("int8")))
    assert more.float_operators == {}
    assert more.operators["LEAKY_RELU"] == less.operators["LEAKY_RELU"] - 1  # the fusion's is a CReLU
    assert more.size_bytes > less.size_bytes
    assert metrics.psnr(litert.Model(out).upscale(LR), tiny_upscale(LR), shave=0) > 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"int8": True, "precision": "float16"}, "one precision at a time, got --int8 and --precision float16"),
        ({"precision": "int4"}, "--precision must be one of float32, float16"),
        ({"accurate": True}, "--accurate is for int8, not for float32"),
        ({"precision": "int16x8", "max_drop_db": 0.1}, "--max_drop_db is for int8, not for int16x8"),
        ({"precision": "float16", "calibration": "folder"}, "--calibration is for int16x8 and int8, not for float16"),
        ({"int8": True, "max_drop_db": -0.1}, "--max_drop_db must be 0 or above, got -0.1"),
        ({"int8": True, "max_drop_db": float("nan")}, "--max_drop_db must be a finite number, got nan"),
    ],
)
def test_options_that_would_be_ignored_or_contradict_are_refused(settings, message, tiny_weights):
    with pytest.raises(ValueError, match=message):
        convert.main(convert.ConvertConfig(weights=tiny_weights, **settings))


@pytest.mark.parametrize(
    "command", [["tflite/convert.py"], pytest.param(["-m", "keras_rfdn.tflite.convert"], marks=pytest.mark.slow)]
)
def test_starts_as_a_script_and_as_a_module(command, root):
    result = subprocess.run(
        [sys.executable, *command, "--weights", "nowhere.h5"], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: no weight file at nowhere.h5")


def test_a_released_pth_becomes_a_file_in_one_command(tmp_path, monkeypatch, photographs, rng):
    """With e-rfdn made small, and without PyTorch's file around its arrays (test_torch_state_dict.py)."""
    monkeypatch.setitem(VARIANTS, "e-rfdn", ModelConfig("rfdb", 8, 1, attention="esa", reduction=4))
    shapes = author_weights._expected_shapes(releases.RELEASES[0], dataclasses.replace(VARIANTS["e-rfdn"], scale=2))
    state = {key: rng.normal(0, 0.1, shape).astype(np.float32) for key, shape in shapes.items()}
    state["upsampler.0.bias"] += 128
    monkeypatch.setattr(formats, "read", lambda path: state)
    (tmp_path / "RFDN.pth").touch()
    path = convert.main(
        convert.ConvertConfig(
            int8=True,
            weights=str(tmp_path / "RFDN.pth"),
            shape="1,32,40,3",
            calibration=photographs,
        )
    )
    assert path == tmp_path / "e-rfdn_x2_int8_32x40.tflite"
    sr = litert.Model(path).upscale(LR)
    model = author_weights.build(author_weights.identify(state))
    assert np.abs(sr.astype(int) - keras_upscalers.from_model(model)(LR)).mean() < 3
