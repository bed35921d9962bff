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
from keras_rfdn.upscaling import tiling, upscalers

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=4, scale=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(models.build(TINY), TINY, path)
    return str(path)


@pytest.fixture(scope="module")
def photograph():
    return sample.dead_leaves(64, seed=5)[:40, :50]


def repeat(lr):
    return lr.repeat(3, axis=0).repeat(3, axis=1)


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (14, 15), (15, 15), (31, 17)])
def test_from_model_takes_any_size(weights, size):
    model, _ = checkpoint.load(weights)
    lr = sample.dead_leaves(48, seed=1)[: size[0], : size[1]]
    sr = upscalers.from_model(model)(lr)
    assert sr.dtype == np.uint8
    assert sr.shape == (2 * size[0], 2 * size[1], 3)
    padded = np.pad(lr, [(0, max(0, 15 - s)) for s in size] + [(0, 0)], "reflect")
    exact = model(padded[None].astype(np.float32))[0].numpy()[: 2 * size[0], : 2 * size[1]]
    assert np.abs(exact.clip(0, 255) - sr).max() <= 0.51


def blur(lr):
    """A local upscaler: mean of 5x5, then repeated; looks 2 pixels far."""
    padded = np.pad(lr, [(2, 2), (2, 2), (0, 0)], "reflect").astype(int)
    h, w = lr.shape[:2]
    total = sum(padded[y : y + h, x : x + w] for y in range(5) for x in range(5))
    return repeat((total // 25).astype(np.uint8))


@pytest.mark.parametrize(("height", "width"), [(10, 10), (17, 33), (64, 9)])
@pytest.mark.parametrize("size", [(40, 50), (10, 50), (41, 9), (5, 3)])
def test_tiles_equal_the_whole_for_a_local_upscaler(height, width, size):
    sizes = []

    def spy(tile):
        sizes.append(tile.shape[:2])
        return blur(tile)

    lr = sample.dead_leaves(64, seed=2)[: size[0], : size[1]]
    assert (tiling.tiled(spy, height, width, overlap=2)(lr) == blur(lr)).all()
    assert max(h for h, _ in sizes) <= height
    assert max(w for _, w in sizes) <= width


def test_tiles_with_too_little_overlap_show():
    lr = sample.dead_leaves(64, seed=2)[:40, :50]
    assert (tiling.tiled(blur, 10, 10, overlap=1)(lr) != blur(lr)).any()


def test_tiles_without_an_inside_are_refused():
    with pytest.raises(ValueError, match="no inside"):
        tiling.tiled(blur, 48, 100, overlap=24)


def test_tiled_network_is_near_the_whole_one(weights):
    """Not equal: the attention sees a tile only."""
    model, _ = checkpoint.load(weights)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    whole = upscalers.from_model(model)
    lr = sample.dead_leaves(160, seed=3)
    difference = tiling.tiled(whole, 96, 96)(lr).astype(int) - whole(lr)
    assert 0 < np.abs(difference).mean() < 0.1 * whole(lr).std()


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
    with pytest.raises(ValueError, match="no image or folder"):
        run(tmp_path / "nothing.png", tmp_path / "out.png", weights)

    def full(self, file, *_, **__):
        pathlib.Path(file).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        run(source, tmp_path / "out.png", weights)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]
