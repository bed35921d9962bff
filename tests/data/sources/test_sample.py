import socket

import numpy as np
import pytest

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise OSError("a test without network asked for it")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
def test_every_photograph_is_in_the_package():
    sizes = {
        "astronaut": (512, 512), "brick": (512, 512), "camera": (512, 512), "grass": (512, 512), "gravel": (512, 512),
        "hubble_deep_field": (872, 1000), "rocket": (427, 640), "chelsea": (300, 451), "coffee": (400, 600),
    }  # fmt: skip
    assert sizes.keys() == {*sample.TRAIN, *sample.VALID}
    for name, size in sizes.items():
        photograph = sample.photograph(name)
        assert (photograph.shape, photograph.dtype) == ((*size, 3), np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_is_bicubic(scale):
    ((name, lr, hr),) = sample.SamplePairs((), 1, scale)
    assert (name, hr.shape) == ("dead_leaves_0", (384, 384, 3))
    np.testing.assert_array_equal(lr, bicubic.downscale(hr, scale))


def test_training_and_validation_share_no_image():
    assert len(sample.train(4)) == len(sample.TRAIN) + sample.DEAD_LEAVES
    assert len(sample.valid(4)) == len(sample.VALID)
    assert not {*sample.TRAIN} & {*sample.VALID}


def test_dead_leaves_depend_on_the_seed_alone():
    leaves = sample.dead_leaves(64, seed=3)
    np.testing.assert_array_equal(leaves, sample.dead_leaves(64, seed=3))
    assert (leaves != sample.dead_leaves(64, seed=4)).mean() > 0.9


def test_dead_leaves_cover_the_ground_with_flat_discs():
    leaves = sample.dead_leaves(128, seed=0).astype(int)
    assert (leaves == 128).all(axis=2).mean() < 0.01  # the grey that it starts from
    flat = (np.diff(leaves, axis=0) == 0).all(axis=2).mean()
    assert 0.3 < flat < 0.99  # constant inside a disc, and edges between
