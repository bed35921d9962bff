"""Untying: a functional Keras model with one layer for each operation, of the few kinds that quantization knows.

Layers that are called several times become several, with the same weights; models inside a model are opened; an
activation that is an argument of a convolution becomes a layer. The float function stays the same.
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.networks.calls import calls
from keras_rfdn.networks.layers import PixelShuffle
from keras_rfdn.tflite.quantization import graph

# Activations by name or function, as layers. Others stay what they are, and int8 refuses them.
ACTIVATION_LAYERS = {keras.activations.relu: layers.ReLU}
FUNCTIONS_OF_TENSORS = "TFOpLambda", "SlicingOpLambda"  # Keras' layers of TensorFlow's functions
# What TensorFlow's functions and Python's operators on Keras tensors are as layers; without attributes.
FUNCTION_LAYERS = {
    "__operators__.add": layers.Add,
    "math.add": layers.Add,
    "__operators__.sub": layers.Subtract,
    "math.subtract": layers.Subtract,
    "__operators__.mul": layers.Multiply,
    "math.multiply": layers.Multiply,
    "nn.relu": layers.ReLU,
    "nn.gelu": lambda **kwargs: layers.Activation(keras.activations.gelu, **kwargs),
    "nn.silu": lambda **kwargs: layers.Activation(keras.activations.swish, **kwargs),
    "math.sigmoid": lambda **kwargs: layers.Activation(keras.activations.sigmoid, **kwargs),
    "math.tanh": lambda **kwargs: layers.Activation(keras.activations.tanh, **kwargs),
}


def untie(model: keras.Model, *, input_shape=None) -> keras.Model:
    """The same function of fresh layers in float32, each called once. input_shape: as for graph.rebuild."""
    batch, *shape = input_shape or model.input_shape
    first = next(layer for layer in model.layers if isinstance(layer, layers.InputLayer))
    lr = keras.Input(shape, batch, name=first.name, dtype="float32")
    return keras.Model(lr, _run(model, lr, graph.Names(first.name), ""), name=model.name)


def _run(model, x, names, prefix):
    """Output of fresh layers for x."""
    values = {id(model.input): x}
    for node in calls(model):
        if node.is_input:
            continue
        layer, name = node.layer, names.fresh(prefix + node.layer.name)
        inputs = tf.nest.map_structure(lambda tensor: values[id(tensor)], node.input_tensors)
        if isinstance(layer, keras.Model):
            results = _run(layer, inputs, names, f"{name}.")
        elif type(layer).__name__ in FUNCTIONS_OF_TENSORS:
            results = _call_function(layer, [values[id(tensor)] for tensor in node.keras_inputs], node, name)
        else:
            results = _call(layer, inputs, name)
        values.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(results), strict=True))
    return values[id(model.output)]


def _call(layer, inputs, name):
    """What the layer gives for inputs, by layers of the known kinds where it is one of them in other words."""
    if isinstance(layer, layers.Activation) and layer.activation in ACTIVATION_LAYERS:
        return ACTIVATION_LAYERS[layer.activation](name=name)(inputs)
    if isinstance(layer, layers.Activation) and layer.activation is keras.activations.linear:
        return inputs
    if isinstance(layer, layers.Dropout | layers.SpatialDropout2D):
        return inputs
    if isinstance(layer, layers.Add | layers.Multiply) and len(inputs) > 2:
        total, *rest = inputs
        for i, other in enumerate(rest, start=1):
            total = type(layer)(name=name if i == len(rest) else f"{name}.{i}")([total, other])
        return total
    if isinstance(layer, layers.SeparableConv2D):
        return _separable(layer, inputs, name)
    if hasattr(layer, "get_merged"):  # branches that are one convolution at inference
        kernel, bias = layer.get_merged()
        conv = layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding="same", name=name)
        return graph.with_weights(conv, inputs, [kernel, bias])
    changes = {"name": name, "dtype": "float32"}
    if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        return graph.copy(layer, inputs, **changes)
    weights = layer.get_weights()
    # Another's initializers need not be known by name, and are of no use.
    changes |= {key: "zeros" for key in layer.get_config() if key.endswith("_initializer")}
    if not layer.use_bias:
        weights, changes["use_bias"] = [*weights, np.zeros(layer.compute_output_shape(layer.input_shape)[-1])], True
    x = graph.copy(layer, inputs, weights, activation=None, **changes)
    return _activate(layer.activation, x, name)


def _activate(activation, x, name):
    if activation is keras.activations.linear:
        return x
    make = ACTIVATION_LAYERS.get(activation)
    name = f"{name}.{getattr(activation, '__name__', 'activation')}"
    return make(name=name)(x) if make else layers.Activation(activation, name=name)(x)


def _separable(layer, inputs, name):
    depthwise, pointwise, *bias = layer.get_weights()
    channels = depthwise.shape[2] * layer.depth_multiplier
    config = layer.get_config()
    options = {key: config[key] for key in ("strides", "padding", "dilation_rate", "depth_multiplier")}
    first = layers.DepthwiseConv2D(layer.kernel_size, name=f"{name}.depthwise", **options)
    x = graph.with_weights(first, inputs, [depthwise, np.zeros(channels)])
    last = layers.Conv2D(layer.filters, 1, name=name)
    return _activate(
        layer.activation, graph.with_weights(last, x, [pointwise, *(bias or [np.zeros(layer.filters)])]), name
    )


def _call_function(layer, tensors, node, name):
    """A TensorFlow function on Keras tensors, as a layer. One that is none of FUNCTION_LAYERS is copied as it is."""
    symbol = getattr(layer, "symbol", None)
    args, kwargs = node.call_args, {k: v for k, v in node.call_kwargs.items() if k != "name" and v is not None}
    if symbol in ("nn.depth_to_space", "compat.v1.depth_to_space"):
        block = kwargs.get("block_size", args[1] if len(args) > 1 else None)
        return PixelShuffle(int(block), name=name)(tensors[0])
    if symbol in FUNCTION_LAYERS and not (symbol == "nn.gelu" and kwargs.get("approximate")):
        operands = [*args, *kwargs.values()]
        numbers = [value for value in operands if isinstance(value, int | float) and not isinstance(value, bool)]
        make = FUNCTION_LAYERS[symbol]
        if not numbers:
            return make(name=name)(tensors if len(tensors) > 1 else tensors[0])
        if len(tensors) == 1 and len(operands) == 2:  # a number and a tensor
            if make is layers.Multiply:
                return layers.Rescaling(numbers[0], name=name)(tensors[0])
            if make is layers.Add:
                return layers.Rescaling(1.0, numbers[0], name=name)(tensors[0])
            if make is layers.Subtract and not isinstance(operands[0], int | float):
                return layers.Rescaling(1.0, -numbers[0], name=name)(tensors[0])
    values = iter(tensors)
    fill = lambda value: next(values) if tf.keras.backend.is_keras_tensor(value) else value  # noqa: E731
    args, kwargs = tf.nest.map_structure(fill, (args, dict(node.call_kwargs)))
    return type(layer).from_config(layer.get_config() | {"name": name})(*args, **kwargs)
