import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras
from PIL import Image

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.tflite import validate
from keras_rfdn.tflite.inspection import comparison
from keras_rfdn.upscaling.tiling import tiled


def grey_levels_db(levels):
    """PSNR-Y of images so many grey levels apart in every channel: one is 219/255 of a luma level."""
    return 20 * np.log10(255 / (219 / 255 * levels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_upscale):
    """Three images whose HR is three grey levels above what Keras makes of their LR in pieces of 32x40."""
    folder = tmp_path_factory.mktemp("benchmark")
    upscale = tiled(tiny_upscale, 2, (32, 40))
    for name in ("HR", "LR_bicubic/X2"):
        (folder / name).mkdir(parents=True)
    for i, (height, width) in enumerate([(20, 30), (32, 40), (30, 97)]):
        lr = sample.dead_leaves(100, seed=i)[:height, :width]
        sr = upscale(lr)
        assert sr.max() <= 252
        Image.fromarray(lr).save(folder / f"LR_bicubic/X2/img{i}x2.png")
        Image.fromarray(sr + 3).save(folder / f"HR/img{i}.png")
    return str(folder)


@pytest.fixture(scope="module")
def brighter_weights(tiny_model, tiny_weights, tmp_path_factory):
    """Weights of a network that is two grey levels brighter: beside it, tiny_model's .tflite is damaged."""
    path = tmp_path_factory.mktemp("weights") / "brighter.h5"
    last = tiny_model.get_layer("upsampler.0")
    kernel, bias = weights = last.get_weights()
    last.set_weights([kernel, bias + 2 / 255])
    checkpoint.save(tiny_model, checkpoint.about(tiny_weights)[0], path)
    last.set_weights(weights)
    return str(path)


def test_a_float_conversion_loses_nothing(fixed_tflite, folder, tiny_weights, tmp_path, capsys):
    file = tmp_path / "validation.json"
    config = validate.ValidateConfig(
        fixed_tflite, folder, weights=tiny_weights, max_drop_db=0.05, threads=1, json=str(file)
    )
    result = validate.main(config)
    assert [image.name for image in result.images] == ["img0", "img1", "img2"]
    for image in [*result.images, result.mean]:
        # The third image is larger than the model: Keras is exact there only when it gets the same tiles.
        assert image.keras_psnr_y == pytest.approx(grey_levels_db(3), abs=1e-6)
        assert image.tflite_psnr_y == pytest.approx(grey_levels_db(3), abs=0.05)
        assert image.loss_db == pytest.approx(image.keras_psnr_y - image.tflite_psnr_y, abs=1e-9)
        assert image.max_difference <= 1
        assert image.keras_ssim_y > 0.99
    assert result.passed is True
    assert json.loads(file.read_text()) == json.loads(json.dumps(dataclasses.asdict(result)))
    printed = capsys.readouterr().out
    assert "pieces of 40x32 LR pixels" in printed
    assert "within the 0.05 dB allowed" in printed


def test_a_damaged_model_is_measured_and_refused(fixed_tflite, folder, brighter_weights):
    config = validate.ValidateConfig(fixed_tflite, folder, weights=brighter_weights, max_drop_db=9.0, images=2)
    with pytest.raises(SystemExit) as stopped:
        validate.exit_with_verdict(config)
    assert stopped.value.code == 1

    result = validate.main(dataclasses.replace(config, max_drop_db=10.0))
    assert result.passed is True
    assert len(result.images) == 2
    mean = result.mean
    assert mean.keras_psnr_y == pytest.approx(grey_levels_db(1), abs=0.05)
    assert mean.loss_db == pytest.approx(20 * np.log10(3), abs=0.05)  # three levels off instead of one
    assert mean.mean_difference == pytest.approx(2, abs=0.01)
    assert mean.max_difference in (2, 3)
    assert mean.agreement_db == pytest.approx(20 * np.log10(255 / 2), abs=0.05)


def test_open_size_takes_whole_images(open_tflite, folder, tiny_weights, capsys):
    result = validate.main(validate.ValidateConfig(open_tflite, folder, weights=tiny_weights))
    assert result.passed is True
    assert abs(result.mean.loss_db) < 0.05
    small, _, large = result.images
    assert small.max_difference <= 1
    assert abs(large.keras_psnr_y - grey_levels_db(3)) > 0.01  # its HR was made in tiles
    assert "in pieces" not in capsys.readouterr().out


def test_compare_of_known_images(rng):
    hr = rng.integers(50, 200, (20, 20, 3), np.uint8)
    found = comparison.compare(hr + 2, hr + 1, hr, scale=2)
    assert found.keras_psnr_y == pytest.approx(grey_levels_db(1))
    assert found.loss_db == pytest.approx(20 * np.log10(2))
    assert (found.max_difference, found.mean_difference) == (1, 1)
    assert found.agreement_db == pytest.approx(20 * np.log10(255))

    equal = comparison.compare(hr, hr, hr, scale=2)
    assert (equal.loss_db, equal.max_difference, equal.agreement_db) == (0, 0, None)
    mean = comparison.mean([found, equal])
    assert (mean.max_difference, mean.mean_difference) == (1, 0.5)
    assert mean.agreement_db == found.agreement_db


def test_what_would_spoil_a_mean_is_left_out(rng):
    hr = rng.integers(50, 200, (40, 40, 3), np.uint8)
    pairs = [("good", hr, hr), ("blank", hr, hr * 0), ("exact", hr - 2, hr), ("small", hr, hr[:14])]
    found, left_out = comparison.validate(lambda lr: lr + 2, lambda lr: lr + 1, pairs, scale=2)
    assert [image.name for image in found] == ["good"]
    assert {name: why.split(":")[0] for name, why in left_out.items()} == {
        "blank": "HR image of one colour",
        "exact": "a result equals the HR image",
        "small": "HR image of 40x14 pixels, and 15 a side are needed to measure on",
    }
    assert comparison.mean(found).loss_db == pytest.approx(20 * np.log10(2))


def test_errors_are_for_the_user(fixed_tflite, folder, tiny_weights, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="--images"):
        validate.main(validate.ValidateConfig(fixed_tflite, folder, weights=tiny_weights, images=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="no trained run"):
        validate.main(validate.ValidateConfig(fixed_tflite, folder))
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    with pytest.raises(ValueError, match="no image to measure on; tiny: HR image of 8x8 pixels, and 15 a side"):
        validate.main(validate.ValidateConfig(fixed_tflite, str(tmp_path), weights=tiny_weights))


def test_scales_must_agree(to_tflite, folder, tiny_weights):
    lr = keras.Input((32, 40, 3), 1)
    path = to_tflite(keras.Model(lr, keras.layers.UpSampling2D(3)(lr)), "triple")
    with pytest.raises(ValueError, match=r"enlarges 3 times and .*tiny\.h5 2 times"):
        validate.main(validate.ValidateConfig(path, folder, weights=tiny_weights))


def test_script_exits_with_status_1(fixed_tflite, folder, brighter_weights, root):
    flags = [f"--data={folder}", f"--weights={brighter_weights}", "--images=1", "--max_drop_db=9"]
    done = subprocess.run(
        [sys.executable, "tflite/validate.py", fixed_tflite, *flags], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "ABOVE the 9.0 dB allowed" in done.stdout
