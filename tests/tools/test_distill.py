import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_rfdn import train
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources import folders
from keras_rfdn.data.system import files
from keras_rfdn.upscaling import keras_upscalers
from tools import distill


@pytest.fixture
def weights(untrained):
    return untrained("a.h5", 1)


@pytest.fixture
def photos(tmp_path, rng):
    """A folder of two images that share a name in two subfolders, and one of odd size."""
    for name, size in {"x/1.png": (48, 40, 3), "y/1.png": (40, 48, 3), "y/2.png": (41, 51, 3)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(path)
    return tmp_path / "photos"


def test_pairs_are_what_the_self_ensemble_makes_of_the_lr_images(photos, weights, tmp_path):
    assert distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,))) == 3
    ensemble, _, _ = keras_upscalers.open_upscaler(weights, ensemble=True)
    pairs = {name: (lr, hr) for name, lr, hr in folders.find_pairs(tmp_path / "pairs", 2)}
    assert sorted(pairs) == ["x_1", "y_1", "y_2"]
    for name, (lr, hr) in pairs.items():
        original = bicubic.modcrop(image_files.read(photos / f"{name.replace('_', '/')}.png"), 2)
        np.testing.assert_array_equal(lr, bicubic.downscale(original, 2))
        np.testing.assert_array_equal(hr, ensemble(lr))


def test_several_weights_give_the_mean_of_their_ensembles(photos, weights, untrained, tmp_path):
    both = (weights, untrained("b.h5", 2))
    distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), both))
    ensembles = [
        keras_upscalers.self_ensemble(keras_upscalers.float_from_model(checkpoint.load(path)[0])) for path in both
    ]
    for _, lr, hr in folders.find_pairs(tmp_path / "pairs", 2):
        first, second = (ensemble(lr) for ensemble in ensembles)
        np.testing.assert_allclose(hr, ((first + second) / 2).clip(0, 255), atol=0.51)


def test_a_killed_run_goes_on_where_it_was(photos, weights, tmp_path):
    config = distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,))
    distill.main(config)
    written = sorted((tmp_path / "pairs").rglob("*.png"))
    lost = tmp_path / "pairs" / "ensemble_HR" / "y_1.png"
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in written if "y_1" not in path.name}
    assert distill.main(config) == 3
    assert sorted((tmp_path / "pairs").rglob("*.png")) == written
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_a_folder_holds_the_ensembles_of_one_choice_of_weights(photos, weights, untrained, tmp_path):
    config = distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,))
    distill.main(config)
    other = untrained("b.h5", 2)
    with pytest.raises(ValueError, match=r"pairs was begun with other weights .*; name another folder"):
        distill.main(dataclasses.replace(config, weights=(other,)))
    (tmp_path / "pairs" / distill.NOTE).unlink()
    with pytest.raises(ValueError, match=r"pairs holds pairs, and no distilled\.json says by which weights"):
        distill.main(config)


def test_a_folder_is_one_runs(photos, weights, tmp_path):
    config = distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,))
    (tmp_path / "pairs").mkdir()
    taken = files.locked(tmp_path / "pairs" / distill.LOCK, "")
    with taken, pytest.raises(ValueError, match=r"another run is at work in .*pairs; wait for it"):
        distill.main(config)
    assert distill.main(config) == 3


def test_of_larger_images_the_middle_is_taken(save_noise, weights, tmp_path):
    """Where LR images are given, of those; elsewhere of the HR image, in whole LR pixels."""
    save_noise(tmp_path / "made/a.png", 45, 30)
    save_noise(tmp_path / "given/HR/b.png", 48, 40)
    save_noise(tmp_path / "given/LR_bicubic/X2/bx2.png", 24, 20)
    for name, original in (("made", "a.png"), ("given", "LR_bicubic/X2/bx2.png")):
        config = distill.DistillConfig(str(tmp_path / name), str(tmp_path / f"pairs-{name}"), (weights,), largest=16)
        assert distill.main(config) == 1
        ((_, lr, hr),) = folders.find_pairs(tmp_path / f"pairs-{name}", 2)
        pixels = image_files.read(tmp_path / name / original)
        # 45 rows: 32 of them from (45 - 32) // 2 on, and 30 columns: all; 24 and 20: 16 from 4 and from 2 on.
        expected = bicubic.downscale(pixels[6:38], 2) if name == "made" else pixels[4:20, 2:18]
        np.testing.assert_array_equal(lr, expected)
        assert hr.shape == (2 * lr.shape[0], 2 * lr.shape[1], 3)
    with pytest.raises(ValueError, match="--largest must be 1 or above, got 0"):
        distill.main(distill.DistillConfig("made", "pairs", (weights,), largest=0))


def test_weights_of_two_scales_are_refused(photos, weights, untrained, tmp_path):
    other = untrained("b.h5", 2, scale=3)
    with pytest.raises(ValueError, match=r"weights of one scale are needed, got x2, x3"):
        distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights, other)))
    assert not (tmp_path / "pairs").exists()


def test_pairs_among_the_images_are_refused(photos, weights):
    with pytest.raises(ValueError, match=r"pairs lies in .*photos, whose images are read; name a folder outside it"):
        distill.main(distill.DistillConfig(str(photos), str(photos / "pairs"), (weights,)))


def test_images_that_would_share_a_name_are_refused(photos, weights, tmp_path):
    (photos / "y_1.png").write_bytes((photos / "y" / "1.png").read_bytes())
    with pytest.raises(ValueError, match=r"y.1\.png and .*y_1\.png would both be y_1\.png; rename or remove one"):
        distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,)))
    assert not (tmp_path / "pairs").exists()


def test_what_div2k_keeps_for_validation_is_left_out(photos, weights, tmp_path):
    (photos / "x").rename(photos / "DIV2K_valid_HR")
    (photos / "y").rename(photos / "DIV2K_train_HR")
    assert distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,))) == 2
    assert [name for name, _, _ in folders.find_pairs(tmp_path / "pairs", 2)] == [
        "DIV2K_train_HR_1",
        "DIV2K_train_HR_2",
    ]


def test_training_takes_the_pairs(photos, weights, tmp_path):
    distill.main(distill.DistillConfig(str(photos), str(tmp_path / "pairs"), (weights,)))
    config = train.TrainConfig(
        data=str(tmp_path / "pairs"), valid=str(photos), scale=2, steps=1, batch=2, patch=16, loss="l2",
        workdir=str(tmp_path / "run"), variant="rfdn-mobile",
    )  # fmt: skip
    train.main(config)
    assert (tmp_path / "run" / "best.h5").exists()
