import os

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders
from keras_rfdn.data.streams import pipeline


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def image(rng):
    return lambda h=16, w=24: rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def test_hr_only_gets_bicubic_lr(tmp_path, image):
    hr = save(tmp_path / "deep/a.png", image(17, 26))
    ((name, lr, cropped),) = folders.find_pairs(tmp_path, 4)
    assert name == "a"
    np.testing.assert_array_equal(cropped, hr[:16, :24])
    np.testing.assert_array_equal(lr, bicubic.downscale(hr[:16, :24], 4))


@pytest.mark.parametrize("layout", ["HR/{}.png LR_bicubic/X4/{}x4.png", "D_HR/{}.png D_LR_bicubic/X4/{}x4.png"])
@pytest.mark.parametrize("stem", ["0001", "a[1]"])
def test_lr_images_given_are_taken(tmp_path, image, layout, stem):
    hr_path, lr_path = layout.format(stem, stem).split()
    hr, lr = save(tmp_path / hr_path, image()), save(tmp_path / lr_path, image(4, 6))
    save(tmp_path / "other.png", image())  # beside the HR folder: none of the set
    (pair,) = folders.find_pairs(tmp_path, 4)
    assert pair[0] == stem
    np.testing.assert_array_equal(pair[1], lr)
    np.testing.assert_array_equal(pair[2], hr)


def test_lr_images_of_another_scale_are_not(tmp_path, image):
    hr = save(tmp_path / "HR/a.png", image())
    save(tmp_path / "LR_bicubic/X4/ax4.png", image(4, 6))
    ((_, lr, _),) = folders.find_pairs(tmp_path, 2)
    np.testing.assert_array_equal(lr, bicubic.downscale(hr, 2))


def test_names_are_unique(tmp_path, image):
    def names():
        return [name for name, _, _ in folders.find_pairs(tmp_path, 2)]

    save(tmp_path / "x/a.png", image())
    save(tmp_path / "x/deep/b.png", image())
    assert names() == ["a", "b"]
    save(tmp_path / "x/deep/A.png", image())  # one file name on other systems
    assert names() == ["a", "deep/A", "deep/b"]
    save(tmp_path / "x/a.bmp", image())
    assert names() == ["a.bmp", "a.png", "deep/A.png", "deep/b.png"]


def test_names_of_several_lr_images_are_theirs(tmp_path, image):
    save(tmp_path / "D_HR/0001.png", image())
    save(tmp_path / "D_LR_wild/0001x4w1.png", image(4, 6))
    save(tmp_path / "D_LR_wild/0001x4w2.png", image(4, 6))
    pairs = list(folders.find_pairs(tmp_path, 4))
    assert [name for name, _, _ in pairs] == ["0001x4w1", "0001x4w2"]
    assert not np.array_equal(pairs[0][1], pairs[1][1])


def test_what_is_not_obvious_is_logged(tmp_path, image, caplog):
    save(tmp_path / "HR/a.png", image())
    save(tmp_path / "cover.png", image())
    folders.find_pairs(tmp_path, 4)
    assert "nothing is read from" in caplog.text


def test_every_hr_folder_counts(tmp_path, image):
    save(tmp_path / "D_valid_HR/b.png", image())
    save(tmp_path / "D_train_HR/a.jpg", image())
    assert [name for name, _, _ in folders.find_pairs(tmp_path, 2)] == ["a", "b"]


def test_missing_lr_image_is_named(tmp_path, image):
    for name in "ab":
        save(tmp_path / f"HR/{name}.png", image())
    save(tmp_path / "LR_bicubic/X4/bx4.png", image(4, 6))
    with pytest.raises(ValueError, match=r"a\.png has no LR image ax4\.\*"):
        folders.find_pairs(tmp_path, 4)


def test_lr_image_of_the_wrong_size_is_named(tmp_path, image):
    save(tmp_path / "HR/a.png", image())
    save(tmp_path / "LR_bicubic/X4/ax4.png", image(8, 12))
    with pytest.raises(ValueError, match=r"ax4\.png is 8x12, but x4 of a\.png needs 4x6"):
        list(folders.find_pairs(tmp_path, 4))


def test_broken_file_is_refused_or_skipped(tmp_path, image, caplog):
    for name in "abc":
        save(tmp_path / f"{name}.png", image())
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"b\.png is not a readable image"):
        list(folders.find_pairs(tmp_path, 4))
    assert [name for name, _, _ in folders.find_pairs(tmp_path, 4, skip_broken=True)] == ["a", "c"]
    assert "b.png is not a readable image" in caplog.text


def test_image_smaller_than_a_pixel_of_lr_is_refused(tmp_path, image):
    save(tmp_path / "a.png", image(3, 9))
    with pytest.raises(ValueError, match=r"a\.png is smaller than 4 pixels"):
        list(folders.find_pairs(tmp_path, 4))


def test_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match="no image in"):
        folders.find_pairs(tmp_path, 4)
    with pytest.raises(ValueError, match="is not a folder"):
        folders.find_pairs(tmp_path / "absent", 4)


def test_threads_keep_the_order(tmp_path):
    count = 5 * (os.cpu_count() or 1) + 3  # more than the window of files that wait
    for i in range(count):
        save(tmp_path / f"{i:03d}.png", np.full((4, 4, 3), i, np.uint8))
    pairs = folders.find_pairs(tmp_path, 2)
    assert len(pairs) == count
    assert [int(hr[0, 0, 0]) for _, _, hr in pairs] == list(range(count))


@pytest.mark.parametrize(
    ("count", "held_out", "held"),
    [
        (6, 2, [2, 5]),
        (100, 3, [32, 65, 98]),
        (2, 1, [1]),
        (3, 3, [1]),
        (7, 10, [1, 3, 5]),
        (25, 10, [*range(1, 20, 2)]),
    ],
)
def test_split_holds_out_every_kth_file(count, held_out, held):
    pairs = folders.FolderPairs(tuple((i, None) for i in range(count)), 4)
    train, valid = pairs.split(held_out)
    assert [i for i, _ in valid.files] == held
    assert [i for i, _ in train.files] == [i for i in range(count) if i not in held]


def test_fingerprint_follows_files_and_scale(tmp_path, image):
    save(tmp_path / "a.png", image())
    before = folders.find_pairs(tmp_path, 4).fingerprint()
    assert folders.find_pairs(tmp_path, 4).fingerprint() == before
    assert folders.find_pairs(tmp_path, 2).fingerprint() != before
    save(tmp_path / "a.png", image(20, 20))
    assert folders.find_pairs(tmp_path, 4).fingerprint() != before


def test_published_split_is_by_folder(tmp_path, rng):
    for folder, count in (("DIV2K_train_HR", 3), ("DIV2K_valid_HR", 2)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / folder / f"{i}.png")
    train, valid = folders.find_pairs(tmp_path, 2).split_published()
    assert [path.parent.name for path, _ in train.files] == ["DIV2K_train_HR"] * 3
    assert [path.parent.name for path, _ in valid.files] == ["DIV2K_valid_HR"] * 2
    assert [len(source) for source in pipeline.sources(str(tmp_path), 2)] == [3, 2]
    # Alone it is a folder like any other: one of its two images is held out.
    assert [len(source) for source in pipeline.sources(str(tmp_path / "DIV2K_valid_HR"), 2)] == [1, 1]
