"""Equalization: the same network with its channels at signs and scales that int8 stores well.

Nagel et al. 2019 (arXiv 1906.04721) equalize the ranges of neighbouring layers' kernels. Here it is tensors that need
it: kernels have a scale per channel in int8, and a tensor has one, which a few channels with large values take from all
others. A convolution's output channel may be scaled by any positive factor when all that take it divide by the same;
LeakyReLU, ReLU, pools, sums, gates' products and CCA's contrast pass a factor on. Channels that meet in a sum share it.
Where nothing but sums and products follows the sign is free too: turned to one side, channels need half the range.
"""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import Contrast, PixelShuffle, ResizeLike, Split
from keras_rfdn.tflite.quantization import fakequant, graph, ranges, rewrite

FIXED = 0  # class of the channels that must stay: pixels, and what goes into and comes out of a sigmoid
# f(a * x) = a * f(x) for a > 0 only; Contrast's epsilon, which is for gradients, breaks that by nothing that counts.
POSITIVE = (keras.layers.LeakyReLU, keras.layers.ReLU, keras.layers.MaxPooling2D, Contrast)
STEPS, RATE = 500, 0.1  # of Adam, for factors' logarithms


def equalized(model, seen):
    """model with its channels scaled so that int8 adds the least noise to its output, and the same output in float.

    model: without Rescaling layers, and best without SRBs (rewrite.fold_residuals), whose sums tie channels. seen: what
    ranges.observe saw of it. The result has fresh layers.
    """
    classes = Classes.of(model)
    return rescaled(model, classes, _factors(model, classes, seen))


def rescaled(model, classes, factors):
    """model with each channel multiplied by its class's factor, an array of numbers, and the same output."""

    def call(layer, inputs):
        if not isinstance(layer, keras.layers.Conv2D):
            return graph.copied(layer, inputs)
        kernel, bias = layer.get_weights()
        taken, given = factors[classes.taken[layer.name]], factors[classes.given[layer.name]]
        return graph.copied(layer, inputs, [kernel / taken[:, None] * given, bias * given])

    return graph.rebuilt(model, call)


@dataclasses.dataclass(frozen=True)
class Classes:
    """Channels by what must have one factor: a class is a number below count.

    taken, given: {layer: classes of its input's, its output's channels}; taken of convolutions, given of all layers but
    Split. one_sided: classes whose factor must be positive.
    """

    taken: dict
    given: dict
    one_sided: set
    count: int

    @classmethod
    def of(cls, model):
        ties, numbers = _Ties(), itertools.count(FIXED + 1)
        taken, given, one_sided = {}, {model.layers[0].name: [FIXED] * model.input_shape[-1]}, [FIXED]

        def call(layer, inputs):
            if isinstance(layer, keras.layers.Conv2D):
                taken[layer.name] = inputs
                kept = layer.name == rewrite.PATCHES  # copies of pixels
                outputs = [FIXED] * layer.filters if kept else list(itertools.islice(numbers, layer.filters))
            else:
                outputs = _passed_on(layer, inputs, ties)
            if isinstance(layer, POSITIVE):
                one_sided.extend(inputs)
            if not isinstance(layer, Split):
                given[layer.name] = outputs
            return outputs

        ties.tie(FIXED, *graph.walk(model, given[model.layers[0].name], call))
        taken, given = (
            {name: np.array([ties.find(i) for i in ids]) for name, ids in d.items()} for d in (taken, given)
        )
        return cls(taken, given, {ties.find(i) for i in one_sided}, next(numbers))


def _passed_on(layer, inputs, ties):
    """Classes of the channels that a layer gives, from those that it takes (lists), for all layers but convolutions."""
    match layer:
        case keras.layers.Concatenate():
            return list(itertools.chain(*inputs))
        case Split():
            return [inputs[: layer.first], inputs[layer.first :]]
        case ResizeLike():
            return inputs[0]
        case keras.layers.Add():
            return [ties.tie(*summands) for summands in zip(*inputs, strict=True)]
        case keras.layers.Multiply():
            x, gate = inputs
            ties.tie(FIXED, *gate)
            return x
        case keras.layers.Activation():
            ties.tie(FIXED, *inputs)
            return inputs
        case PixelShuffle():
            ties.tie(FIXED, *inputs)
            return [FIXED] * (len(inputs) // layer.scale**2)
    assert isinstance(layer, (*POSITIVE, keras.layers.UpSampling2D)), f"no rule for {layer}"
    return inputs


class _Ties:
    """Which classes are one; the smallest number stands for all."""

    def __init__(self):
        self._leaders = {}

    def find(self, number):
        while number in self._leaders:
            number = self._leaders[number]
        return number

    def tie(self, *numbers):
        """Make one class of several, and return its number."""
        leaders = {self.find(number) for number in numbers}
        first = min(leaders)
        self._leaders.update(dict.fromkeys(leaders - {first}, first))
        return first


def _factors(model, classes, seen):
    """Array of a factor for each class: signs first, then the sizes that minimize noise, by Adam."""
    low, high = _extremes(model, classes, seen)
    signs = np.where(-low > high, -1.0, 1.0)
    signs[list(classes.one_sided)] = 1
    noise = _noise(model, classes, seen, signs)
    # From channels that are equally large: from the network's own scales it takes longer.
    largest = np.maximum(-low, high)
    free = largest > 0  # not so of numbers that were tied and stand for no class any more
    free[FIXED] = False
    start = -np.log(largest, out=np.zeros(classes.count), where=free)
    sizes = tf.Variable(start, dtype=tf.float32)
    rate = tf.Variable(RATE)
    adam = keras.optimizers.legacy.Adam(rate)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.math.log(noise(tf.exp(sizes)))
        adam.apply_gradients([(tape.gradient(loss, sizes) * tf.cast(free, tf.float32), sizes)])

    for i in range(STEPS):
        rate.assign(RATE * (1 + np.cos(np.pi * i / STEPS)) / 2)
        step()
    return signs * np.exp(sizes.numpy())


def _extremes(model, classes, seen):
    """Arrays of the least and the largest value that convolutions gave in each class of channels."""
    low, high = np.zeros(classes.count), np.zeros(classes.count)
    for layer in graph.convolutions(model):
        given = classes.given[layer.name]
        ends = _ends(seen[_tensor(layer, seen)])
        np.minimum.at(low, given, ends[0])
        np.maximum.at(high, given, ends[1])
    return low, high


def _ends(tensor):
    """Arrays of the least and the largest value of a tensor's channels, zero included.

    A channel that hardly ever is anything else (a dead ReLU) counts as having a hundredth of the largest's: scaled up
    to the others it would make numbers that kernels do not take.
    """
    low, high = np.minimum(tensor.low, 0), np.maximum(tensor.high, 0)
    return low, np.maximum(high, 0.01 * np.maximum(high, -low).max())


def _tensor(conv, seen):
    """What a convolution gives, as seen has it: after the ReLU that is one operation with it, where there is one."""
    return conv.name if conv.name in seen else graph.children(conv)[0].name


def _noise(model, classes, seen, signs):
    """function: factors' sizes (tensor) -> mean square of what rounding tensors adds to the output.

    If roundings are independent, that is the sum over channels of a twelfth of a step's square, times the gain. Kernels
    do not count: what rounding costs them is made good later (tflite/quantization/gptq.py).
    """
    names = [name for name in seen if name in classes.given]
    chosen = [
        members for leader, members in ranges.groups(model, names).items() if leader not in fakequant.fixed(model)
    ]
    silent = fakequant.moved(model)
    rows = [
        (classes.given[name], signs[classes.given[name]], seen[name], i, 0.0 if name in silent else 1.0)
        for i, members in enumerate(chosen)
        for name in members
    ]
    ids = np.concatenate([ids for ids, *_ in rows])
    low, high = np.concatenate([np.sort(sign * _ends(tensor), axis=0) for _, sign, tensor, *_ in rows], axis=1)
    group = np.concatenate([np.full(len(ids), i) for ids, *_, i, _ in rows])
    gain = np.concatenate([counts * tensor.gain for *_, tensor, _, counts in rows])

    def noise(sizes):
        size = tf.gather(sizes, ids)
        steps = (tf.math.segment_max(size * high, group) - tf.math.segment_min(size * low, group)) / 255
        return tf.reduce_sum(tf.gather(steps, group) ** 2 / 12 * gain / size**2)

    return noise
