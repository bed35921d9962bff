import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system import memory

SCALE = 2


class Source:
    """Noise images of the given HR sizes, as a source of pairs that counts how often it is read."""

    def __init__(self, sizes, fails_at=None):
        self.sizes, self.fails_at, self.reads = sizes, fails_at, 0

    def __len__(self):
        return len(self.sizes)

    def __iter__(self):
        self.reads += 1
        rng = np.random.default_rng(1)
        for i, size in enumerate(self.sizes):
            if i == self.fails_at:
                raise ValueError("image 1 is broken")
            hr = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            yield f"{i}", bicubic.downscale(hr, SCALE), hr

    def fingerprint(self):
        return "noise"


def coordinates(count, height=20, width=30):
    """Pairs whose pixels hold (row, column, number of the image), in LR pixels in both images."""
    pairs = []
    for i in range(count):
        y, x = np.mgrid[:height, :width].astype(np.uint8)
        lr = np.dstack([y, x, np.full_like(y, i)])
        pairs.append((lr, lr.repeat(SCALE, axis=0).repeat(SCALE, axis=1)))
    return pairs


def batches(pairs, count, **arguments):
    stream = pipeline.stream(pairs, **{"lr_patch": 8, "batch": 4, "seed": 0} | arguments)
    return [(lr.numpy(), hr.numpy()) for lr, hr in itertools.islice(stream, count)]


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(itertools.chain(*a), itertools.chain(*b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_patches_show_the_same_place():
    for lr, hr in batches(coordinates(5), 20):
        np.testing.assert_array_equal(hr, lr.repeat(SCALE, axis=1).repeat(SCALE, axis=2))


def test_lr_patch_is_bicubic_of_its_hr_patch():
    pairs = pipeline.cache(sample.SamplePairs((), 1, 4))
    for lr, hr in batches(pairs, 3, lr_patch=16):
        for lr_patch, hr_patch in zip(lr, hr, strict=True):
            # Two LR pixels at the border know more of the image than the patch does; and bicubic rounds between its
            # passes, rows first, so a patch that was transposed fits the transposed way.
            ways = bicubic.downscale(hr_patch, 4), bicubic.downscale(hr_patch.swapaxes(0, 1), 4).swapaxes(0, 1)
            assert any((lr_patch[2:-2, 2:-2] == way[2:-2, 2:-2]).all() for way in ways)


def test_the_seed_decides():
    pairs = coordinates(20)
    assert_same(batches(pairs, 6), batches(pairs, 6))
    ((lr, _),), ((other, _),) = batches(pairs, 1, batch=20), batches(pairs, 1, batch=20, seed=1)
    assert (lr[:, 0, 0, 2] != other[:, 0, 0, 2]).any()  # the order of images
    ((lr, _),), ((other, _),) = batches(pairs[:1], 1), batches(pairs[:1], 1, seed=1)
    assert (lr != other).any()  # place and orientation


def test_start_skips():
    pairs = coordinates(5)
    assert_same(batches(pairs, 3, start=4), batches(pairs, 7)[4:])


@pytest.mark.parametrize("batch", [2, 4, 9])
def test_every_image_once_per_epoch(batch):
    order = np.concatenate([lr[:, 0, 0, 2] for lr, _ in batches(coordinates(6), 9, batch=batch)])
    epochs = order[: len(order) // 6 * 6].reshape(-1, 6)
    assert (np.sort(epochs) == np.arange(6)).all()
    assert len({epoch.tobytes() for epoch in epochs}) > 1


def test_all_places_and_all_eight_orientations_occur():
    ((lr, hr),) = coordinates(1, height=9, width=10)
    seen = np.concatenate([lr for lr, _ in batches([(lr, hr)], 40)])
    # The least row and column in a patch are its place, whichever way it was turned.
    places = {(int(p[..., 0].min()), int(p[..., 1].min())) for p in seen}
    assert places == {*itertools.product(range(2), range(3))}
    assert len({(p - p.min(axis=(0, 1))).tobytes() for p in seen}) == 8


def test_stream_has_static_uint8_shapes():
    lr, hr = pipeline.stream(coordinates(1), lr_patch=8, batch=4).element_spec
    assert lr == tf.TensorSpec((4, 8, 8, 3), tf.uint8)
    assert hr == tf.TensorSpec((4, 16, 16, 3), tf.uint8)


@pytest.mark.parametrize("shards", [2, 3, 6])
def test_shards_are_the_parts_of_the_batch(shards):
    pairs = coordinates(5)  # fewer than a batch: a step lies in two epochs
    parts = [batches(pairs, 4, batch=6, start=3, shard=i, shards=shards) for i in range(shards)]
    joined = [tuple(map(np.concatenate, zip(*step, strict=True))) for step in zip(*parts, strict=True)]
    assert_same(joined, batches(pairs, 4, batch=6, start=3))


def test_a_shard_reads_its_own_images_only():
    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    whole, part = Counted(coordinates(5)), Counted(coordinates(5))
    pipeline.batch_at(3, whole, lr_patch=8, batch=60, seed=0)
    lr, _ = pipeline.batch_at(3, part, lr_patch=8, batch=60, seed=0, shard=2, shards=6)
    assert len(lr) == 10
    assert whole.reads - part.reads == 50


def test_batches_begin_where_tensorflow_need_not_copy_them():
    for step in range(20):
        for images in pipeline.batch_at(step, coordinates(1), lr_patch=7, batch=3, seed=0):
            assert images.ctypes.data % 64 == 0
            assert images.flags.c_contiguous


def test_stream_of_a_shard_has_its_static_shape():
    lr, _ = pipeline.stream(coordinates(1), lr_patch=8, batch=6, shards=3).element_spec
    assert lr == tf.TensorSpec((2, 8, 8, 3), tf.uint8)


def test_stream_refuses_shards_that_do_not_fit():
    with pytest.raises(ValueError, match="a batch of 4 does not divide into 3 shards"):
        pipeline.stream(coordinates(1), lr_patch=8, batch=4, shards=3)
    for shard in (-1, 2):
        with pytest.raises(ValueError, match=f"a shard from 0 to 1, .* got {shard}"):
            pipeline.stream(coordinates(1), lr_patch=8, batch=4, shard=shard, shards=2)


def test_stream_refuses_small_images():
    with pytest.raises(ValueError, match="2 images are below 21 LR pixels"):
        pipeline.stream(coordinates(2), lr_patch=21, batch=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch": 0}, "batch must be above 0, got 0"),
        ({"batch": -4}, "batch must be above 0, got -4"),
        ({"lr_patch": 0}, "lr_patch must be above 0, got 0"),
        ({"shards": 0}, "shards must be above 0, got 0"),
        ({"start": -1}, "start must be 0 or above, got -1"),
    ],
)
def test_stream_refuses_counts_that_are_none(arguments, match):
    with pytest.raises(ValueError, match=match):
        pipeline.stream(coordinates(1), **{"lr_patch": 8, "batch": 4} | arguments)


def test_stream_of_no_image():
    with pytest.raises(ValueError, match="no image to make batches of"):
        pipeline.stream([], lr_patch=8, batch=4)


@pytest.mark.parametrize("count", [0, -1])
def test_validation_needs_an_image(count):
    with pytest.raises(ValueError, match=f"need 1 validation image or more, got {count}"):
        pipeline.validation_images(Source([(8, 8)]), count)
    assert len(pipeline.validation_images(Source([(8, 8)] * 3), 2)) == 2


def test_file_cache_equals_memory_and_is_reused(tmp_path):
    source = Source([(20, 24), (32, 20), (16, 16)])
    memory, file = pipeline.cache(source), pipeline.cache(source, tmp_path / "cache")
    assert_same(memory, file)
    assert_same(batches(memory, 4), batches(file, 4))
    assert source.reads == 2
    assert_same(memory, pipeline.cache(source, tmp_path / "cache"))
    assert source.reads == 2
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["noise.json", "noise.pixels"]


def test_half_written_cache_is_not_used(tmp_path):
    sizes = [(20, 24), (32, 20)]
    with pytest.raises(ValueError, match="image 1 is broken"):
        pipeline.cache(Source(sizes, fails_at=1), tmp_path)
    assert not [*tmp_path.iterdir()]
    (tmp_path / "noise.pixels").write_bytes(b"killed before the index was written")
    assert_same(pipeline.cache(Source(sizes), tmp_path), pipeline.cache(Source(sizes)))


@pytest.mark.parametrize("where", ["memory", "file"])
def test_small_images_are_left_out(tmp_path, where):
    where = tmp_path if where == "file" else where
    source = Source([(20, 40), (30, 22), (24, 24)])
    assert [lr.shape[:2] for lr, _ in pipeline.cache(source, where, smallest=11)] == [(15, 11), (12, 12)]
    with pytest.raises(ValueError, match="LR sides of 13 pixels"):
        pipeline.cache(source, where, smallest=13)
    with pytest.raises(ValueError, match="no image has LR sides"):
        pipeline.cache(Source([]), tmp_path / "of none" if where == tmp_path else where)


def test_memory_that_will_not_hold_the_images_is_refused_early(monkeypatch, tmp_path):
    count, pair_bytes = 100, (16 * 16 + 8 * 8) * 3
    monkeypatch.setattr(memory, "available", lambda: int(count * pair_bytes / pipeline.MEMORY_SHARE) + 1)
    source = Source([(16, 16)] * count, fails_at=21)
    with pytest.raises(ValueError, match="image 1 is broken"):  # they fit: decoding went on
        pipeline.cache(source)
    monkeypatch.setattr(memory, "available", lambda: int(0.99 * count * pair_bytes / pipeline.MEMORY_SHARE))
    with pytest.raises(ValueError, match=r"100 decoded images need some .* GB .* give cache a folder"):
        pipeline.cache(source)
    assert len(pipeline.cache(Source([(16, 16)] * count), tmp_path)) == count
    monkeypatch.setattr(memory, "available", lambda: None)
    assert len(pipeline.cache(Source([(16, 16)] * count))) == count


def test_a_few_large_images_foretell_nothing(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 120_000)  # by the first image, 1.5 MB would be needed
    assert len(pipeline.cache(Source([(64, 64)] + [(8, 8)] * 99))) == 100


def test_workers_change_nothing():
    pairs = coordinates(5)
    assert_same(batches(pairs, 12, workers=1), batches(pairs, 12, workers=3))


def test_sources_of_a_folder(tmp_path):
    for i in range(20):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i:02d}.png")
    train, valid = pipeline.sources(str(tmp_path), 4)
    assert [name for name, _, _ in valid] == ["09", "19"]  # a tenth
    assert (len(train), {*train.files} & {*valid.files}) == (18, set())
    train, valid = pipeline.sources(str(tmp_path), 4, valid=str(tmp_path))
    assert (len(train), len(valid)) == (20, 20)
    train, valid = pipeline.sources("sample", 4, valid=str(tmp_path))
    assert (len(train), len(valid)) == (31, 20)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="data must be div2k, sample or a folder of images, got set5"):
        pipeline.sources("set5", 4)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a single image"):
        pipeline.sources(str(tmp_path), 4)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="valid_count must be 1 or above, got 0"):
        pipeline.sources(str(tmp_path), 4, valid_images=0)
