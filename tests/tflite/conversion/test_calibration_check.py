import dataclasses
import logging
import re
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite import convert, qat
from keras_rfdn.tflite.conversion import calibration_check, converter
from keras_rfdn.tflite.finetuning import tuner
from keras_rfdn.tflite.quantization import simulator

WARNING = re.compile(r"int8 loses (\S+) dB on sample photographs: it is (\S+) dB near .* and (\S+) dB on the calibr")


def doubled(lr):
    """The float network of these tests: each pixel four times."""
    return lr.repeat(2, axis=0).repeat(2, axis=1)


def pairs(*images):
    return [(str(i), image, doubled(image)) for i, image in enumerate(images)]


def cut_at(level):
    """int8 whose ranges end at a level, and which is off by one besides."""
    return lambda lr: np.minimum(np.maximum(doubled(lr), 1) - 1, level).astype(np.uint8)


DARK, BRIGHT = (sample.photograph("coffee")[:96, :96] // divisor for divisor in (16, 1))


def test_what_the_calibration_images_lacked_is_told_with_numbers(caplog):
    with caplog.at_level(logging.WARNING):
        found = calibration_check.check(cut_at(15), doubled, pairs(DARK), scale=2)
    (loss, photographs, images) = (float(number) for number in WARNING.search(caplog.text).groups())
    assert found.loss_db == pytest.approx(loss, abs=0.01)
    assert loss > 5
    assert photographs < 10
    assert images > 45  # off by one: 48.1 dB
    assert re.search(r"9,216 LR pixels, grey levels from \d to 1\d, .* the photographs 20,480 LR pixels", caplog.text)
    with pytest.raises(UserError, match=r"must span what photographs hold, and int8 loses .* or on sample photographs"):
        calibration_check.check(cut_at(15), doubled, pairs(DARK), scale=2, strict=True)


@pytest.mark.parametrize(
    ("level", "image"),
    [(255, DARK), (255, BRIGHT), (200, np.full((64, 64, 3), 255, np.uint8))],
    ids=["ranges reach", "good images", "calibration images lose as much"],
)
def test_nothing_is_said_of_a_file_that_does_as_well_on_photographs(level, image, caplog):
    found = calibration_check.check(cut_at(level), doubled, pairs(image), scale=2, strict=True)
    assert found.is_passed
    assert not caplog.text


def test_equal_results_pass():
    assert calibration_check.check(doubled, doubled, pairs(DARK), scale=2, strict=True).calibration_db == np.inf


@pytest.fixture
def dark(nearest, tmp_path, monkeypatch):
    """(weight file, folder of dark images, folder for results) of a network whose int8 ranges end at 15."""
    lr = keras.Input((None, None, 3), 1)
    clipped = keras.Model(lr, keras.layers.ReLU(max_value=15.0)(keras.layers.UpSampling2D(2)(lr)))
    content = tf.lite.TFLiteConverter.from_keras_model(clipped).convert()
    monkeypatch.setattr(converter, "convert", lambda *_, **__: content)
    monkeypatch.setattr(converter, "convert_quantized", lambda *_, **__: content)
    monkeypatch.setattr(tuner, "calibrate", lambda *_, **__: None)
    monkeypatch.setattr(simulator, "simulate", lambda _: clipped)
    nearest().save(tmp_path / "own.keras")
    for name in ("images", "results"):
        (tmp_path / name).mkdir()
    for i in range(2):
        Image.fromarray(DARK[i:]).save(tmp_path / f"images/{i}.png")
    return str(tmp_path / "own.keras"), str(tmp_path / "images"), tmp_path / "results"


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_convert_warns_and_writes_the_file_but_not_with_strict(precision, dark, caplog):
    weights, images, results = dark
    config = convert.ConvertConfig(
        precision=precision, weights=weights, calibration=images, out=str(results / "dark.tflite"), strict=True
    )
    with pytest.raises(UserError, match="int8 loses"):
        convert.main(config)
    assert not list(results.iterdir())
    with caplog.at_level(logging.WARNING):
        convert.main(dataclasses.replace(config, strict=False))
    assert WARNING.search(caplog.text)
    assert [path.name for path in results.iterdir()] == ["dark.tflite"]


def test_qat_warns_before_it_trains_and_of_its_file(dark, caplog, monkeypatch):
    weights, images, results = dark
    monkeypatch.setattr(tuner, "fine_tune", mock.Mock(return_value="best"))
    config = qat.QatConfig(data=images, valid=images, weights=weights, workdir=str(results), strict=True)
    with pytest.raises(UserError, match="int8 loses"):
        qat.main(config)
    tuner.fine_tune.assert_not_called()
    assert not list(results.glob("*.tflite"))
    with caplog.at_level(logging.WARNING):
        qat.main(dataclasses.replace(config, strict=False))
    assert len(WARNING.findall(caplog.text)) == 2
    assert len(list(results.glob("*.tflite"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("divisor", "warns"), [(16, True), (1, False)])
def test_dark_images_leave_a_network_s_ranges_too_short(divisor, warns, tiny_weights, tmp_path, caplog, monkeypatch):
    # tiny_model's output has little contrast: 54 dB on photographs with dark images, 62 with good ones.
    monkeypatch.setattr(calibration_check, "NEAR_DB", 58.0)
    (tmp_path / "images").mkdir()
    for name in ("astronaut", "coffee", "rocket", "camera"):
        Image.fromarray(sample.photograph(name)[100:292, 100:292] // divisor).save(tmp_path / f"images/{name}.png")
    out = tmp_path / "model.tflite"
    with caplog.at_level(logging.WARNING):
        convert.main(
            convert.ConvertConfig(
                int8=True, weights=tiny_weights, shape="1,32,40,3", calibration=str(tmp_path / "images"), out=str(out)
            )
        )
    assert out.exists()
    assert bool(WARNING.search(caplog.text)) == warns
