import numpy as np
from PIL import Image

from keras_rfdn.tflite.quantization import calibration


def pairs(*images):
    return [(str(i), image, None) for i, image in enumerate(images)]


def flat(level, height, width):
    return np.full((height, width, 3), level, np.uint8)


def test_mosaics_show_every_image_before_any_comes_again():
    images = [flat(10 * i, 200, 200) for i in range(1, 13)]
    first, second = calibration.mosaics(pairs(*images), 128, 384, count=2)
    assert first.shape == (128, 384, 3)
    assert first.dtype == np.uint8
    # 2 x 6 cells of 64x64: twelve images, each once (the corner's two pixels are black and white).
    for frame in (first, second):
        cells = frame.reshape(2, 64, 6, 64, 3)[:, 32, :, 32, 0]
        assert sorted(cells.ravel()) == [10 * i for i in range(1, 13)]


def test_mosaics_hold_black_and_white_whatever_the_images_are():
    (frame,) = calibration.mosaics(pairs(flat(77, 30, 30)), 32, 32, count=1)
    assert (frame.min(), frame.max()) == (0, 255)
    assert np.unique(frame[1:]).tolist() == [77]


def test_patches_are_of_the_image_and_small_images_are_mirrored(rng):
    image = rng.integers(0, 256, (20, 90, 3), np.uint8)
    (frame,) = calibration.mosaics(pairs(image), 64, 64, count=1)
    mirrored = np.concatenate([image, image[::-1]])
    column = next(x for x in range(90) if (image[1, x] == frame[1, 0]).all())
    assert (frame[1:40] == mirrored[1:40, column : column + 64]).all()


def test_patches_are_single_images_and_show_every_one_before_any_comes_again():
    images = [flat(10 * i, 70, 200) for i in range(1, 5)]
    first, second = (list(calibration.patches(pairs(*images), count=6, seed=seed)) for seed in (0, 1))
    assert {patch.shape for patch in first} == {(64, 64, 3)}
    levels = [patch.ravel()[0] for patch in first]
    assert all((patch == level).all() for patch, level in zip(first, levels, strict=True))
    assert sorted(levels[:4]) == [10, 20, 30, 40]
    assert levels != [patch.ravel()[0] for patch in second]


def test_images_are_spread_over_a_folder(tmp_path, monkeypatch):
    for i in range(10):
        Image.fromarray(flat(i, 8, 8)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(calibration, "IMAGES", 4)
    assert [name for name, *_ in calibration.source(str(tmp_path), 2)] == ["0", "3", "6", "9"]
    monkeypatch.setattr(calibration, "IMAGES", 64)
    assert len(calibration.source(str(tmp_path), 2)) == 10


def test_without_a_folder_the_sample_photographs_are_taken():
    assert "astronaut" in [name for name, *_ in calibration.source(None, 4)]
