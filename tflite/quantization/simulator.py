"""Int8 simulator: a lowered network with every tensor, kernel and bias rounded as the int8 .tflite file rounds it.

The simulated network is made of tensorflow-model-optimization's wrappers: one for each layer, which rounds the layer's
weights, and its output where the file stores one (scheme.Scheme). What a layer computes inside is chosen by who asks:

    simulate(quantized)           XNNPACK's whole numbers: what the file gives, to the last bit
    make_trainable(quantized)     float sums, ranges learned beside the weights; export_learned takes the result back
    simulate_switched(quantized)  float sums, every rounding with a switch of its own, for sensitivity analysis
    for_converter(quantized)      what TensorFlow's converter turns into the int8 file
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.layers import LeakyReLU, ResizeLike, Split
from keras_rfdn.tflite.quantization import graph, xnnpack
from keras_rfdn.tflite.quantization.int8_ops import PIXELS, Requantize, Rsqrt, Sqrt, SquaredDifference
from keras_rfdn.tflite.quantization.scheme import Range, Scheme, output_tensor
from keras_rfdn.tflite.quantization.tensor_statistics import complete_ranges, step_size

tfmot_keras = tfmot.quantization.keras

# What XNNPACK computes by whole numbers of its own, besides convolutions.
INTEGER_OPS = {
    layers.Add: xnnpack.add,
    layers.Subtract: xnnpack.subtract,
    layers.Multiply: xnnpack.multiply,
    LeakyReLU: xnnpack.leaky_relu,
    layers.LeakyReLU: xnnpack.leaky_relu,
    Requantize: xnnpack.requantize,
    ResizeLike: xnnpack.resize,
    layers.UpSampling2D: xnnpack.resize,
    SquaredDifference: xnnpack.squared_difference,
    Sqrt: xnnpack.square_root,
    Rsqrt: xnnpack.reciprocal_root,
}


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A network with all that int8 needs to know of it.

    model: lowered (int8_ops.lower_to_int8_ops), float, of open size. ranges: {tensor: (low, high)}. absmax:
    {convolution: 127 quantization steps of its kernel, at least, float32 [output channels]}. A tensor or convolution
    that is in neither stays in float; with none missing the file is fully integer.
    """

    model: keras.Model
    scheme: Scheme
    ranges: dict[str, Range]
    absmax: dict[str, np.ndarray]


def simulate(quantized: Quantized) -> keras.Model:
    """Network that gives what LiteRT gives for the int8 file: float32 grey levels [n, h, w, 3], whole numbers."""
    return _wrap_all(quantized, lambda layer: _integer_layer(layer, quantized), _fixed_range(quantized))


def for_converter(quantized: Quantized, input_shape) -> keras.Model:
    """Network of fake-quantization operations and rounded weights, of which TFLite's converter makes the int8 file.

    It lacks what the converter puts in by itself and stumbles over when it is there already.
    """

    def output(layer):
        own = isinstance(layer, Requantize) and layer.name != PIXELS
        return None if own else _fixed_range(quantized)(layer)

    result = _wrap_all(quantized, lambda layer: _float_layer(layer, quantized), output, input_shape=input_shape)
    # Rounded here: where a number lies halfway between two steps, converters and simulations round it as they like.
    for name in quantized.absmax:
        wrapper = result.get_layer(name)
        grid, (kernel, *biases) = wrapper.quantize_config.grid, wrapper.trainable_variables
        layer, grouped = wrapper.layer, graph.as_grouped(kernel, wrapper.layer)
        rounded = [_on_grid(grid, layer, kernel, *biases), *(grid.bias(bias, grouped) for bias in biases)]
        for variable, value in zip(wrapper.trainable_variables, rounded, strict=True):
            variable.assign(value)
    return result


def simulate_switched(quantized: Quantized, names: list[tuple[str, str]]) -> tuple[keras.Model, tf.Variable]:
    """(network, its switches): float sums, and each rounding called in names on where its switch is True.

    names: ("tensor", tensor) or ("kernel", convolution) each; all other roundings are off. A bias is never rounded.
    """
    switches, fixed_range = tf.Variable(tf.zeros([len(names)], tf.bool)), _fixed_range(quantized)

    def is_on(name):
        i = names.index(name)
        return lambda: switches[i]

    def output(layer):
        name = ("tensor", layer.name)
        return Switched(fixed_range(layer), is_on(name)) if name in names else None

    def grid(layer):
        name = ("kernel", layer.name)
        return _weight_grid(layer, quantized, is_on(name)) if name in names else None

    return _wrap_all(quantized, _plain_layer, output, grid=grid), switches


def make_trainable(quantized: Quantized) -> keras.Model:
    """Network whose weights and ranges are trained, from those given on.

    It sums in float and so may be a step off now and then: good to learn from, but not the file's equal.
    """
    scheme, fixed_range = quantized.scheme, _fixed_range(quantized)
    learned = {leader: LearnedRange(*quantized.ranges[leader], name=_range_of(leader)) for leader in scheme.free()}

    def is_learned(layer):
        return scheme.is_rounded(layer.name) and scheme.leaders[layer.name] in learned

    return _wrap_all(
        quantized,
        inner=_plain_layer,
        output=lambda layer: fixed_range(layer) if scheme.is_rounded(layer.name) and not is_learned(layer) else None,
        after=lambda layer, outputs: learned[scheme.leaders[layer.name]](outputs) if is_learned(layer) else outputs,
    )


def export_learned(quantized: Quantized, trained: keras.Model) -> Quantized:
    """Quantized with the ranges and weights of a network from make_trainable of it, which was trained."""
    scheme = quantized.scheme
    model = graph.rebuild(quantized.model, graph.copy)
    for layer in graph.convolutions(model):
        layer.set_weights([v.numpy() for v in trained.get_layer(layer.name).trainable_variables])
    chosen = {leader: trained.get_layer(_range_of(leader)).bounds() for leader in scheme.free()}
    return dataclasses.replace(quantized, model=model, ranges=complete_ranges(model, scheme, chosen))


def _range_of(leader):
    return f"{leader}.range"


def _wrap_all(quantized, inner, output, *, after=None, grid=None, input_shape=None):
    """quantized.model with each layer in a wrapper of its name and weights.

    inner: layer -> what computes in its place. output: layer -> quantizer of its output, or None. after(layer,
    outputs): what is done to the outputs behind the wrapper. grid: layer -> WeightGrid of its weights, or None; by
    default that of the convolutions in quantized.absmax.
    """
    grid = grid or (lambda layer: _weight_grid(layer, quantized))

    def call(layer, inputs):
        if isinstance(layer, Split):  # tfmot gives up on two outputs; these are rounded already
            return graph.copy(layer, inputs)
        config = WeightsAndOutputConfig(output(layer), grid(layer))
        wrapper = tfmot_keras.QuantizeWrapperV2(inner(layer), config, name=layer.name)
        outputs = wrapper(inputs)
        for variable, value in zip(wrapper.trainable_variables, layer.get_weights(), strict=True):
            variable.assign(value)
        return after(layer, outputs) if after else outputs

    return graph.rebuild(quantized.model, call, input_shape=input_shape)


def _weight_grid(layer, quantized, is_on=None):
    if layer.name not in quantized.absmax:
        return None
    name = graph.parents(layer)[0].name
    input_step = step_size(quantized.ranges[name]) if name in quantized.ranges else None
    return WeightGrid(input_step, quantized.absmax[layer.name], is_on)


def _fixed_range(quantized):
    """function: layer -> quantizer that rounds to its tensor's range, or None where the file stores none."""

    def quantizer(layer):
        bounds = quantized.ranges.get(layer.name)
        return None if bounds is None else tfmot_keras.quantizers.FixedQuantizer(8, *bounds, False)

    return quantizer


def _plain_layer(layer):
    return type(layer).from_config(layer.get_config())


def _float_layer(layer, quantized):
    """A fresh layer like one of a lowered network, with what XNNPACK makes of a LeakyReLU's slope.

    That is a factor in whole 256ths: see tensor_statistics.complete_ranges.
    """
    config = layer.get_config()
    taken = graph.parents(layer)[0].name
    if isinstance(layer, layers.LeakyReLU) and {taken, layer.name} <= quantized.ranges.keys():
        ratio = 256 * step_size(quantized.ranges[taken]) / step_size(quantized.ranges[layer.name])
        config["alpha"] = round(float(layer.alpha) * ratio) / ratio
    return type(layer).from_config(config)


def _integer_layer(layer, quantized):
    """As _float_layer, with XNNPACK's arithmetic where its result depends on it."""
    if not isinstance(layer, (*graph.CONVOLUTIONS, *INTEGER_OPS)) or layer.name == PIXELS:
        return _float_layer(layer, quantized)
    given = step_size(quantized.ranges[output_tensor(layer)])
    taken = [step_size(quantized.ranges[parent.name]) for parent in graph.parents(layer)]
    if isinstance(layer, graph.CONVOLUTIONS):
        kind = xnnpack.INTEGER_CONVOLUTIONS[type(layer)]
        absmax = quantized.absmax[layer.name]
        return kind(**layer.get_config(), input_step=taken[0], output_step=given, absmax=absmax)
    return xnnpack.IntegerOp(_float_layer(layer, quantized), INTEGER_OPS[type(layer)], taken, given)


@dataclasses.dataclass(frozen=True)
class WeightGrid:
    """What a convolution's weights are multiples of.

    input_step: step size of what it takes, or None in float. absmax: 127 steps of the kernel, at least, per output
    channel. is_on: function that gives a scalar bool tensor, whether to round, or None for always.
    """

    input_step: float | None
    absmax: np.ndarray
    is_on: object = None

    def kernel(self, kernel, bias=None):
        """-127..127 times a 127th of the channel's absmax, as the converter does."""
        absmax = xnnpack.weight_absmax(kernel, bias if self.input_step else None, self.input_step, self.absmax)
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -absmax, absmax, narrow_range=True)
        return rounded if self.is_on is None else tf.where(self.is_on(), rounded, kernel)

    def bias(self, bias, kernel):
        """A whole multiple of the product of the input's and the kernel's step size."""
        if self.input_step is None or self.is_on is not None:
            return bias
        step = self.input_step * xnnpack.weight_absmax(kernel, bias, self.input_step, self.absmax) / 127
        return bias + tf.stop_gradient(tf.round(bias / step) * step - bias)


class WeightsAndOutputConfig(tfmot_keras.QuantizeConfig):
    """How tfmot quantizes a layer: its weights on a WeightGrid, its output by a quantizer; None: not."""

    def __init__(self, output, grid):
        self.output, self.grid = output, grid

    def get_weights_and_quantizers(self, layer):
        if self.grid is None:
            return []
        # The variables as they are now: set_quantize_weights puts rounded tensors in their place.
        kernel, biases = getattr(layer, _kernel_name(layer)), [layer.bias] if layer.use_bias else []
        quantized_kernel = _Function(lambda value: _on_grid(self.grid, layer, value, *biases))
        quantized_bias = _Function(lambda value: self.grid.bias(value, graph.as_grouped(kernel, layer)))
        return [(kernel, quantized_kernel), *((bias, quantized_bias) for bias in biases)]

    def set_quantize_weights(self, layer, quantize_weights):
        for name, weight in zip((_kernel_name(layer), "bias"), quantize_weights, strict=False):
            setattr(layer, name, weight)

    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_activations(self, layer, quantize_activations):
        pass  # there are none: activations are layers

    def get_output_quantizers(self, layer):
        return [] if self.output is None else [self.output]

    def get_config(self):
        return {"output": self.output, "grid": self.grid}


def _kernel_name(layer):
    return "depthwise_kernel" if isinstance(layer, layers.DepthwiseConv2D) else "kernel"


def _on_grid(grid, layer, kernel, *biases):
    """A convolution's kernel, as Keras has it, on a WeightGrid."""
    rounded = grid.kernel(graph.as_grouped(kernel, layer), *biases)
    return tf.reshape(rounded, kernel.shape)  # of a depthwise kernel the order of numbers is the same


class _Function(tfmot_keras.quantizers.Quantizer):
    """tfmot quantizer without variables, of a function."""

    def __init__(self, function):
        self.function = function

    def build(self, tensor_shape, name, layer):
        return {}

    def __call__(self, inputs, training, weights, **kwargs):
        return self.function(inputs)

    def get_config(self):
        return {}


class Switched(tfmot_keras.quantizers.Quantizer):
    """Quantizer that rounds only while is_on() is true."""

    def __init__(self, quantizer, is_on):
        self.quantizer, self.is_on = quantizer, is_on

    def build(self, tensor_shape, name, layer):
        return self.quantizer.build(tensor_shape, name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        return tf.where(self.is_on(), self.quantizer(inputs, training, weights, **kwargs), inputs)

    def get_config(self):
        return {}


class LearnedRange(layers.Layer):
    """Learned step size quantization: x rounded to the 256 values of a range whose ends are weights.

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
        return _fake_quantize_learnable(inputs, -self.below, tf.identity(self.above))

    def bounds(self) -> Range:
        return -float(self.below), float(self.above)


@tf.custom_gradient
def _fake_quantize_learnable(x, low, high):
    rounded = tf.quantization.fake_quant_with_min_max_vars(x, low, high)

    def gradients(upstream):
        inside, below, above = tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
            gradients=upstream, inputs=x, min=low, max=high
        )
        wider = tf.reduce_sum(inside * (rounded - x)) / (high - low)
        return inside, below - wider, above + wider

    return rounded, gradients
