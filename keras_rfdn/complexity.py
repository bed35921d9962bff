"""What a network costs, counted as the AIM and NTIRE challenges on efficient super-resolution count:

python -m keras_rfdn.complexity                          every variant at x4, for a 256x256 LR image
python -m keras_rfdn.complexity e-rfdn --height 180 --width 320
"""

import dataclasses
import math

import simple_parsing
import tf_keras as keras

from keras_rfdn import command, models, report
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
    results = {
        name: tuple(
            of_variant(name, config.scale, *size) for size in ((config.height, config.width), hd_input(config.scale))
        )
        for name in config.variants or VARIANTS
    }
    rows = [
        [
            name,
            f"{asked.parameters:,}",
            asked.convolutions,
            f"{asked.multiply_adds / 1e9:.2f}",
            f"{asked.activations / 1e6:.2f}",
            f"{large.convolution_multiply_adds / 1e9:.2f}",
        ]
        for name, (asked, large) in results.items()
    ]
    print(f"x{config.scale}; G, M: multiply-adds and activations at {config.height}x{config.width} LR as AIM counts")
    print(report.table(["", "parameters", "convolutions", "G", "M", "Mult-Adds for 1280x720, G"], rows))
    return results


def hd_input(scale):
    """(height, width) of the smallest LR image whose output covers 1280x720."""
    return tuple(math.ceil(side / scale) for side in HD)


def of_variant(name, scale, height, width):
    """Complexity of a row of VARIANTS for one LR image of height x width."""
    return of_config(variant(name, scale), height, width)


def of_config(config, height, width):
    """Complexity of a ModelConfig's network for one LR image of height x width."""
    return count(models.build(config, height=height, width=width))


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
