"""An int8 TFLite file simulated in float: the same network with every tensor rounded as TFLite's kernels round it.

    model = operations(folded)
    twin = simulate(model, calibrate(model, frames))

A tensor of a .tflite has a scale and a zero point: 256 values over a range. A kernel has a scale per output channel.
The twin rounds where the file rounds: after every operation with a scale of its own, not where TFLite fuses (ReLU), and
not where an operation only moves values, for its output has its input's scale then. It is made of tfmot's wrappers, so
it can be trained, and TFLite's converter takes its ranges as they are.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.layers import Contrast, LeakyReLU, ResizeLike, Split
from tflite import fakequant, graph
from tflite.ranges import SATURATED

SHRINK = np.linspace(1, 0.1, 46)  # parts of a range that least_error tries

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


class WholeConv2D(layers.Conv2D):
    """A convolution as XNNPACK computes it: in whole numbers, times one float32 per channel, rounded half to even.

    Whole numbers are exact in float32 below 2^24, which sums of 3x3 kernels of some hundred channels stay below. Float
    sums would now and then fall on the other side of a half, and where one value does all that follow from it do.
    input_step, output_step: of what it takes and gives. The wrapper has rounded kernel and bias when it is called.
    """

    def __init__(self, *args, input_step, output_step, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_step, self.output_step = input_step, output_step

    def call(self, inputs):
        kernel_step = _divided(_limit(self.kernel, self.bias, self.input_step), 127)
        taken = _rounded(inputs / self.input_step)
        total = tf.nn.conv2d(taken, _rounded(self.kernel / kernel_step), self.strides, self.padding.upper())
        if self.use_bias:
            total += _rounded(self.bias / (self.input_step * kernel_step))
        factor = _divided(self.input_step * kernel_step, self.output_step)
        return _rounded(total * factor) * self.output_step


def _divided(x, number):
    """x / number, to the last bit of float32, whatever TensorFlow's graph optimizer makes of divisions by constants."""
    return tf.cast(tf.cast(x, tf.float64) / number, tf.float32)


class InWholes(layers.Layer):
    """A layer whose result is rounded by the whole numbers that XNNPACK's kernel rounds it by; the gradient is its own.

    layer: what it stands for. whole(self, taken, smooth): int32 inputs in multiples of self.steps -> the result in
    multiples of self.step; smooth is what layer gives.
    """

    def __init__(self, layer, whole, steps, step):
        super().__init__(name=layer.name)
        self.layer, self.whole, self.steps, self.step = layer, whole, steps, step

    def call(self, inputs):
        smooth = self.layer(inputs)
        tensors = tf.nest.flatten(inputs)
        taken = [tf.cast(tf.round(x / step), tf.int32) for x, step in zip(tensors, self.steps, strict=True)]
        whole = tf.cast(self.whole(self, taken, smooth), tf.float32)
        return smooth + tf.stop_gradient(whole * self.step - smooth)


def _requantized(op, taken, _):
    """A factor in whole 256ths."""
    return _shifted(taken[0] * round(256 * op.steps[0] / op.step), 8)


def _leaky(op, taken, _):
    """Two factors in whole 256ths."""
    factor = 256 * op.steps[0] / op.step
    slope = float(op.layer.alpha)
    return _shifted(taken[0] * tf.where(taken[0] < 0, round(factor * slope), round(factor)), 8)


def _added(op, taken, _):
    """Factors in 21 bits or less, the larger one in just as many."""
    factors = [step / op.step for step in op.steps]
    shift = 21 - math.frexp(max(factors))[1]
    return _shifted(sum(x * round(math.ldexp(f, shift)) for x, f in zip(taken, factors, strict=True)), shift)


def _resized(_, taken, smooth):
    """Places between pixels in whole 2048ths."""
    x, size = taken[0], tf.shape(smooth)[1:3]
    (top, bottom, down), (left, right, across) = (_between(tf.shape(x)[i + 1], size[i]) for i in range(2))
    rows = [tf.gather(x, row, axis=1) for row in (top, bottom)]
    upper, lower = (_mixed(tf.gather(r, left, axis=2), tf.gather(r, right, axis=2), across[:, None]) for r in rows)
    return _shifted(_mixed(upper, lower, down[:, None, None]), 22)


def _mixed(first, second, part):
    return first * 2048 + (second - first) * part


def _between(old, new):
    """Of each of `new` pixels of a side: index of the old pixel before it and after it, and where it is, in 2048ths."""
    ratio = tf.cast(old, tf.float32) / tf.cast(new, tf.float32)
    places = tf.range(tf.cast(new, tf.float32)) * ratio + (0.5 * ratio - 0.5)
    places = tf.clip_by_value(places, 0.0, tf.cast(old - 1, tf.float32))
    first = tf.cast(places, tf.int32)
    part = tf.cast(tf.round((places - tf.cast(first, tf.float32)) * 2048), tf.int32)
    return first, tf.minimum(first + 1, old - 1), part


def _shifted(x, bits):
    """x / 2^bits in whole numbers, halves up."""
    return tf.bitwise.right_shift(x + 2 ** (bits - 1), bits)


# What XNNPACK computes by whole numbers of its own; other results are the same whichever way they are computed.
IN_WHOLES = {
    layers.Add: _added,
    LeakyReLU: _leaky,
    Requantized: _requantized,
    ResizeLike: _resized,
    layers.UpSampling2D: _resized,
}


def _rounded(x):
    """x in whole numbers, halves to even, with the gradient of x."""
    return x + tf.stop_gradient(tf.round(x) - x)


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

    Raises ValueError for a layer that there is no rule for.
    """
    for layer in model.layers[1:]:
        if not isinstance(layer, COMPUTING + fakequant.MOVERS) and not _is_sigmoid(layer):
            known = ", ".join(sorted(kind.__name__ for kind in COMPUTING + fakequant.MOVERS))
            raise ValueError(
                f"no rule for {layer.name} ({type(layer).__name__}) in int8; there is one for {known} and sigmoids"
            )
    return fakequant.shared(model)


def _is_sigmoid(layer):
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.sigmoid


def _is_fused(layer):
    """Whether TFLite makes one operation of the layer and the ReLU behind it, with no tensor between them."""
    children = graph.children(layer)
    return isinstance(layer, layers.Conv2D | layers.Add) and [type(child) for child in children] == [layers.ReLU]


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
        followed = graph.children(model.get_layer(name))
        reach = SATURATED if len(followed) == 1 and _is_sigmoid(followed[0]) else math.inf
        found[name] = fit(np.clip(np.concatenate(parts), -reach, reach), _slope(model.get_layer(name)))
    fixed = {layer.name: fakequant.GATE for layer in model.layers if _is_sigmoid(layer)}
    fixed |= {leaders["pixels"]: fakequant.PIXELS, leaders[model.layers[-1].name]: fakequant.PIXELS}
    return _aligned(model, {name: _with_zero((found | fixed)[leader]) for name, leader in leaders.items()})


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
    children = graph.children(layer)
    return float(children[0].alpha) if [type(child) for child in children] == [LeakyReLU] else 1.0


def minmax(values, slope=1.0):
    """The range of the values and 0, which a range of TFLite must hold; 0 to 1 where a ReLU never fires.

    A tiny range instead would be one that XNNPACK refuses: it multiplies by less than 256.
    """
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return low, high if high > low else 1.0


def least_error(values, slope=1.0):
    """The range within minmax whose 256 steps stand for the values with the least squared error.

    slope: the errors of negative values count behind a LeakyReLU of this slope.
    """
    low, high = minmax(values)
    weight = np.where(values < 0, slope, 1.0)

    def error(low, high):
        step = max(high - low, 1e-20) / 255
        first = np.round(low / step)
        return np.square(weight * (np.clip(np.round(values / step), first, first + 255) * step - values)).sum()

    for _ in range(2):
        high = min(high * SHRINK, key=lambda candidate: error(low, candidate))
        low = min(low * SHRINK, key=lambda candidate: error(candidate, high))
    return float(low), float(high)


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
        step = _step(ranges[graph.parents(layer)[0].name]) if isinstance(layer, layers.Conv2D) else None
        rule = Rule(output, step)
        inner = _for_converter(layer, ranges) if for_converter else _as_xnnpack(layer, ranges)
        wrapper = quantization.QuantizeWrapperV2(inner, rule, name=layer.name)
        outputs = wrapper(inputs)
        for variable, value in zip(wrapper.trainable_variables, layer.get_weights(), strict=True):
            variable.assign(value)
        return outputs

    return graph.rebuilt(model, call)


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
        return WholeConv2D(**layer.get_config(), input_step=taken[0], output_step=given)
    return InWholes(type(layer).from_config(layer.get_config()), IN_WHOLES[type(layer)], taken, given)


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
        limit = _limit(inputs, self.bias, self.input_step)
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(inputs, -limit, limit, narrow_range=True)


class _Bias(_WithoutState):
    """A whole multiple of the product of the input's and the kernel's step."""

    def __init__(self, input_step, kernel):
        self.input_step, self.kernel = input_step, kernel

    def __call__(self, inputs, training, weights, **kwargs):
        step = self.input_step * _limit(self.kernel, inputs, self.input_step) / 127
        return inputs + tf.stop_gradient(tf.round(inputs / step) * step - inputs)


def _limit(kernel, bias, input_step):
    """Largest magnitude of each output channel, or what keeps its bias within 2^30 steps where that is more.

    A bias is stored as an int32 in steps of the input's times the kernel's: a channel of tiny numbers would have none
    that fits, and the converter says nothing.
    """
    limit = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=[0, 1, 2]), 1e-20)
    if bias is not None:
        limit = tf.maximum(limit, tf.abs(bias) * (127 / 2**30 / input_step))
    return tf.stop_gradient(limit)
