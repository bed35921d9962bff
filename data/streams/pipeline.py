"""From a source of image pairs to an endless `tf.data` stream of training batches.

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
import tqdm
from absl import logging

from keras_rfdn.data.images import patches
from keras_rfdn.data.sources import div2k, folders, sample
from keras_rfdn.data.system import files, memory
from keras_rfdn.data.system.errors import UserError

WORKERS = 8  # a batch is copied outside Python's lock, but for some 5 % of its time
MEMORY_SHARE = 0.9  # of what is free may be decoded images; training wants some, too


def sources(name, scale, *, data_dir=None, valid=None, valid_images=10, skip_broken=False):
    """(training source, validation source), sized iterables of (name, lr, hr).

    name: "div2k", "sample" or a folder of images. valid: a folder to validate on; by default DIV2K's and sample's own
    validation images (DIV2K_valid_HR in a folder, too), and for other folders a tenth of the files, valid_images at
    most. What is validated on is not trained on.
    """
    if valid is not None:
        valid_source = folders.find_pairs(valid, scale, skip_broken=skip_broken)
    if name == "sample":
        return sample.train(scale), valid_source if valid else sample.valid(scale)
    if name == "div2k":
        load = functools.partial(div2k.load, scale, data_dir=data_dir)
        return load(split="train"), valid_source if valid else load(split="validation")
    if not pathlib.Path(name).is_dir():
        raise UserError(f"--data {name} is neither div2k, nor sample, nor a folder")
    source, published = folders.find_pairs(name, scale, skip_broken=skip_broken).split_published()
    if valid is not None:
        return source, valid_source
    if len(source) and len(published):
        return source, published
    source = source if len(source) else published
    if len(source) < 2:
        raise UserError(f"{name} holds a single image and validation needs one too; add images or name --valid")
    return source.split(min(valid_images, max(1, len(source) // 10)))


def validation_images(source, count):
    """The first `count` images of a validation source: [(name, lr, hr)]. Raises UserError when there is none."""
    images = list(itertools.islice(source, count))
    if not images:
        raise UserError("no validation image could be read; name a folder of images with --valid")
    return images


def cache(source, where="memory", *, smallest=1):
    """Decode a source once. Returns a list of (lr, hr), uint8 [h, w, 3] and [scale*h, scale*w, 3].

    where: "memory", or a folder for a cache file that is mapped, not read, so it may be larger than memory; the next
    run with the same images finds it there. smallest: LR pixels, as for at_least. Raises UserError as that does, and
    when memory will not hold all images.
    """
    return drop_small(_in_memory(source) if where == "memory" else _in_file(source, pathlib.Path(where)), smallest)


def drop_small(pairs, smallest):
    """Those of a cache's pairs whose LR sides have `smallest` pixels or more; the others are counted in the log.

    Raises UserError when none is left.
    """
    kept = [(lr, hr) for lr, hr in pairs if min(lr.shape[:2]) >= smallest]
    if len(kept) < len(pairs):
        left_out = len(pairs) - len(kept)
        logging.info("%d of %d images left out: an LR side is below %d pixels", left_out, len(pairs), smallest)
    if not kept:
        raise UserError(f"no image has LR sides of {smallest} pixels or more; use a smaller --patch or larger images")
    return kept


def _in_memory(source):
    """Every pair; stops as soon as those decoded, by their mean, foretell more than the memory that was available."""
    available, pairs, total = memory.available(), [], 0
    for _, lr, hr in _progress(source):
        pairs.append((lr, hr))
        total += lr.nbytes + hr.nbytes
        # The mean of a few says little: sizes may differ much in a folder.
        needed = total * len(source) / len(pairs) if len(pairs) >= max(20, len(source) // 10) else total
        if available is not None and needed > MEMORY_SHARE * available:
            raise UserError(
                f"{len(source)} decoded images need some {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory "
                f"are free; say --cache FOLDER to keep them in a file there instead, which is mapped and not read"
            )
    return pairs


def _in_file(source, folder):
    """One file of raw pixels and an index of offsets and shapes; the index comes last and makes the cache valid."""
    pixels, index_file = folder / f"{source.fingerprint()}.pixels", folder / f"{source.fingerprint()}.json"
    if not index_file.exists():
        index = []
        with files.atomic_write(pixels) as partial, open(partial, "wb") as out:
            for _, *pair in _progress(source):
                for image in pair:
                    index.append((out.tell(), image.shape))
                    out.write(np.ascontiguousarray(image))
        with files.atomic_write(index_file) as partial:
            partial.write_text(json.dumps(index))
    # As a plain array: a slice of np.memmap takes microseconds more.
    mapped = np.asarray(np.memmap(pixels, np.uint8, mode="r")) if pixels.stat().st_size else np.empty(0, np.uint8)
    arrays = [
        mapped[offset : offset + int(np.prod(shape))].reshape(shape)
        for offset, shape in json.loads(index_file.read_text())
    ]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def _progress(source):
    return tqdm.tqdm(source, desc="decoding", unit=" images", total=len(source), disable=len(source) < 20 or None)


def batch_at(step, pairs, *, lr_patch, batch, seed, shard=0, shards=1):
    """The training batch of one step: (lr uint8 [n, p, p, 3], hr uint8 [n, p*scale, p*scale, 3]), n = batch / shards.

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


def stream(pairs, *, lr_patch, batch, seed=0, start=0, shard=0, shards=1, workers=None):
    """Endless `tf.data.Dataset` of (lr, hr) batches, uint8, from the batch of step `start` on.

    pairs: from `cache`. lr_patch: LR pixels. batch: patches of all shards together. shard: 0..shards-1, which part of
    each batch to yield, for data-parallel training; the parts, one after another, are the batch of shards=1. workers:
    threads that make batches, by default one a core, WORKERS at most.
    Deterministic: the same arguments give the same batches, whatever the workers.
    Raises UserError when shards do not divide the batch or an image is smaller than a patch.
    """
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
