"""What a network costs, counted as the AIM and NTIRE challenges on efficient super-resolution count:

python -m keras_rfdn.complexity                          every variant at x4, for a 256x256 LR image
python -m keras_rfdn.complexity e-rfdn --height 180 --width 320
"""

import dataclasses
import math

import simple_parsing
import tf_keras as keras

from keras_rfdn import command, models
from keras_rfdn.config import VARIANTS, variant

HD = 720, 1280  # height and width of the output for which papers print Mult-Adds


@dataclasses.dataclass(frozen=True)
class ComplexityConfig:
    """Count parameters, multiply-adds, activations and convolutions of variants."""

    variants: tuple[str, ...] = simple_parsing.field(
        default=(), positional=True, nargs="*", metavar="VARIANT", help="rows of keras_rfdn.config.VARIANTS; none: all"
    )
    scale: int = 4  # 2, 3 or 4
    height: int = 256  # LR pixels
    width: int = 256  # LR pixels


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Counts for one image of a known size."""

    parameters: int
    convolutions: int
    convolution_multiply_adds: int  # papers' "Mult-Adds"
    multiply_adds: int  # the challenges' "FLOPs": those of convolutions, and one for each element of a LeakyReLU
    activations: int  # elements of all convolutions' outputs


def main(config):
    """Prints a table and returns {variant: (Complexity for the LR size given, Complexity for a 1280x720 output)}."""
    hd = [math.ceil(side / config.scale) for side in HD]
    results = {
        name: tuple(of_variant(name, config.scale, *size) for size in ((config.height, config.width), hd))
        for name in config.variants or VARIANTS
    }
    print(
        f"x{config.scale}, G: multiply-adds at {config.height}x{config.width} LR as AIM and NTIRE count, M: activations"
    )
    print(f"{'':11} {'parameters':>10}  {'convolutions':>12}  {'G':>8}  {'M':>8}  Mult-Adds for 1280x720 output, G")
    for name, (asked, large) in results.items():
        print(
            f"{name:11} {asked.parameters:10,}  {asked.convolutions:12}  {asked.multiply_adds / 1e9:8.2f}"
            f"  {asked.activations / 1e6:8.2f}  {large.convolution_multiply_adds / 1e9:33.2f}"
        )
    return results


def of_variant(name, scale, height, width):
    """Complexity of a row of VARIANTS for one LR image of height x width."""
    return count(models.build(variant(name, scale), height=height, width=width))


def count(model):
    """Complexity of a Keras model of fixed height and width (models.build with both given)."""
    if None in model.input_shape[1:]:
        raise ValueError(f"need a model of fixed height and width, got input {model.input_shape}")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    parameters = sum(layer.count_params() for layer in convolutions)
    if parameters != model.count_params():
        raise ValueError(
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


if __name__ == "__main__":
    command.run(main, ComplexityConfig)
