"""Losses on grey levels: each (sr, hr), both float32 [n, h, w, 3] in 0..255, to a scalar."""

import tensorflow as tf

CHARBONNIER_EPSILON = 0.255  # grey levels: the 1e-3 of LapSRN (arXiv 1710.01992), whose images are in 0..1


def l1(sr, hr):
    """Mean absolute difference, in grey levels."""
    return tf.reduce_mean(tf.abs(sr - hr))


def l2(sr, hr):
    """Mean squared difference, in squared grey levels."""
    return tf.reduce_mean(tf.square(sr - hr))


def charbonnier(sr, hr):
    """Mean of sqrt(difference^2 + epsilon^2), in grey levels: L1, but smooth at 0."""
    return tf.reduce_mean(tf.sqrt(tf.square(sr - hr) + CHARBONNIER_EPSILON**2))


LOSSES = {"l1": l1, "l2": l2, "charbonnier": charbonnier}
