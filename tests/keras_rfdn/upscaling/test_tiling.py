import numpy as np
import pytest

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import tiling, upscalers


def repeat(lr):
    return lr.repeat(3, axis=0).repeat(3, axis=1)


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


def test_tiled_network_is_near_the_whole_one(untrained):
    """Not equal: the attention sees a tile only."""
    model, _ = checkpoint.load(untrained("tiny.h5", 0, attention="cca"))
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    whole = upscalers.from_model(model)
    lr = sample.dead_leaves(160, seed=3)
    difference = tiling.tiled(whole, 96, 96)(lr).astype(int) - whole(lr)
    assert 0 < np.abs(difference).mean() < 0.1 * whole(lr).std()
