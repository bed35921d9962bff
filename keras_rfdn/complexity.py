"""Complexity of networks, counted as the AIM and NTIRE challenges on efficient super-resolution count:

python -m keras_rfdn.complexity                          every variant at x4, for a 256x256 LR image
python -m keras_rfdn.complexity e-rfdn --height 180 --width 320
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.networks.config import SCALES, SMALLEST_INPUT, VARIANTS

with lazy_imports():
    from keras_rfdn.networks import complexity


@dataclasses.dataclass(frozen=True)
class ComplexityConfig:
    """Count parameters, multiply-adds, activations and convolutions of variants."""

    variants: tuple[str, ...] = simple_parsing.field(
        default=(),
        positional=True,
        nargs="*",
        metavar="VARIANT",
        help="rows of networks.config.VARIANTS; none: all",
    )
    scale: int = choice(*SCALES, default=4)
    height: int = number(256, least=SMALLEST_INPUT)  # LR pixels
    width: int = number(256, least=SMALLEST_INPUT)  # LR pixels


def main(config):
    """Prints a table and returns {variant: (Complexity for the LR size given, Complexity for a 1280x720 output)}."""
    check_fields(config)
    results = {
        name: tuple(
            complexity.of_variant(name, config.scale, *size)
            for size in ((config.height, config.width), complexity.hd_input(config.scale))
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
    print(text_table(["", "parameters", "convolutions", "G", "M", "Mult-Adds for 1280x720, G"], rows))
    return results


if __name__ == "__main__":
    command.run(main, ComplexityConfig)
