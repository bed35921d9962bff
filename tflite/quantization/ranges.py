"""What a network's tensors take on and what depends on them, seen on a few frames, and the ranges made of it."""

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.tflite.quantization import fakequant, graph

# Below and above, the nearest of a sigmoid's 256 levels no longer changes: exp(-6.24) is half a level.
SATURATED = 6.24


@dataclasses.dataclass(frozen=True)
class Seen:
    """A tensor on frames; float32 [channels] each.

    low, high: extremes. power: mean square. gain: mean square of the change of the network's output (grey levels) over
    the mean square of a change of the channel, were that change noise without any pattern.
    """

    low: np.ndarray
    high: np.ndarray
    power: np.ndarray
    gain: np.ndarray

    @classmethod
    def total(cls, parts):
        """Of several frames' Seen, which weigh alike."""
        low, high, power, gain = (
            np.stack([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(cls)
        )
        return cls(low.min(axis=0), high.max(axis=0), power.mean(axis=0), gain.mean(axis=0))


def observe(model, frames, *, seed=0):
    """{tensor: Seen} of a model without Rescaling layers on frames, uint8 RGB [h, w, 3] each, in float."""
    watch = _watcher(model)
    parts = [watch(frame, [seed, i]) for i, frame in enumerate(frames)]
    return {name: Seen.total([Seen(*(x.numpy() for x in part[name])) for part in parts]) for name in parts[0]}


def _watcher(model):
    """function: frame, seed -> {tensor: the fields of Seen}.

    A gain is the sum of squares of the output's derivatives, which one backward pass from random signs gives in the
    mean (Hutchinson's estimate of a trace).
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)], autograph=False
    )
    def watch(frame, seed):
        tensors = {}

        def look(name, x):
            tensors[name] = tf.identity(x)
            tape.watch(tensors[name])
            return tensors[name]

        with tf.GradientTape() as tape:
            sr = fakequant.forward(model, tf.cast(frame, tf.float32)[None], look, fakequant.plain)
            signs = tf.sign(tf.random.stateless_uniform(tf.shape(sr), seed, -1, 1))
            probed = tf.reduce_sum(signs * sr)
        pixels = tf.cast(tf.size(sr), tf.float32)
        return {
            name: (
                *(reduce(x, [0, 1, 2]) for reduce in (tf.reduce_min, tf.reduce_max)),
                tf.reduce_mean(x**2, [0, 1, 2]),
                tf.reduce_sum(slope**2, [0, 1, 2]) / pixels,
            )
            for (name, x), slope in zip(tensors.items(), tape.gradient(probed, [*tensors.values()]), strict=True)
        }

    return watch


def chosen(model, seen, *, saturate=True):
    """{tensor: (low, high)} of every tensor in seen: its least and largest value, and zero, which padding needs.

    Tensors whose scale kernels want to be one share a range. saturate: cut what goes into a sigmoid where it saturates.
    """
    fixed = fakequant.fixed(model)
    ranges = {}
    for leader, names in groups(model, seen).items():
        low = min(0.0, *(float(seen[name].low.min()) for name in names))
        high = max(0.0, *(float(seen[name].high.max()) for name in names))
        if saturate and any(_enters_gate(model, name) for name in names):
            low, high = max(low, -SATURATED), min(high, SATURATED)
        if high == low:  # nothing but zero was seen
            high = 1.0
        ranges |= dict.fromkeys(names, fixed.get(leader, (low, high)))
    return ranges


def groups(model, tensors):
    """{leader: names of the tensors that share its range}."""
    leaders, members = fakequant.shared(model), {}
    for name in tensors:
        members.setdefault(leaders.get(name, name), []).append(name)
    return members


def _enters_gate(model, name):
    """Whether a sigmoid is all that reads a tensor."""
    layers = {layer.name: layer for layer in model.layers}
    readers = graph.children(layers[name]) if name in layers else []
    return bool(readers) and all(isinstance(reader, keras.layers.Activation) for reader in readers)
