"""Complexity of a network: parameters, multiply-adds and activations as the AIM and NTIRE challenges count them."""

import dataclasses
import math

import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.calls import calls
from keras_rfdn.networks.config import Config, variant

HD = 720, 1280  # height and width of the output for which papers print Mult-Adds
CONVOLUTIONS = keras.layers.Conv2D, keras.layers.DepthwiseConv2D  # Conv2DTranspose is a Conv2D
LEAKY = keras.layers.LeakyReLU, keras.layers.PReLU  # the challenges' counter misses ReLUs, which are functions


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Complexity for one image of a known size."""

    parameters: int
    convolutions: int
    convolution_multiply_adds: int  # papers' "Mult-Adds"
    multiply_adds: int  # the challenges' "FLOPs": those of convolutions, and one for each element after a LEAKY layer
    activations: int  # elements of all convolutions' outputs


def hd_input(scale: int) -> tuple[int, int]:
    """Size (height, width) of the smallest LR image whose output covers 1280x720."""
    return tuple(math.ceil(side / scale) for side in HD)


def of_variant(name: str, scale: int, height: int, width: int) -> Complexity:
    """Complexity of a row of VARIANTS for one LR image of height x width."""
    return of_config(variant(name, scale), height, width)


def of_config(config: Config, height: int, width: int) -> Complexity:
    """Complexity of a configuration's network for one LR image of height x width."""
    return count(models.build(config, height=height, width=width))


def count(model: keras.Model) -> Complexity:
    """Complexity of a Keras model of fixed height and width (models.build with both given).

    A layer that is called several times has its parameters once, and its multiply-adds at each call. What has no
    weights of its own, bicubic interpolation for one, counts nothing, as in the papers.
    Raises UserError for an open size, and for weights that mix channels in a layer that is no convolution.
    """
    if None in model.input_shape[1:]:
        raise UserError(f"need a model of fixed height and width, got input {model.input_shape}")
    for layer in model.layers:
        if not isinstance(layer, CONVOLUTIONS) and any(_axes(weight) > 1 for weight in layer.weights):
            raise UserError(
                f"only convolutions can be counted, and {layer.name}, a {type(layer).__name__}, has "
                f"{layer.count_params():,} of {model.count_params():,} parameters here"
            )
    convolutions = [call for call in calls(model) if isinstance(call.layer, CONVOLUTIONS)]
    multiply_adds = sum(map(_multiply_adds, convolutions))
    leaky = sum(_elements(call.output_shapes) for call in calls(model) if isinstance(call.layer, LEAKY))
    return Complexity(
        parameters=model.count_params(),
        convolutions=len(convolutions),
        convolution_multiply_adds=multiply_adds,
        multiply_adds=multiply_adds + leaky,
        activations=sum(_elements(call.output_shapes) for call in convolutions),
    )


def _multiply_adds(call):
    """Multiply-adds of one call of a convolution: each output pixel's kernel.

    Of a transposed one, too, as papers count, though all but 1 / stride^2 of those fall on the zeros between pixels.
    """
    match call.layer:
        case keras.layers.Conv2DTranspose(kernel=kernel):  # [height, width, out, in]
            return _elements(call.output_shapes) * math.prod(kernel.shape[:2]) * kernel.shape[3]
        case keras.layers.DepthwiseConv2D(depthwise_kernel=kernel):  # [height, width, in, multiplier]
            return _elements(call.output_shapes) * math.prod(kernel.shape[:2])
        case keras.layers.Conv2D(kernel=kernel):  # [height, width, in of a group, out]
            return _elements(call.output_shapes) * math.prod(kernel.shape[:-1])


def _elements(shape):
    """Elements of a tensor for one image."""
    return math.prod(shape[1:])


def _axes(weight):
    """Axes along which a weight varies: one for a number per channel."""
    return sum(size > 1 for size in weight.shape)
