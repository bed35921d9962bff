import dataclasses

import numpy as np
import pytest

from benchmarks import input_pipeline

SCALE = 4
CONFIG = input_pipeline.InputPipelineConfig(scale=SCALE, patch=16, batch=4, rounds=1, seconds=0.05, images=2)


@pytest.fixture(scope="module")
def coordinates():
    """A pair whose pixels hold (row / 2, column / 3, 7), in LR pixels in both images: no patch is like another."""
    y, x = np.mgrid[:120, :180].astype(np.uint8)
    lr = np.dstack([y // 2, x // 3, np.full_like(y, 7)])
    return [(lr, lr.repeat(SCALE, axis=0).repeat(SCALE, axis=1))]


@pytest.fixture(scope="module")
def methods(coordinates, tmp_path_factory):
    return input_pipeline._methods(coordinates, CONFIG, tmp_path_factory.mktemp("files"))


def test_every_method_makes_pairs_of_the_same_place(methods):
    assert len(methods) == 8
    for name, method in methods.items():
        if name != "bytes copied":
            lr, hr = (np.asarray(side) for side in method.draw())
            assert lr.shape == (method.patches, 16, 16, 3), name
            np.testing.assert_array_equal(hr, lr.repeat(SCALE, axis=1).repeat(SCALE, axis=2), err_msg=name)


def test_sub_images_overlap_by_half(coordinates):
    subs = list(input_pipeline._sub_images(coordinates, SCALE))  # of 480x720 HR pixels
    assert [(lr.shape, hr.shape) for lr, hr in subs] == [((120, 120, 3), (480, 480, 3))] * 2
    np.testing.assert_array_equal(subs[0][1][:, 240:], subs[1][1][:, :240])


def test_the_command(tmp_path, capsys):
    result = input_pipeline.main(dataclasses.replace(CONFIG, json=str(tmp_path / "b.json")))
    assert (tmp_path / "b.json").exists()
    table = capsys.readouterr().out
    for name, found in result.items():
        assert found.per_core_second > 0
        assert name in table
    assert result["ours, memory"].cached_bytes > result["ours, file"].cached_bytes == 0


def test_a_patch_larger_than_a_sub_image_is_refused():
    with pytest.raises(ValueError, match="--patch may be 120 at most"):
        input_pipeline.main(input_pipeline.InputPipelineConfig(patch=121))
    with pytest.raises(ValueError, match="--rounds must be 1 or above"):
        input_pipeline.main(input_pipeline.InputPipelineConfig(rounds=0))
