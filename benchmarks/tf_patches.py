"""Random patches by TensorFlow's operations on complete cached images, which input_pipeline.py compares ours with."""

import functools

import tensorflow as tf


def batches(pairs, config):
    """draw() of a batch by TensorFlow's operations on complete cached images, in as many threads as tf.data likes."""
    image = tf.TensorSpec((None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: pairs, output_signature=(image, image)).cache().repeat()
    for step in (functools.partial(_crop, config=config), _flip, _turn):
        dataset = dataset.map(step, num_parallel_calls=tf.data.AUTOTUNE)
    return functools.partial(next, iter(dataset.batch(config.batch).prefetch(tf.data.AUTOTUNE)))


def _crop(lr, hr, config):
    size = tf.shape(lr)
    y, x = (tf.random.uniform((), maxval=size[axis] - config.patch + 1, dtype=tf.int32) for axis in (0, 1))
    p, s = config.patch, config.scale
    return lr[y : y + p, x : x + p], hr[y * s : (y + p) * s, x * s : (x + p) * s]


def _flip(lr, hr):
    flip = tf.random.uniform(()) < 0.5
    return tf.cond(flip, lambda: (lr, hr), lambda: (tf.image.flip_left_right(lr), tf.image.flip_left_right(hr)))


def _turn(lr, hr):
    turns = tf.random.uniform((), maxval=4, dtype=tf.int32)
    return tf.image.rot90(lr, turns), tf.image.rot90(hr, turns)
