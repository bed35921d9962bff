"""Input pipeline: from a source of image pairs to an endless `tf.data` stream of training batches.

    source ("div2k", "sample" or a folder) -> cache (memory or a file) -> random patches -> batches

Decoding and bicubic shrinking happen once, into the cache; a patch is then a copy of its own bytes only. The batch of
a step depends on (seed, step) and nothing else, so a stream can start at any step and is the same every time.
"""

import functools
import itertools
import json
import math
import os
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from keras_rfdn.data.images import patches
from keras_rfdn.data.sources import div2k, folders, sample
from keras_rfdn.data.sources.pair_source import Pair, PairSource
from keras_rfdn.data.system import files, memory
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track

CachedPairs = list[tuple[np.ndarray, np.ndarray]]  # (lr, hr), uint8

WORKERS = 8  # a batch is copied outside Python's lock, but for some 5 % of its time
MEMORY_SHARE = 0.9  # of what is free may be decoded images; training wants some, too


def sources(
    data: str, scale: int, *, valid: str | None = None, valid_images: int = 10, skip_broken: bool = False
) -> tuple[PairSource, PairSource]:
    """Image sources by name: (training source, validation source).

    data: "div2k", "sample" or a folder of images. valid: a folder to validate on; by default DIV2K's and sample's own
    validation images (DIV2K_valid_HR in a folder, too), and for other folders a tenth of the files, valid_images at
    most. What is validated on is not trained on, unless valid names the same files.
    """
    if valid is not None:
        valid_source = folders.find_pairs(valid, scale, skip_broken=skip_broken)
    if data == "sample":
        return sample.train(scale), valid_source if valid else sample.valid(scale)
    if data == "div2k":
        return div2k.load(scale, "train"), valid_source if valid else div2k.load(scale, "validation")
    if not pathlib.Path(data).is_dir():
        raise UserError(f"data must be div2k, sample or a folder of images, got {data}")
    train_source, published = folders.find_pairs(data, scale, skip_broken=skip_broken).split_published()
    if not len(train_source):  # DIV2K_valid_HR alone is a folder like any other
        train_source, published = published, train_source
    if valid is not None:
        return train_source, valid_source
    if len(published):
        return train_source, published
    if len(train_source) < 2:
        raise UserError(f"{data} holds a single image and validation needs one too; add images, or name a folder valid")
    return train_source.split(min(valid_images, max(1, len(train_source) // 10)))


def validation_images(source: PairSource, count: int) -> list[Pair]:
    """Validation images, the first `count` of a source. Raises UserError when there is none."""
    if count < 1:
        raise UserError(f"need 1 validation image or more, got {count}")
    images = list(itertools.islice(source, count))
    if not images:
        raise UserError("no validation image could be read; name a folder of readable images to validate on")
    return images


def cache(source: PairSource, where: str | os.PathLike = "memory", *, smallest: int = 1) -> CachedPairs:
    """Cache of decoded images: (lr, hr), uint8 [h, w, 3] and [scale*h, scale*w, 3], of a source that is read once.

    where: "memory", or a folder for a cache file that is mapped, not read, so it may be larger than memory; the next
    run with the same images finds it there. smallest: LR pixels, as for drop_small. Raises UserError as that does, and
    when memory will not hold all images.
    """
    return drop_small(_in_memory(source) if where == "memory" else _in_file(source, pathlib.Path(where)), smallest)


def drop_small(pairs: CachedPairs, smallest: int) -> CachedPairs:
    """Cached pairs without those that have an LR side below `smallest` pixels, which are counted in the log.

    Raises UserError when none is left.
    """
    large = [(lr, hr) for lr, hr in pairs if min(lr.shape[:2]) >= smallest]
    if len(large) < len(pairs):
        left_out = len(pairs) - len(large)
        logging.info("%d of %d images left out: an LR side is below %d pixels", left_out, len(pairs), smallest)
    if not large:
        raise UserError(f"no image has LR sides of {smallest} pixels or more; use smaller patches or larger images")
    return large


def _in_memory(source):
    """Every pair. Stops early when the mean size of those decoded so far says that all will not fit into memory."""
    available, pairs, total = memory.available(), [], 0
    for _, lr, hr in track(source, "decoding"):
        pairs.append((lr, hr))
        total += lr.nbytes + hr.nbytes
        # The mean of a few says little: sizes may differ much in a folder.
        needed = total * len(source) / len(pairs) if len(pairs) >= max(20, len(source) // 10) else total
        if available is not None and needed > MEMORY_SHARE * available:
            raise UserError(
                f"{len(source)} decoded images need some {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory "
                f"are free; give cache a folder to keep them in a file there instead, which is mapped and not read"
            )
    return pairs


def _in_file(source, folder):
    """One file of raw pixels and an index of offsets and shapes; the index comes last and makes the cache valid."""
    pixels, index_file = folder / f"{source.fingerprint()}.pixels", folder / f"{source.fingerprint()}.json"
    if not index_file.exists():
        index = []
        with files.atomic_write(pixels) as temporary, open(temporary, "wb") as out:
            for _, *pair in track(source, "decoding"):
                for image in pair:
                    index.append((out.tell(), image.shape))
                    out.write(np.ascontiguousarray(image))
        files.write_text(index_file, json.dumps(index))
    # As a plain array: a slice of np.memmap takes microseconds more.
    mapped = np.asarray(np.memmap(pixels, np.uint8, mode="r")) if pixels.stat().st_size else np.empty(0, np.uint8)
    arrays = [
        mapped[offset : offset + int(np.prod(shape))].reshape(shape)
        for offset, shape in json.loads(index_file.read_text())
    ]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def batch_at(
    step: int, pairs: CachedPairs, *, lr_patch: int, batch: int, seed: int, shard: int = 0, shards: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Training batch of one step: (lr uint8 [n, p, p, 3], hr uint8 [n, p*scale, p*scale, 3]), n = batch / shards.

    Every image comes once per epoch, in an order shuffled anew each epoch; place, flips and quarter turns are random.
    batch is that of all shards together: the shards' parts, one after another, are the batch of shards=1.
    """
    step, part = int(step), batch // shards
    rng = np.random.default_rng((seed, step))
    scale = pairs[0][1].shape[0] // pairs[0][0].shape[0]
    lr_batch, hr_batch = (_aligned((part, side, side, 3)) for side in (lr_patch, lr_patch * scale))
    places, orientations = rng.random((batch, 2)), rng.integers(0, 8, batch)  # of all shards: numbers cost nothing
    for i in range(part):
        member = shard * part + i
        epoch, position = divmod(step * batch + member, len(pairs))
        lr, hr = pairs[_epoch_order(len(pairs), seed, epoch)[position]]
        top, left = (int(u * (size - lr_patch + 1)) for u, size in zip(places[member], lr.shape[:2], strict=True))
        crops = patches.crop(lr, hr, top=top, left=left, lr_patch=lr_patch, scale=scale)
        for target, crop in zip((lr_batch[i], hr_batch[i]), crops, strict=True):
            patches.copy_oriented(target, crop, orientations[member])
    return lr_batch, hr_batch


def _aligned(shape):
    """Empty uint8 array that begins at a multiple of 64 bytes: TensorFlow takes such a one without copying it."""
    size = math.prod(shape)
    raw = np.empty(size + 63, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].reshape(shape)


@functools.lru_cache(maxsize=4)
def _epoch_order(count, seed, epoch):
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def stream(
    pairs: CachedPairs,
    *,
    lr_patch: int,
    batch: int,
    seed: int = 0,
    start: int = 0,
    shard: int = 0,
    shards: int = 1,
    workers: int | None = None,
) -> tf.data.Dataset:
    """Endless `tf.data.Dataset` of (lr, hr) batches, uint8, from the batch of step `start` on.

    pairs: from `cache`. lr_patch: LR pixels. batch: patches of all shards together. shard: 0..shards-1, which part of
    each batch to yield, for data-parallel training; the parts, one after another, are the batch of shards=1. workers:
    threads that make batches, by default one a core, WORKERS at most.
    Deterministic: the same arguments give the same batches, whatever the workers.
    Raises UserError when there is no image or one is smaller than a patch, when shards do not divide the batch, and
    for numbers that are not above 0.
    """
    for name, value in (("lr_patch", lr_patch), ("batch", batch), ("shards", shards)):
        if value < 1:
            raise UserError(f"{name} must be above 0, got {value}")
    if start < 0:
        raise UserError(f"start must be 0 or above, got {start}")
    if not pairs:
        raise UserError("no image to make batches of")
    if not 0 <= shard < shards:
        raise UserError(f"need a shard from 0 to {shards - 1}, below the number of shards, got {shard}")
    if batch % shards:
        raise UserError(f"a batch of {batch} does not divide into {shards} shards; make it a multiple of {shards}")
    small = [lr.shape for lr, _ in pairs if min(lr.shape[:2]) < lr_patch]
    if small:
        raise UserError(
            f"{len(small)} images are below {lr_patch} LR pixels, {small[0]} is one; cache with smallest={lr_patch}"
        )
    make = functools.partial(
        batch_at, pairs=pairs, lr_patch=lr_patch, batch=batch, seed=seed, shard=shard, shards=shards
    )
    scale = pairs[0][1].shape[0] // pairs[0][0].shape[0]

    def load(step):
        lr, hr = tf.numpy_function(make, [step], (tf.uint8, tf.uint8))
        lr.set_shape([batch // shards, lr_patch, lr_patch, 3])
        hr.set_shape([batch // shards, lr_patch * scale, lr_patch * scale, 3])
        return lr, hr

    steps = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    workers = workers or min(WORKERS, os.cpu_count() or 1)
    return steps.map(load, num_parallel_calls=workers, deterministic=True).prefetch(4)
