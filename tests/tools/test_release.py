import json

import numpy as np
import pytest
from PIL import Image

from keras_rfdn import train
from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.tflite.inspection import description
from keras_rfdn.training import recipes, workdir
from keras_rfdn.training.recipes import Recipe, Stage
from tools import release


@pytest.fixture
def folder(tmp_path, rng):
    """Six HR images of soft noise."""
    for i in range(6):
        noise = Image.fromarray(rng.integers(0, 256, (12, 12, 3)).astype(np.uint8))
        (tmp_path / "Noise").mkdir(exist_ok=True)
        noise.resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / "Noise" / f"{i:02}.png")
    return str(tmp_path / "Noise")


def test_a_run_becomes_files_and_a_card(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", ModelConfig("rfdb", 8, 1, activation="relu", network="anchored"))
    row = Recipe("here", "noise", "little", 0, "tiny", 2, (Stage(3, 2, 16, 1e-3, "cosine"),), optimizer="muon")
    monkeypatch.setitem(recipes.RECIPES, "shipped-tiny-x2", row)
    run = tmp_path / "run"
    train.main(
        train.TrainConfig(
            recipe="shipped-tiny-x2", **row.settings(), data=folder, valid=folder, workdir=str(run), seed=4
        )
    )
    out = tmp_path / "weights"
    monkeypatch.setattr(release, "CROPS", {"soft": ("00", 8, 16)})
    monkeypatch.setattr(release, "SIDE", 64)
    monkeypatch.chdir(tmp_path)
    reports = release.main(
        release.ShipConfig((str(run),), sets=(folder,), data=folder, qat_steps=2, out=str(out), pictures=folder)
    )
    names = ["SHA256SUMS", "tiny-x2.h5", "tiny-x2.md", "tiny-x2.png", "tiny-x2_int8.tflite"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / "tiny-x2.h5").read_bytes() == (run / "best.h5").read_bytes()
    (tensor,) = description.describe(out / "tiny-x2_int8.tflite").inputs
    assert (tensor.dtype, tensor.shape[1:3]) == ("uint8", (-1, -1))
    monkeypatch.setattr(pretrained, "FOLDER", out)
    assert checkpoint.resolve(variant="tiny", scale=2) == out / "tiny-x2.h5"

    card = (out / "tiny-x2.md").read_text()
    floats, int8 = (result["sets"]["Noise"]["psnr"] for result in reports["tiny-x2"]["results"][1:])
    assert f"int8 loses {floats - int8:.3f} dB on Noise" in card
    assert f"{floats:.2f}" in card
    assert "3 updates of 2 patches" in card
    assert "64 million patches, this one 6," in card
    assert "(../../docs/tiny-x2.png)" in card
    original = np.asarray(Image.open(tmp_path / "Noise" / "00.png"))[8 : 8 + 64, 16 : 16 + 64]
    drawn = np.asarray(Image.open(tmp_path / "docs" / "tiny-x2.png"))
    enlarged = Image.fromarray(original).resize((96, 96), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(drawn[-98:-2, 2:-2], enlarged)  # the lowest of four panels
    assert "--seed 4" in card
    assert "qat.py --data TRAINING --valid VALIDATION --weights tiny-x2 --shape dynamic --steps 2\n" in card
    tuning = workdir.records(run / "qat")
    assert f"those of update {max(tuning, key=lambda record: record['psnr_y'])['step']} of 2, the best" in card
    assert f"({json.loads((run / 'summary.json').read_text())['best_psnr_y']:.2f} dB" in card
    assert "{" not in card
    assert str(tmp_path) not in card


def test_a_run_that_is_not_finished_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no summary\.json in .*; need the workdir of a finished run"):
        release.main(release.ShipConfig((str(tmp_path),), sets=(folder,), data=folder))
    with pytest.raises(ValueError, match="name folders of test images by --sets and one of training images by --data"):
        release.main(release.ShipConfig((str(tmp_path),)))
