"""Complexity of a network: parameters, multiply-adds and activations as the AIM and NTIRE challenges count them."""

import dataclasses
import math

import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig, variant

HD = 720, 1280  # height and width of the output for which papers print Mult-Adds


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Complexity for one image of a known size."""

    parameters: int
    convolutions: int
    convolution_multiply_adds: int  # papers' "Mult-Adds"
    multiply_adds: int  # the challenges' "FLOPs": those of convolutions, and one for each element of a LeakyReLU
    activations: int  # elements of all convolutions' outputs


def hd_input(scale: int) -> tuple[int, int]:
    """Size (height, width) of the smallest LR image whose output covers 1280x720."""
    return tuple(math.ceil(side / scale) for side in HD)


def of_variant(name: str, scale: int, height: int, width: int) -> Complexity:
    """Complexity of a row of VARIANTS for one LR image of height x width."""
    return of_config(variant(name, scale), height, width)


def of_config(config: ModelConfig, height: int, width: int) -> Complexity:
    """Complexity of a ModelConfig's network for one LR image of height x width."""
    return count(models.build(config, height=height, width=width))


def count(model: keras.Model) -> Complexity:
    """Complexity of a Keras model of fixed height and width (models.build with both given)."""
    if None in model.input_shape[1:]:
        raise UserError(f"need a model of fixed height and width, got input {model.input_shape}")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    parameters = sum(layer.count_params() for layer in convolutions)
    if parameters != model.count_params():
        raise UserError(
            f"only convolutions can be counted, with {parameters:,} of {model.count_params():,} parameters here"
        )
    multiply_adds = sum(_elements(layer) * math.prod(layer.kernel.shape[:-1]) for layer in convolutions)
    # The challenges' counter adds one for each element of a LeakyReLU module, and misses ReLUs that are functions.
    leaky = sum(_elements(layer) for layer in model.layers if isinstance(layer, keras.layers.LeakyReLU))
    return Complexity(
        parameters=parameters,
        convolutions=len(convolutions),
        convolution_multiply_adds=multiply_adds,
        multiply_adds=multiply_adds + leaky,
        activations=sum(map(_elements, convolutions)),
    )


def _elements(layer):
    """Elements of a layer's output for one image."""
    return math.prod(layer.output_shape[1:])
