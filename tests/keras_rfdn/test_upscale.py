import pathlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from keras_rfdn import upscale
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.upscaling import upscalers

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=4, scale=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(models.build(TINY), TINY, path)
    return str(path)


@pytest.fixture(scope="module")
def photograph():
    return sample.dead_leaves(64, seed=5)[:40, :50]


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return str(path)


def run(source, target, weights, **options):
    return upscale.main(upscale.UpscaleConfig(str(source), str(target), weights=weights, **options))


def test_main_writes_what_the_model_gives(photograph, weights, tmp_path):
    source = save(photograph, tmp_path / "in.png")
    assert run(source, tmp_path / "out.png", weights) == [tmp_path / "out.png"]
    sr = np.asarray(Image.open(tmp_path / "out.png"))
    assert (sr == upscalers.open_upscaler(weights)[0](photograph)).all()


def test_transparency_orientation_and_profile_are_kept(photograph, weights, tmp_path):
    alpha = np.zeros((40, 50, 1), np.uint8)
    alpha[10:] = 255
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    source = save(np.concatenate([photograph, alpha], 2), tmp_path / "in.png", exif=exif, icc_profile=profile)
    run(source, tmp_path / "out.png", weights)
    out = Image.open(tmp_path / "out.png")
    assert out.info["icc_profile"] == profile
    assert out.getexif().get(0x0112, 1) == 1
    upright = np.rot90(photograph, -1)
    sr = np.asarray(out)
    assert sr.shape == (100, 80, 4)
    assert (sr[..., :3] == upscalers.open_upscaler(weights)[0](upright)).all()
    assert (sr[..., 3:] == bicubic.upscale(np.rot90(alpha, -1), 2)).all()


def test_transparency_is_laid_on_white_where_the_format_has_none(photograph, weights, tmp_path):
    source = save(np.concatenate([photograph, np.zeros((40, 50, 1), np.uint8)], 2), tmp_path / "in.png")
    run(source, tmp_path / "out.jpg", weights)
    assert np.asarray(Image.open(tmp_path / "out.jpg")).min() == 255


def test_a_folder_goes_on_where_it_was_and_names_broken_files(photograph, weights, tmp_path, caplog):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deeper").mkdir(parents=True)
    save(photograph, source / "a.png")
    save(photograph, source / "deeper" / "b.webp", lossless=True)
    (source / "broken.png").write_bytes((source / "a.png").read_bytes()[:500])
    target.mkdir()
    save(photograph, target / "a.png")
    with pytest.raises(ValueError, match=r"1 of 2 not upscaled:\n.*broken\.png"):
        run(source, target, weights)
    assert Image.open(target / "a.png").size == (50, 40)  # was there before
    assert Image.open(target / "deeper" / "b.webp").size == (100, 80)
    assert sorted(p.name for p in target.rglob("*.*")) == ["a.png", "b.webp"]
    (source / "broken.png").unlink()
    run(source, target, weights, overwrite=True)
    assert Image.open(target / "a.png").size == (100, 80)


def test_nothing_is_lost(photograph, weights, tmp_path, monkeypatch):
    source = save(photograph, tmp_path / "in.png")
    with pytest.raises(ValueError, match="is there already"):
        run(source, source, weights)
    with pytest.raises(ValueError, match="lies in"):
        run(tmp_path, tmp_path / "out", weights)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        run(source, tmp_path / "out.gif", weights)
    with pytest.raises(ValueError, match="--tile must be above 48, got 48"):
        run(source, tmp_path / "out.png", weights, tile=48)
    with pytest.raises(ValueError, match="no image or folder"):
        run(tmp_path / "nothing.png", tmp_path / "out.png", weights)

    def full(self, file, *_, **__):
        pathlib.Path(file).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        run(source, tmp_path / "out.png", weights)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_an_error_of_ours_is_no_broken_image(photograph, weights, tmp_path, monkeypatch):
    """It keeps its traceback."""

    def wrong(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(upscale, "tiled", lambda *_: wrong)
    source = save(photograph, tmp_path / "in.png")
    with pytest.raises(ValueError, match=r"^a bug$"):
        run(source, tmp_path / "out.png", weights)
