"""An int8 TFLite file simulated in float: the same network with every tensor rounded as TFLite's kernels round it.

    model = operations(folded)
    twin = simulate(model, calibrate(model, frames))

A tensor of a .tflite has a scale and a zero point: 256 values over a range. A kernel has a scale per output channel.
The twin rounds where the file rounds: after every operation with a scale of its own, not where TFLite fuses (ReLU), and
not where an operation only moves values, for its output has its input's scale then. It is made of tfmot's wrappers, so
it can be trained, and TFLite's converter takes its ranges as they are.

Ranges are learned beside the weights in a network that sums in float, and so may be a step off now and then:

    learner = learning(model, calibrate(model, frames))
    ... training of learner.trainable_variables ...
    ranges, twin = learned(model, learner)
"""

import itertools
import math

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import Contrast, LeakyReLU, ResizeLike, Split
from keras_rfdn.tflite.quantization import fakequant, graph, xnnpack
from keras_rfdn.tflite.quantization.ranges import SATURATED

SHRINK = np.linspace(1, 0.1, 46)  # parts of a range that least_error tries
SPARE = 1.3  # how far minmax reaches, relative to least_error, where values will shrink

quantization = tfmot.quantization.keras


@keras.saving.register_keras_serializable("keras_rfdn")
class SquaredDifference(layers.Layer):
    """(x, y) -> (x - y)^2, one operation in TFLite."""

    def call(self, inputs):
        return tf.math.squared_difference(*inputs)


@keras.saving.register_keras_serializable("keras_rfdn")
class Sqrt(layers.Layer):
    """Square root, with gradient 0 at 0, to which int8 rounds small variances."""

    def call(self, inputs):
        return _sqrt(inputs)


@tf.custom_gradient
def _sqrt(x):
    root = tf.sqrt(x)
    return root, lambda upstream: tf.math.divide_no_nan(upstream, 2 * root)


@keras.saving.register_keras_serializable("keras_rfdn")
class Requantized(layers.Layer):
    """x itself: a place where a range is taken, of the image at the network's beginning and before concatenations."""

    def call(self, inputs):
        return tf.identity(inputs)


class LearnedRange(layers.Layer):
    """x rounded to the 256 values of a range whose ends are weights, by the gradients of learned step sizes.

    Esser et al., "Learned Step Size Quantization" (ICLR 2020), eq. 3, for a range with two ends: a value within it
    pulls at the step by the error of its rounding, one outside at the end that it is clipped to.
    """

    def __init__(self, low, high, **kwargs):
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def build(self, shape):
        for name, start in (("below", -self.low), ("above", self.high)):
            initial, limit = keras.initializers.Constant(start), keras.constraints.NonNeg()
            setattr(self, name, self.add_weight(name, (), initializer=initial, constraint=limit))

    def call(self, inputs):
        return _rounded_within(inputs, -self.below, tf.identity(self.above))

    def bounds(self):
        return -float(self.below), float(self.above)


@tf.custom_gradient
def _rounded_within(x, low, high):
    rounded = tf.quantization.fake_quant_with_min_max_vars(x, low, high)

    def gradients(upstream):
        inside, below, above = tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
            gradients=upstream, inputs=x, min=low, max=high
        )
        wider = tf.reduce_sum(inside * (rounded - x)) / (high - low)
        return inside, below - wider, above + wider

    return rounded, gradients


# What XNNPACK computes by whole numbers of its own, besides convolutions.
IN_WHOLES = {
    layers.Add: xnnpack.added,
    layers.Multiply: xnnpack.multiplied,
    LeakyReLU: xnnpack.leaky,
    Requantized: xnnpack.requantized,
    ResizeLike: xnnpack.resized,
    layers.UpSampling2D: xnnpack.resized,
}


# Operations whose output has a range of its own; fakequant.MOVERS have their (first) input's.
COMPUTING = (
    *(layers.Conv2D, layers.Add, layers.Multiply, layers.ReLU, LeakyReLU, layers.GlobalAveragePooling2D),
    *(SquaredDifference, Sqrt, Requantized),
)


def operations(model, *, height=None, width=None, batch=None):
    """A functional model of ours with one layer for each operation of its int8 file; the float function is the same.

    height, width, batch: dimensions of the result's input; None leaves one open. model's own must be open.
    The image is quantized by a layer of its own. What goes into a concatenation and elsewhere too is quantized for the
    concatenation once more. Contrast is written out, without its epsilon, which is far below a step.
    """

    def call(layer, inputs):
        if isinstance(layer, Contrast):
            return _contrast(inputs, layer.name)
        if isinstance(layer, layers.Concatenate) and len(set(graph.parents(layer))) > 1:
            inputs = [
                Requantized(name=f"{layer.name}.in{i}")(x) if _is_needed_elsewhere(parent) else x
                for i, (parent, x) in enumerate(zip(graph.parents(layer), inputs, strict=True))
            ]
        return graph.copied(layer, inputs)

    lr = keras.Input((height, width, model.input_shape[-1]), batch, name=model.layers[0].name, dtype="float32")
    return keras.Model(lr, graph.walk(model, Requantized(name="pixels")(lr), call), name=model.name)


def _is_needed_elsewhere(layer):
    return isinstance(layer, layers.InputLayer | Split) or len(graph.children(layer)) > 1


def _contrast(x, name):
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.mean")(x)
    square = SquaredDifference(name=f"{name}.square")([x, mean])
    variance = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.variance")(square)
    return layers.Add(name=name)([mean, Sqrt(name=f"{name}.deviation")(variance)])


def shared(model):
    """{layer: the layer whose range its output has} of a model from operations.

    Raises UserError for a layer that there is no rule for.
    """
    for layer in model.layers[1:]:
        if not isinstance(layer, COMPUTING + fakequant.MOVERS) and not _is_sigmoid(layer):
            known = ", ".join(sorted(kind.__name__ for kind in COMPUTING + fakequant.MOVERS))
            raise UserError(
                f"no rule for {layer.name} ({type(layer).__name__}) in int8; there is one for {known} and sigmoids"
            )
    return fakequant.shared(model)


def _is_sigmoid(layer):
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.sigmoid


def _is_fused(layer):
    """Whether TFLite makes one operation of the layer and the ReLU behind it, with no tensor between them."""
    return isinstance(layer, layers.Conv2D | layers.Add) and fakequant.has_fused_relu(layer)


def _leaders(model):
    """shared, without the layers whose output is no tensor of the int8 file."""
    return {name: leader for name, leader in shared(model).items() if not _is_fused(model.get_layer(name))}


def named(model, ranges):
    """calibrate's result for a model from operations, from its values alone: Keras names layers anew every time."""
    return dict(zip(_leaders(model), map(tuple, ranges), strict=True))


def calibrate(model, frames, fit, *, samples=4096, seed=0):
    """Ranges of a model from operations: {layer: (low, high)}.

    frames: float or uint8 RGB [h, w, 3] each. fit: minmax or least_error; it gets the values of all tensors that share
    the range, of each tensor and frame `samples` drawn at random besides the smallest and the largest.
    """
    leaders = _leaders(model)
    observed = tf.function(keras.Model(model.input, {name: model.get_layer(name).output for name in leaders}))
    rng, values = np.random.default_rng(seed), {}
    for frame in frames:
        for name, tensors in observed(tf.constant(frame[None], tf.float32)).items():
            flat = np.concatenate([np.ravel(tensor) for tensor in tf.nest.flatten(tensors)])
            drawn = rng.choice(flat, min(samples, flat.size), replace=False)
            values.setdefault(leaders[name], []).append(np.append(drawn, [flat.min(), flat.max()]))
    found = {}
    for name, parts in values.items():
        reach = SATURATED if _is_sigmoid(graph.only_reader(model.get_layer(name))) else math.inf
        found[name] = fit(np.clip(np.concatenate(parts), -reach, reach), _slope(model.get_layer(name)))
    return _taken(model, found)


def _fixed(model):
    """{leader: range} where there is nothing to choose: of pixels at both ends, and of gates."""
    return fakequant.fixed(model) | {shared(model)["pixels"]: fakequant.PIXELS}


def _taken(model, found):
    """The ranges of all tensors, as kernels take them, from those found: {leader: (low, high)}."""
    chosen = found | _fixed(model)
    return _aligned(model, {name: _with_zero(chosen[leader]) for name, leader in _leaders(model).items()})


def _with_zero(bounds):
    """A range moved by less than a step, so that zero is one of its 256 values, and the same one for all who round."""
    step = _step(bounds)
    below = round(-bounds[0] / step)
    return -below * step, (255 - below) * step


def _aligned(model, ranges):
    """ranges, with those that LeakyReLU takes widened to steps of a whole number of 256ths of the result's step.

    XNNPACK multiplies by whole 256ths there, and rounds the factor to them without a word.
    """
    leaders, aligned = shared(model), dict(ranges)
    for layer in model.layers:
        if isinstance(layer, LeakyReLU):
            name = graph.parents(layer)[0].name
            ratio = 256 * _step(ranges[name]) / _step(ranges[layer.name])
            widening = math.ceil(ratio) / ratio
            group = [member for member in ranges if leaders[member] == leaders[name]]
            aligned.update({member: tuple(bound * widening for bound in ranges[member]) for member in group})
    return aligned


def _slope(layer):
    """What becomes of the layer's negative values at once: LeakyReLU's slope, or 1."""
    reader = graph.only_reader(layer)
    return float(reader.alpha) if isinstance(reader, LeakyReLU) else 1.0


def minmax(values, slope=1.0):
    """The range of the values and 0, which a range of TFLite must hold; 0 to 1 where a ReLU never fires.

    A tiny range instead would be one that XNNPACK refuses: it multiplies by less than 256. slope: as for least_error;
    of values that a LeakyReLU shrinks the range leaves out those far below what least_error would keep.
    """
    low, high = _ends(values)
    if slope < 1:
        low = max(low, SPARE * float(_least(values, slope, low * SHRINK, [high])[0]))
    return low, high


def least_error(values, slope=1.0):
    """The range within minmax whose 256 steps stand for the values with the least squared error.

    slope: the errors of negative values count behind a LeakyReLU of this slope.
    """
    low, high = _ends(values)
    for _ in range(2):
        low, high = _least(values, slope, [low], high * SHRINK)
        low, high = _least(values, slope, low * SHRINK, [high])
    return float(low), float(high)


def _ends(values):
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return low, high if high > low else 1.0


def _least(values, slope, lows, highs):
    """The (low, high) of the least squared error, as least_error counts it."""
    weight = np.where(values < 0, slope, 1.0)

    def error(bounds):
        low, high = bounds
        step = max(high - low, 1e-20) / 255
        first = np.round(low / step)
        return np.square(weight * (np.clip(np.round(values / step), first, first + 255) * step - values)).sum()

    return min(itertools.product(lows, highs), key=error)


def simulate(model, ranges, *, for_converter=False):
    """The int8 twin of a model from operations: same layers, names and weights, rounded to ranges from calibrate.

    Its input and output are float32 RGB 0..255, the output in whole grey levels. for_converter: without what TFLite's
    converter puts in by itself and stumbles over when it is there already.
    """

    def call(layer, inputs):
        if isinstance(layer, Split):  # tfmot gives up on two outputs; these are round already
            return graph.copied(layer, inputs)
        output = ranges.get(layer.name)
        if for_converter and isinstance(layer, Requantized) and layer.name != "pixels":
            output = None
        inner = _for_converter(layer, ranges) if for_converter else _as_xnnpack(layer, ranges)
        return _wrapped(layer, inputs, inner, output, ranges)

    return graph.rebuilt(model, call)


def _wrapped(layer, inputs, inner, output, ranges):
    """What inner gives for inputs in a wrapper of layer's name and weights; it rounds to the range output, or None."""
    step = _step(ranges[graph.parents(layer)[0].name]) if isinstance(layer, layers.Conv2D) else None
    wrapper = quantization.QuantizeWrapperV2(inner, Rule(output, step), name=layer.name)
    outputs = wrapper(inputs)
    for variable, value in zip(wrapper.trainable_variables, layer.get_weights(), strict=True):
        variable.assign(value)
    return outputs


def learning(model, ranges):
    """A twin of a model from operations whose ranges are trained with its weights, from those given on.

    It sums in float and does not care what XNNPACK makes of a LeakyReLU: good to learn from, but no int8 file's equal.
    """
    leaders, kept = shared(model), fakequant.moved(model)
    ends = {leader: LearnedRange(*ranges[leader], name=_range_of(leader)) for leader in _free(model)}

    def call(layer, inputs):
        if isinstance(layer, Split):
            return graph.copied(layer, inputs)
        rounds = layer.name in ranges and layer.name not in kept
        learns = rounds and leaders[layer.name] in ends
        inner = type(layer).from_config(layer.get_config())
        outputs = _wrapped(layer, inputs, inner, ranges[layer.name] if rounds and not learns else None, ranges)
        return ends[leaders[layer.name]](outputs) if learns else outputs

    return graph.rebuilt(model, call)


def learned(model, learner):
    """(ranges, int8 twin) of a model from operations, with the ranges and the weights of a learner of it."""
    ranges = _taken(model, {leader: learner.get_layer(_range_of(leader)).bounds() for leader in _free(model)})
    twin = simulate(model, ranges)
    for layer in twin.layers:
        found = learner.get_layer(layer.name).trainable_variables
        for variable, value in zip(layer.trainable_variables, found, strict=True):
            variable.assign(value)
    return ranges, twin


def _free(model):
    """The leaders whose ranges are a matter of choice, in the order of computation."""
    fixed = _fixed(model)
    return [leader for leader in dict.fromkeys(_leaders(model).values()) if leader not in fixed]


def _range_of(leader):
    return f"{leader}.range"


def _for_converter(layer, ranges):
    """A fresh layer like one from operations, with what XNNPACK makes of a LeakyReLU's slope."""
    config = layer.get_config()
    if isinstance(layer, LeakyReLU):
        config["alpha"] = _stored_slope(layer.alpha, ranges[graph.parents(layer)[0].name], ranges[layer.name])
    return type(layer).from_config(config)


def _as_xnnpack(layer, ranges):
    """As _for_converter, with XNNPACK's arithmetic where its result depends on it."""
    if not isinstance(layer, (layers.Conv2D, *IN_WHOLES)) or layer.name == "pixels":
        return _for_converter(layer, ranges)
    # A ReLU that is one operation with the layer has the range of both.
    given = _step(ranges.get(layer.name) or ranges[graph.children(layer)[0].name])
    taken = [_step(ranges[parent.name]) for parent in graph.parents(layer)]
    if isinstance(layer, layers.Conv2D):
        return xnnpack.WholeConv2D(**layer.get_config(), input_step=taken[0], output_step=given)
    return xnnpack.InWholes(type(layer).from_config(layer.get_config()), IN_WHOLES[type(layer)], taken, given)


def stored(twin):
    """The weights of a model from simulate as its file holds them, in the order of its trainable variables.

    Where a number lies halfway between two steps, converters and twins round it as they like; these are round already.
    """
    values = []
    for wrapper in twin.layers:
        if wrapper.trainable_variables:
            step = wrapper.quantize_config.input_step
            kernel, *bias = wrapper.trainable_variables
            values.append(_Kernel(step, *bias)(kernel, False, {}))
            values.extend(_Bias(step, kernel)(b, False, {}) for b in bias)
    return values


def _stored_slope(slope, taken, given):
    """The slope that XNNPACK makes of a LeakyReLU's between two ranges: see _aligned."""
    ratio = 256 * _step(taken) / _step(given)
    return round(float(slope) * ratio) / ratio


def _step(bounds):
    """What a tensor of a range is stored in multiples of, to the last bit as the file has it: a float32's value."""
    low, high = np.float32(bounds).astype(np.float64)
    return float(np.float32(max(high - low, 1e-20) / 255))


class Rule(quantization.QuantizeConfig):
    """How tfmot quantizes a layer: kernel and bias where there are any, the output unless its range is None.

    input_step: what the values that a convolution takes are multiples of.
    """

    def __init__(self, output, input_step=None):
        self.output, self.input_step = output, input_step

    def get_weights_and_quantizers(self, layer):
        if not isinstance(layer, layers.Conv2D):
            return []
        if not layer.use_bias:
            return [(layer.kernel, _Kernel(self.input_step))]
        return [
            (layer.kernel, _Kernel(self.input_step, layer.bias)),
            (layer.bias, _Bias(self.input_step, layer.kernel)),
        ]

    def set_quantize_weights(self, layer, quantize_weights):
        for name, weight in zip(("kernel", "bias"), quantize_weights, strict=False):
            setattr(layer, name, weight)

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_activations(self, layer, quantize_activations):
        pass  # there are none: activations are layers

    def get_output_quantizers(self, layer):
        if self.output is None:
            return []
        return [quantization.quantizers.FixedQuantizer(8, *self.output, False)]

    def get_config(self):
        return {"output": self.output, "input_step": self.input_step}


class _WithoutState(quantization.quantizers.Quantizer):
    """A quantizer of weights that goes by the weights as they are, not by those of steps before."""

    def build(self, tensor_shape, name, layer):
        return {}

    def get_config(self):
        return {}


class _Kernel(_WithoutState):
    """-127..127 times a 127th of the channel's limit, per output channel, as the converter does."""

    def __init__(self, input_step, bias=None):
        self.input_step, self.bias = input_step, bias

    def __call__(self, inputs, training, weights, **kwargs):
        limit = xnnpack.limit(inputs, self.bias, self.input_step)
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(inputs, -limit, limit, narrow_range=True)


class _Bias(_WithoutState):
    """A whole multiple of the product of the input's and the kernel's step."""

    def __init__(self, input_step, kernel):
        self.input_step, self.kernel = input_step, kernel

    def __call__(self, inputs, training, weights, **kwargs):
        step = self.input_step * xnnpack.limit(self.kernel, inputs, self.input_step) / 127
        return inputs + tf.stop_gradient(tf.round(inputs / step) * step - inputs)
