"""Functional Keras models layer by layer: what rewriting, equalization and simulation have in common."""

import tensorflow as tf
import tf_keras as keras

CONVOLUTIONS = keras.layers.Conv2D, keras.layers.DepthwiseConv2D


def parents(layer):
    """Layers whose outputs a layer takes, in the order of its inputs."""
    found = layer.inbound_nodes[0].inbound_layers
    return found if isinstance(found, list) else [found]


def children(layer):
    """Layers that take a layer's output."""
    return [node.outbound_layer for node in layer.outbound_nodes]


def only_reader(layer):
    """The layer that alone takes a layer's output; None where none does, or several."""
    readers = children(layer)
    return readers[0] if len(readers) == 1 else None


def convolutions(model):
    """The convolutions, depthwise ones among them, in the order of computation."""
    return [layer for layer in model.layers if isinstance(layer, CONVOLUTIONS)]


def keeps_size(layer):
    """Whether a layer is a convolution whose output is as large as its input."""
    return isinstance(layer, CONVOLUTIONS) and layer.strides == (1, 1) and layer.padding == "same"


def groups_of(convolution):
    """How many groups of channels a convolution keeps apart: each channel by itself in a depthwise one."""
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return convolution.input_shape[-1] if is_depthwise else convolution.groups


def kernel_of(convolution):
    """Its kernel, float32 [h, w, input channels of a group, output channels], and its bias [output channels]."""
    kernel, bias = convolution.get_weights()
    return as_grouped(kernel, convolution), bias


def weights_of(convolution, kernel, bias):
    """What kernel_of gives, as its set_weights takes it."""
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return [kernel.swapaxes(2, 3) if is_depthwise else kernel, bias]


def as_grouped(kernel, convolution):
    """A kernel as Keras has it -> [h, w, input channels of a group, output channels]; arrays and tensors."""
    return kernel[..., 0][:, :, None] if isinstance(convolution, keras.layers.DepthwiseConv2D) else kernel


def is_sigmoid(layer):
    """Whether a layer is that activation by name."""
    return is_activation(layer, keras.activations.sigmoid)


def is_activation(layer, function):
    """Whether a layer is an activation by name."""
    return isinstance(layer, keras.layers.Activation) and layer.activation is function


def walk(model, x, call):
    """What model gives for x when each layer gives call(layer, its inputs). x need be no tensor: call says what is."""
    values = {id(model.input): x}
    for layer in model.layers[1:]:
        inputs = tf.nest.map_structure(lambda tensor: values[id(tensor)], layer.input)
        tensors = tf.nest.flatten(layer.output)
        results = call(layer, inputs)
        values.update(zip(map(id, tensors), results if len(tensors) > 1 else [results], strict=True))
    return values[id(model.output)]


def rebuild(model, call, *, input_shape=None):
    """A new model, each layer of which is call(layer, inputs): copy(layer, inputs), or else.

    input_shape: (n, h, w, c) of the result, None for an open dimension; by default model's own.
    """
    batch, *shape = input_shape or model.input_shape
    lr = keras.Input(shape, batch, name=model.layers[0].name, dtype=model.input.dtype)
    return keras.Model(lr, walk(model, lr, call), name=model.name)


def with_weights(layer, inputs, weights):
    """Output of a fresh layer for inputs, with those weights."""
    outputs = layer(inputs)
    layer.set_weights(weights)
    return outputs


class Names:
    """Names that were given to layers."""

    def __init__(self, *taken):
        self._taken = set(taken)

    def fresh(self, name):
        """name, or for one that was given before name_2, name_3, ..."""
        found, number = name, 2
        while found in self._taken:
            found, number = f"{name}_{number}", number + 1
        self._taken.add(found)
        return found


def copy(layer, inputs, weights=None, **changes):
    """Output of a layer's copy for inputs, with its own weights or those given, and changes to its configuration."""
    duplicate = type(layer).from_config(layer.get_config() | changes)
    outputs = duplicate(inputs)
    duplicate.set_weights(layer.get_weights() if weights is None else weights)
    return outputs
