"""Calibration statistics of a lowered network's tensors on images, and the int8 ranges made of them."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.layers import PixelShuffle, Split
from keras_rfdn.tflite.quantization import graph, xnnpack
from keras_rfdn.tflite.quantization.int8_ops import PIXELS, MirrorPad, Requantize
from keras_rfdn.tflite.quantization.scheme import Range, Scheme, output_tensor

SAMPLES = 4096  # values of a tensor that one image gives to choose its range from
SEARCH_FACTORS = np.linspace(1, 0.1, 46)  # parts of a range that the search for the least squared error tries
HEADROOM = 1.3  # how far a range reaches, relative to the least squared error's, where a LeakyReLU will shrink values
GATE_HEADROOM = 1.5  # ... relative to the extremes, where an activation saturates: a clipped gate is wrong everywhere
# Least and largest factor that XNNPACK's kernels multiply by, a little within its own limits.
FACTOR_LIMITS = {
    **dict.fromkeys(graph.CONVOLUTIONS, (0.0, 255.0)),
    layers.Multiply: (2**-15, 255.0),
    layers.Add: (2**-9, 255.0),
    layers.Subtract: (2**-9, 255.0),
    Requantize: (2**-7, 127.0),
}


@dataclasses.dataclass(frozen=True)
class TensorStatistics:
    """A tensor on images; float32 [channels] each.

    low, high: extremes. power: mean square. sensitivity: mean square of the change of the network's output (grey
    levels) over the mean square of a change of the channel, were that change noise without any pattern.
    """

    low: np.ndarray
    high: np.ndarray
    power: np.ndarray
    sensitivity: np.ndarray

    def scaled(self, factors: np.ndarray) -> "TensorStatistics":
        """The statistics after each channel is multiplied by a factor, which what reads it divides by."""
        ends = np.sort([self.low * factors, self.high * factors], axis=0)
        return TensorStatistics(*ends, self.power * factors**2, self.sensitivity / factors**2)


def collect_statistics(
    model: keras.Model, scheme: Scheme, images: Iterable[np.ndarray], *, seed: int = 0
) -> dict[str, TensorStatistics]:
    """{tensor: TensorStatistics} of a lowered network in float. images: uint8 RGB [h, w, 3] each, which weigh alike."""
    watch = _watcher(model, scheme)
    parts = [watch(image, [seed, i]) for i, image in enumerate(images)]
    result = {}
    for name in parts[0]:
        low, high, power, sensitivity = (np.stack([part[name][i].numpy() for part in parts]) for i in range(4))
        result[name] = TensorStatistics(low.min(0), high.max(0), power.mean(0), sensitivity.mean(0))
    return result


def _watcher(model, scheme):
    """function: image, seed -> {tensor: the fields of TensorStatistics}.

    A sensitivity is the sum of squares of the output's derivatives, which one backward pass from random signs gives in
    the mean (Hutchinson's estimate of a trace).
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2], tf.int32)], autograph=False
    )
    def watch(image, seed):
        tensors = {}

        def call(layer, inputs):
            outputs = layer(inputs)
            if layer.name not in scheme.leaders or isinstance(layer, Split):
                return outputs
            tensors[layer.name] = tf.identity(outputs)
            tape.watch(tensors[layer.name])
            return tensors[layer.name]

        with tf.GradientTape() as tape:
            sr = graph.walk(model, tf.cast(image, tf.float32)[None], call)
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


def calibrate(model: keras.Model, scheme: Scheme, images: Iterable[np.ndarray], *, seed: int = 0) -> dict[str, Range]:
    """{tensor: (low, high)} of a lowered network, by min_max_range of what its tensors take on in float.

    images: uint8 RGB [h, w, 3] each. Of each tensor and image SAMPLES values drawn at random count, and the smallest
    and the largest. Values beyond an activation's saturation do not. What is linear in the pixels, as bicubic colours
    less their luma, gets room for every colour: few images have the brightest red, and clipping it is seen at once.
    """
    observe = tf.function(keras.Model(model.input, {name: model.get_layer(name).output for name in scheme.leaders}))
    rng, values = np.random.default_rng(seed), {}
    for image in images:
        for name, tensors in observe(tf.constant(image[None], tf.float32)).items():
            flat = np.concatenate([np.ravel(tensor) for tensor in tf.nest.flatten(tensors)])
            drawn = rng.choice(flat, min(SAMPLES, flat.size), replace=False)
            values.setdefault(scheme.leaders[name], []).append(np.append(drawn, [flat.min(), flat.max()]))
    chosen = {}
    for name in scheme.free():
        colours = [end for member in scheme.groups()[name] for end in _of_flat_images(model.get_layer(member))]
        seen = np.concatenate([*values[name], colours])
        seen = np.clip(np.append(seen, _room_for_gates(seen, scheme.saturation[name])), *scheme.saturation[name])
        chosen[name] = min_max_range(seen, scheme.negative_slope[name])
    return complete_ranges(model, scheme, chosen)


def _room_for_gates(seen, saturation):
    """What a range is to hold besides, on the sides where an activation saturates."""
    ends = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
    return [GATE_HEADROOM * end for end, limit in zip(ends, saturation, strict=True) if math.isfinite(limit)]


def _of_flat_images(layer):
    """Least and largest value that images of one colour give, where a layer enlarges pixels by a convolution; or ()."""
    if not isinstance(layer, PixelShuffle):
        return ()
    (conv,) = graph.parents(layer)
    padding = graph.parents(conv)[0]
    if not (isinstance(conv, layers.Conv2D) and isinstance(padding, MirrorPad)):
        return ()
    if graph.parents(padding)[0].name != PIXELS:
        return ()
    kernel, bias = conv.get_weights()
    of_colour = 255 * kernel.sum((0, 1))
    return (bias + np.minimum(of_colour, 0).sum(0)).min(), (bias + np.maximum(of_colour, 0).sum(0)).max()


def complete_ranges(model: keras.Model, scheme: Scheme, chosen: Mapping[str, Range]) -> dict[str, Range]:
    """{tensor: range} of all tensors, as kernels take them, from those chosen for scheme.free()'s leaders."""
    ranges = chosen | scheme.fixed
    ranges = {name: _with_zero(ranges[of]) for name, of in scheme.leaders.items()}
    return _align_leaky_relu_scales(model, scheme, _within_kernel_limits(model, scheme, ranges))


def _within_kernel_limits(model, scheme, ranges):
    """ranges, widened where an operation's factor is one that XNNPACK takes no file for: FACTOR_LIMITS.

    Such are the ranges of networks that are hardly trained, whose tensors differ by many powers of ten.
    """
    wide = dict(ranges)

    def widen(name, times):
        leader = scheme.leaders.get(name)
        if times > 1 and leader not in scheme.fixed:
            wide.update(_widened(scheme, wide, name, times))

    def factors(layer):
        """{tensor taken: step size of what is computed of it, over that of the result}."""
        given = wide[output_tensor(layer)]
        taken = {parent.name: step_size(wide[parent.name]) for parent in graph.parents(layer) if parent.name in wide}
        if isinstance(layer, graph.CONVOLUTIONS):
            kernel, _ = graph.kernel_of(layer)
            taken = {name: size * np.abs(kernel).max() / 127 for name, size in taken.items()}
        elif isinstance(layer, layers.Multiply) and len(taken) == 2:
            taken = {name: math.prod(taken.values()) for name in taken}
        return {name: size / step_size(given) for name, size in taken.items()}

    rounded = [layer for layer in model.layers[1:] if isinstance(layer, tuple(FACTOR_LIMITS))]
    rounded = [layer for layer in rounded if output_tensor(layer) in wide]
    for layer in reversed(rounded):
        for name, factor in factors(layer).items():
            widen(name, _limits(layer)[0] / factor if factor else 1)
    for layer in rounded:
        widen(output_tensor(layer), max(factors(layer).values(), default=0) / _limits(layer)[1])
    return wide


def _widened(scheme, ranges, name, times):
    """{tensor: its range times as wide} of all tensors that share a tensor's range."""
    members = [member for member, leader in scheme.leaders.items() if leader == scheme.leaders[name]]
    return {member: tuple(times * bound for bound in ranges[member]) for member in members}


def _limits(layer):
    return next(limits for kind, limits in FACTOR_LIMITS.items() if isinstance(layer, kind))


def _with_zero(bounds):
    """A range moved by less than a step, so that zero is one of its 256 values, and the same one for all who round.

    It is no narrower than the converter leaves one.
    """
    times = max(1.0, xnnpack.LEAST_RANGE / max(bounds[1] - bounds[0], 1e-20))
    bounds = times * bounds[0], times * bounds[1]
    size = step_size(bounds)
    below = round(-bounds[0] / size)
    return -below * size, (255 - below) * size


def _align_leaky_relu_scales(model, scheme, ranges):
    """ranges, with those that LeakyReLU takes widened to steps of a whole number of 256ths of the result's step.

    XNNPACK multiplies by whole 256ths there, and rounds the factor to them without a word.
    """
    aligned = dict(ranges)
    for layer in model.layers:
        if isinstance(layer, keras.layers.LeakyReLU):
            name = graph.parents(layer)[0].name
            ratio = 256 * step_size(ranges[name]) / step_size(ranges[layer.name])
            widening = math.ceil(ratio - 1e-4) / ratio  # a whole number but for float's rounding stays what it is
            aligned.update(_widened(scheme, ranges, name, widening))
    return aligned


def min_max_range(values: np.ndarray, negative_slope: float = 1.0) -> Range:
    """Range of the values and 0, which a range of TFLite must hold; 0 to 1 where a ReLU never fires.

    A tiny range instead would be one that XNNPACK refuses: it multiplies by less than 256. negative_slope: factor that
    negative values get at once; where a LeakyReLU shrinks them, the range leaves out those far below what the least
    squared error would keep.
    """
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    high = high if high > low else 1.0
    if negative_slope < 1:
        low = max(low, HEADROOM * float(_least_error(values, negative_slope, low * SEARCH_FACTORS, [high])[0]))
    return low, high


def _least_error(values, slope, lows, highs):
    """The (low, high) whose 256 steps stand for the values with the least squared error, negative ones times slope."""
    weight = np.where(values < 0, slope, 1.0)

    def error(bounds):
        low, high = bounds
        size = max(high - low, 1e-20) / 255
        first = np.round(low / size)
        return np.square(weight * (np.clip(np.round(values / size), first, first + 255) * size - values)).sum()

    return min(itertools.product(lows, highs), key=error)


def step_size(bounds: Range) -> float:
    """What a tensor of a range is stored in multiples of, to the last bit as the file has it: a float32's value."""
    low, high = np.float32(bounds).astype(np.float64)
    return float(np.float32(max(high - low, 1e-20) / 255))
