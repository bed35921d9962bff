import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from keras_rfdn import train
from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.system import files
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.tflite.inspection import description
from keras_rfdn.training import workdir
from tools import release


@pytest.fixture
def folder(tmp_path, rng):
    """Six HR images of soft noise."""
    for i in range(6):
        noise = Image.fromarray(rng.integers(0, 256, (12, 12, 3)).astype(np.uint8))
        (tmp_path / "Noise").mkdir(exist_ok=True)
        noise.resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / "Noise" / f"{i:02}.png")
    return str(tmp_path / "Noise")


@pytest.fixture
def about(tmp_path):
    (tmp_path / "about.txt").write_text("Soft noise,\nin the public domain.\n")
    return str(tmp_path / "about.txt")


def test_a_run_becomes_files_and_a_card(folder, about, tmp_path, monkeypatch):
    small = dataclasses.replace(VARIANTS["rfdn-mobile"], channels=8, num_blocks=1)
    monkeypatch.setitem(VARIANTS, "tiny", small)
    run = tmp_path / "run"
    train.main(
        train.TrainConfig(
            variant="tiny", scale=2, data=folder, valid=folder, valid_images=2, workdir=str(run), steps=3, batch=2,
            patch=16, learning_rate=1e-3, schedule="cosine", optimizer="muon", seed=4,
        )
    )  # fmt: skip
    out = tmp_path / "weights"
    monkeypatch.setattr(release, "CROPS", {"soft": ("00", 8, 16)})
    monkeypatch.setattr(release, "SIDE", 64)
    monkeypatch.chdir(tmp_path)
    reports = release.main(
        release.ReleaseConfig((str(run),), (folder,), folder, about, qat_steps=2, out=str(out), pictures=folder)
    )
    names = ["SHA256SUMS", "tiny-x2.h5", "tiny-x2.md", "tiny-x2.png", "tiny-x2_int8.tflite", "tiny-x2_samples.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / "tiny-x2.h5").read_bytes() == (run / "best.h5").read_bytes()
    (tensor,) = description.describe(out / "tiny-x2_int8.tflite").inputs
    assert (tensor.dtype, tensor.shape[1:3]) == ("uint8", (180, 320))
    monkeypatch.setattr(pretrained, "FOLDER", out)
    assert checkpoint.resolve(variant="tiny", scale=2) == out / "tiny-x2.h5"

    original = np.asarray(Image.open(tmp_path / "Noise" / "00.png"))[8 : 8 + 64, 16 : 16 + 64]
    drawn = np.asarray(Image.open(out / "tiny-x2_samples.png"))
    enlarged = Image.fromarray(original).resize((96, 96), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(drawn[-98:-2, 2:-2], enlarged)  # the lowest of four panels

    card = (out / "tiny-x2.md").read_text()
    floats, int8 = (result.sets["Noise"] for result in reports["tiny-x2"].results[1:])
    assert f"int8 loses {floats.psnr - int8.psnr:.3f} dB on Noise" in card
    assert f"| float32 | {floats.score} |" in card
    assert f"{{type: psnr, name: PSNR int8, value: {int8.psnr:.2f}}}" in card
    assert "3 updates of 2 patches of 16x16 LR pixels" in card
    assert "\nSoft noise, in the public domain. Validation: 2 images of Noise.\n" in card
    assert "(tiny-x2_samples.png)" in card
    command = (
        "python -m keras_rfdn.train --variant tiny --scale 2 --data Noise --valid Noise --valid_images 2 --steps 3"
    )
    assert command in card
    assert "--optimizer muon --seed 4\n" in card.replace(" \\\n       ", "")
    best = json.loads((run / "summary.json").read_text())["best_psnr_y"]
    assert f"{best:.2f} dB on luma" in card
    assert files.sha256(out / "tiny-x2_int8.tflite") in card
    tuned = max(workdir.records(run / "qat"), key=lambda record: record["psnr_y"])["step"]
    said = "training did not improve on that (update 0)" if tuned == 0 else f"update {tuned} of 2, the best"
    assert said in " ".join(card.split())
    assert str(tmp_path) not in card
    assert max(map(len, card.splitlines())) <= 120


def test_a_run_that_is_not_finished_is_refused(folder, about, tmp_path):
    with pytest.raises(ValueError, match=r"no summary\.json in .*; need the workdir of a finished run"):
        release.main(release.ReleaseConfig((str(tmp_path),), (folder,), folder, about))
    with pytest.raises(ValueError, match="no file at --about"):
        release.main(release.ReleaseConfig((str(tmp_path),), (folder,), folder, about="nothing.txt"))
