"""Channel equalization: the same network with its channels at signs and scales that int8 stores well.

Nagel et al. 2019 (arXiv 1906.04721) equalize the ranges of neighbouring layers' kernels. Here it is tensors that need
it: kernels have a scale per channel in int8, and a tensor has one, which a few channels with large values take from all
others. A convolution's output channel may be scaled by any positive factor when all that read it divide by the same;
LeakyReLU, ReLU, pools, sums, gates' products and CCA's contrast pass a factor on. Channels that meet in a sum share it.
Where nothing but sums and products follows, the sign is free too: turned to one side, channels need half the range.
"""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.layers import PixelShuffle, ResizeLike, Split
from keras_rfdn.tflite.quantization import graph, im2col_skip
from keras_rfdn.tflite.quantization.int8_ops import (
    PIXELS,
    WITH_ONE,
    MirrorPad,
    Requantize,
    Rsqrt,
    Sqrt,
    SquaredDifference,
)
from keras_rfdn.tflite.quantization.scheme import PIXEL_RANGE, Scheme, output_tensor
from keras_rfdn.tflite.quantization.tensor_statistics import TensorStatistics

FIXED = 0  # group of the channels whose factor is 1: pixels, and what goes into and comes out of a sigmoid
# f(a * x) = a * f(x) for a > 0 only. CCA's contrast is among them: squares, their mean and the root together.
POSITIVE = (
    *(layers.LeakyReLU, layers.ReLU, layers.MaxPooling2D),
    *(layers.GlobalAveragePooling2D, SquaredDifference, Sqrt),
)
UPDATES, RATE = 500, 0.1  # of Adam, for factors' logarithms
REACH = 7.0  # how far such a logarithm may go from where all channels are equally large: a factor of 1,100


def equalize(
    model: keras.Model, scheme: Scheme, statistics: dict[str, TensorStatistics]
) -> dict[str, TensorStatistics]:
    """Scale the channels of a lowered network, in place, so that int8 adds the least noise to its output.

    The float output stays the same. model: best without SRBs (folding.fold_residuals), whose sums tie channels.
    statistics: collect_statistics of it. Returns the statistics as they are afterwards.
    """
    groups = ChannelGroups.of(model)
    factors = _factors(model, scheme, groups, statistics)
    rescale(model, groups, factors)
    return {
        name: seen.scaled(groups.factors_of(name, factors)) if name in groups.outputs else seen
        for name, seen in statistics.items()
    }


def normalize_variances(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Scale what a layer normalization takes the reciprocal root of to 1 or below, in place; the output stays.

    Features before a normalization may be of any size, and are 1e9 in LKDN. The root would be so small that the
    converter rounds its quantization step up to a larger one. model: lowered. images: uint8 RGB [h, w, 3] each.
    """
    roots = [layer for layer in model.layers if isinstance(layer, Rsqrt)]
    if not roots:
        return
    variances = keras.Model(model.input, [root.input for root in roots])
    seen = [[tf.reduce_max(x) for x in tf.nest.flatten(variances(image[None].astype(np.float32)))] for image in images]
    for root, largest in zip(roots, np.max(seen, axis=0), strict=True):
        (variance,), product = graph.parents(root), graph.only_reader(root)
        readers = graph.children(product)
        if all(isinstance(reader, graph.CONVOLUTIONS) for reader in readers):
            variance.set_weights([w / largest for w in variance.get_weights()])
            for reader in readers:
                kernel, *bias = reader.get_weights()
                reader.set_weights([kernel / np.sqrt(largest), *bias])


def rescale(model, groups, factors):
    """Multiply each channel by its group's factor, by the weights of convolutions, in place; the output stays."""
    for layer in graph.convolutions(model):
        kernel, bias = graph.kernel_of(layer)
        inputs, outputs = factors[groups.inputs[layer.name]], groups.factors_of(layer.name, factors)
        if _holds_squares(graph.parents(layer)[0]):
            inputs = inputs**2
        # [input channels of a group, output channels]: the factor of what each number is multiplied with.
        taken = np.repeat(inputs.reshape(graph.groups_of(layer), -1).T, len(bias) // graph.groups_of(layer), axis=1)
        layer.set_weights(graph.weights_of(layer, kernel / taken * outputs, bias * outputs))


@dataclasses.dataclass(frozen=True)
class ChannelGroups:
    """Channels of a lowered network by what must have one factor: a group is a number below count.

    inputs: {convolution: groups of its input's channels}. outputs: {layer: groups of its output's}, of all layers but
    Split and squares, whose factor is another. divisors: {convolution: groups by whose factors those of its output are
    divided}, of one that makes a factor of a product: the product's factor over the other operand's. one_sided: groups
    whose factor must be positive.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    divisors: dict[str, np.ndarray]
    one_sided: set[int]
    count: int

    def factors_of(self, name: str, factors: np.ndarray) -> np.ndarray:
        """Factors of a layer's output channels, from those of groups [count]."""
        of_groups = factors[self.outputs[name]]
        return of_groups / factors[self.divisors[name]] if name in self.divisors else of_groups

    @classmethod
    def of(cls, model: keras.Model) -> "ChannelGroups":
        sets, numbers = DisjointSet(), itertools.count(FIXED + 1)
        inputs, outputs, divisors, one_sided = {}, {}, {}, [FIXED]

        def call(layer, taken):
            if isinstance(layer, graph.CONVOLUTIONS):
                inputs[layer.name] = taken
                count = layer.output_shape[-1]
                given = [FIXED] * count if keeps_values(layer) else list(itertools.islice(numbers, count))
            elif (gate := _made_for_product(layer)) is not None:
                # The convolution's own channels stand for the product's.
                i = graph.parents(layer).index(gate)
                given, divisors[gate.name] = taken[i], taken[1 - i]
            else:
                given = _passed_on(layer, taken, sets)
            if isinstance(layer, POSITIVE):
                one_sided.extend(itertools.chain(*taken) if isinstance(layer, SquaredDifference) else taken)
            if not isinstance(layer, Split) and not _holds_squares(layer):
                outputs[layer.name] = given
            return given

        sets.unite(FIXED, *graph.walk(model, [FIXED] * model.input_shape[-1], call))
        inputs, outputs, divisors = (
            {name: np.array([sets.find(i) for i in ids]) for name, ids in d.items()}
            for d in (inputs, outputs, divisors)
        )
        return cls(inputs, outputs, divisors, {sets.find(i) for i in one_sided}, next(numbers))


def _holds_squares(layer):
    """Whether a layer's channels have their factors squared."""
    if _is_square(layer):
        return True
    return isinstance(layer, layers.GlobalAveragePooling2D) and _is_square(graph.parents(layer)[0])


def _is_square(layer):
    taken = graph.parents(layer) if isinstance(layer, layers.Multiply) else ()
    return isinstance(layer, SquaredDifference) or (len(taken) == 2 and taken[0] is taken[1])


def _made_for_product(layer):
    """The convolution that makes one operand of a product and is read by nothing else, or None.

    Both operands have as many channels, and a factor of the product's channel can become one of the convolution's.
    """
    if not isinstance(layer, layers.Multiply) or _is_square(layer):
        return None
    x, gate = graph.parents(layer)
    if x.output_shape[-1] != gate.output_shape[-1]:
        return None
    makers = [parent for parent in (gate, x) if isinstance(parent, graph.CONVOLUTIONS)]
    return next((conv for conv in makers if graph.only_reader(conv) is layer), None)


def keeps_values(layer):
    """Whether a layer's result must stay at its scale: pixels, or what a reciprocal root is taken of."""
    copies_pixels = layer.name == im2col_skip.IM2COL or WITH_ONE in layer.name
    return copies_pixels or isinstance(graph.only_reader(layer), Rsqrt)


def _passed_on(layer, taken, sets):
    """Groups of the channels that a layer gives, from those that it takes (lists), for all layers but convolutions."""
    match layer:
        case layers.Concatenate():
            return list(itertools.chain(*taken))
        case Split():
            return [taken[: layer.first], taken[layer.first :]]
        case ResizeLike():
            return taken[0]
        case layers.Add() | layers.Subtract() | SquaredDifference():
            channels = max(map(len, taken))
            wide = [ids * channels if len(ids) == 1 else ids for ids in taken]
            return [sets.unite(*summands) for summands in zip(*wide, strict=True)]
        case layers.Multiply() if _is_square(layer):
            return taken[0]
        case layers.Multiply():
            x, gate = sorted(taken, key=len, reverse=True)
            sets.unite(FIXED, *gate)
            return x
        case layers.Activation() | Rsqrt():
            sets.unite(FIXED, *taken)
            return taken
        case PixelShuffle():
            # An output channel's sub-pixels; only GroupedPixelShuffle has groups.
            each = np.reshape(taken, (getattr(layer, "groups", 1), layer.scale**2, -1))
            return [sets.unite(*each[i, :, j].tolist()) for i, j in np.ndindex(each.shape[0], each.shape[2])]
    kept = layers.UpSampling2D, layers.ZeroPadding2D, MirrorPad, Requantize
    assert isinstance(layer, (*POSITIVE, *kept)), f"no rule for {layer}"
    return taken


class DisjointSet:
    """Numbers united into sets; the smallest number stands for all of its set."""

    def __init__(self):
        self._leaders = {}

    def find(self, number):
        while number in self._leaders:
            number = self._leaders[number]
        return number

    def unite(self, *numbers):
        """Make one set of several, and return the number that stands for it."""
        leaders = {self.find(number) for number in numbers}
        first = min(leaders)
        self._leaders.update(dict.fromkeys(leaders - {first}, first))
        return first


def _factors(model, scheme, groups, statistics):
    """Array of a factor for each group: signs first, then the sizes that minimize noise, by Adam."""
    low, high = np.zeros(groups.count), np.zeros(groups.count)
    for layer in graph.convolutions(model):
        counted = graph.only_reader(layer).name if layer.name in groups.divisors else output_tensor(layer)
        ends = _extent(statistics[counted])
        np.minimum.at(low, groups.outputs[layer.name], ends[0])
        np.maximum.at(high, groups.outputs[layer.name], ends[1])
    signs = np.where(-low > high, -1.0, 1.0)
    signs[list(groups.one_sided)] = 1
    noise = _noise(scheme, groups, statistics, signs)
    # From channels that are equally large: from the network's own scales it takes longer.
    largest = np.maximum(-low, high)
    free = largest > 0  # not so of numbers that were united with others and stand for no group any more
    free[FIXED] = False
    start = -np.log(largest, out=np.zeros(groups.count), where=free).astype(np.float32)
    sizes = tf.Variable(start)
    # The legacy class: tf_keras' present Adam has no float learning rate that a traced function sees change.
    rate = tf.Variable(RATE)
    adam = keras.optimizers.legacy.Adam(rate)

    @tf.function(autograph=False)
    def update():
        with tf.GradientTape() as tape:
            loss = tf.math.log(noise(tf.exp(sizes)))
        adam.apply_gradients([(tape.gradient(loss, sizes) * tf.cast(free, tf.float32), sizes)])
        sizes.assign(tf.clip_by_value(sizes, start - REACH, start + REACH))  # channels without effect would drift

    for i in range(UPDATES):
        rate.assign(RATE * (1 + np.cos(np.pi * i / UPDATES)) / 2)
        update()
    return signs * np.exp(sizes.numpy())


def _extent(tensor):
    """Arrays of the least and the largest value of a tensor's channels, zero included.

    A channel that hardly ever is anything else (a dead ReLU) counts as having a hundredth of the largest's: scaled up
    to the others it would make numbers that kernels do not take.
    """
    low, high = np.minimum(tensor.low, 0), np.maximum(tensor.high, 0)
    return low, np.maximum(high, 0.01 * np.maximum(high, -low).max())


def noise_by_tensor(scheme: Scheme, statistics: dict[str, TensorStatistics]) -> dict[str, float]:
    """{tensor: mean square of what rounding it adds to the output}, as equalize minimizes their sum.

    Pixels are whole numbers, and rounding adds nothing. Features beside their im2col are counted as what
    im2col_skip.rescale_to_uint8_range makes of them, each channel in steps of its own.
    """
    result = {}
    for leader, names in scheme.groups().items():
        seen = [name for name in names if name in statistics]
        ends = {name: _extent(statistics[name]) for name in seen}
        if scheme.fixed.get(leader) == PIXEL_RANGE:
            kept = {PIXELS, im2col_skip.IM2COL, im2col_skip.CONCAT}
            seen = [name for name in seen if im2col_skip.CONCAT in names and name not in kept]
            steps = {name: (ends[name][1] - ends[name][0]) / 255 for name in seen}
        elif seen:
            least, largest = scheme.saturation[leader]
            high = min(largest, max(high.max() for _, high in ends.values()))
            steps = dict.fromkeys(seen, (high - max(least, min(low.min() for low, _ in ends.values()))) / 255)
        for name in seen:
            result[name] = (steps[name] ** 2 / 12 * statistics[name].sensitivity).sum() * scheme.is_rounded(name)
    return result


def _noise(scheme, groups, statistics, signs):
    """function: factors' sizes (tensor) -> mean square of what rounding tensors adds to the output.

    If roundings are independent, that is the sum over channels of a twelfth of a step's square, times the sensitivity.
    Kernels do not count: what rounding costs them is made good later (gptq.py).
    """
    members = scheme.groups()
    free = [
        [name for name in members[leader] if name in statistics and name in groups.outputs] for leader in scheme.free()
    ]
    rows = [
        (name, groups.factors_of(name, signs), statistics[name], i, float(scheme.is_rounded(name)))
        for i, names in enumerate(free)
        for name in names
    ]
    ids = np.concatenate([groups.outputs[name] for name, *_ in rows])
    divisors = np.concatenate([groups.divisors.get(name, 0 * groups.outputs[name]) for name, *_ in rows])
    low, high = np.concatenate([np.sort(sign * _extent(tensor), axis=0) for _, sign, tensor, *_ in rows], axis=1)
    group = np.concatenate([np.full(len(sign), i) for _, sign, _, i, _ in rows])
    sensitivity = np.concatenate([counts * tensor.sensitivity for *_, tensor, _, counts in rows])

    def noise(sizes):
        size = tf.gather(sizes, ids) / tf.gather(sizes, divisors)
        steps = (tf.math.segment_max(size * high, group) - tf.math.segment_min(size * low, group)) / 255
        return tf.reduce_sum(tf.gather(steps, group) ** 2 / 12 * sensitivity / size**2)

    return noise
