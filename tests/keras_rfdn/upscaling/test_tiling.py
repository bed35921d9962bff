import numpy as np
import pytest

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import keras_upscalers, tiling


def repeat(lr):
    return lr.repeat(3, axis=0).repeat(3, axis=1)


def blur(lr):
    """A local upscaler: mean of 5x5, then repeated; looks 2 pixels far."""
    padded = np.pad(lr, [(2, 2), (2, 2), (0, 0)], "reflect").astype(int)
    h, w = lr.shape[:2]
    total = sum(padded[y : y + h, x : x + w] for y in range(5) for x in range(5))
    return repeat((total // 25).astype(np.uint8))


class Spy:
    """An upscaler that keeps the sizes of what it is given."""

    def __init__(self, upscale):
        self.upscale, self.sizes = upscale, []

    def __call__(self, lr):
        self.sizes.append(lr.shape[:2])
        return self.upscale(lr)


@pytest.mark.parametrize("tile", [(10, 10), (17, 33), (64, 9)])
@pytest.mark.parametrize("size", [(40, 50), (10, 50), (41, 7), (5, 3), (1, 1)])
def test_tiles_of_a_fixed_size_equal_the_whole_for_a_local_upscaler(tile, size):
    lr, spy = sample.dead_leaves(64, seed=2)[: size[0], : size[1]], Spy(blur)
    assert (tiling.tiled(spy, 3, tile, overlap=2)(lr) == blur(lr)).all()
    assert set(spy.sizes) == {tile}


@pytest.mark.parametrize("size", [(40, 50), (10, 200), (200, 9), (5, 2), (97, 101)])
def test_tiles_of_a_free_size_equal_the_whole_for_a_local_upscaler(rng, size):
    lr, spy = rng.integers(0, 256, (*size, 3), np.uint8), Spy(blur)
    assert (tiling.tiled(spy, 3, smallest=4, area=300, overlap=2)(lr) == blur(lr)).all()
    (tile,) = set(spy.sizes)
    assert tile[0] * tile[1] <= 300
    assert min(tile) >= 4


@pytest.mark.parametrize(
    ("size", "tile", "count"),
    [
        ((180, 320), (180, 320), 1),
        ((512, 768), (272, 278), 6),  # 2 rows: (512 + 32) / 2; 3 columns: (768 + 64) / 3
        ((15, 10_000), (15, 5016), 2),
        ((3, 2), (15, 15), 1),
    ],
)
def test_a_free_size_covers_an_image_with_few_pixels(size, tile, count):
    spy = Spy(repeat)
    sr = tiling.tiled(spy, 3)(np.zeros((*size, 3), np.uint8))
    assert sr.shape == (3 * size[0], 3 * size[1], 3)
    assert spy.sizes == [tile] * count


def test_parts_come_row_by_row_and_cover_the_image_once():
    lr = sample.dead_leaves(64, seed=2)[:40, :50]
    parts = list(tiling.parts(repeat, lr, 3, (16, 16), overlap=2))
    covered = np.zeros((120, 150), int)
    for top, left, part in parts:
        covered[top : top + part.shape[0], left : left + part.shape[1]] += 1
    assert (covered == 1).all()
    assert [part[:2] for part in parts] == sorted(part[:2] for part in parts)


def test_tiles_with_too_little_overlap_show():
    lr = sample.dead_leaves(64, seed=2)[:40, :50]
    assert (tiling.tiled(blur, 3, (10, 10), overlap=1)(lr) != blur(lr)).any()


def test_tiled_network_is_near_the_whole_one(untrained):
    """Not equal: the attention sees a tile only."""
    model, _ = checkpoint.load(untrained("tiny.h5", 0, attention="cca"))
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    whole = keras_upscalers.from_model(model)
    lr = sample.dead_leaves(160, seed=3)
    difference = tiling.tiled(whole, 2, (96, 96))(lr).astype(int) - whole(lr)
    assert 0 < np.abs(difference).mean() < 0.1 * whole(lr).std()
