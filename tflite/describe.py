"""What is inside a .tflite file: operators, types, sizes, quantization.

python tflite/describe.py MODEL.tflite...
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports

with lazy_imports():
    from keras_rfdn.tflite.inspection import description


@dataclasses.dataclass(frozen=True)
class DescribeConfig:
    """Print what is inside TFLite files."""

    models: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="MODEL.tflite")


def main(config):
    """Prints a table and returns the Description of each file, in their order."""
    descriptions = [description.describe(path) for path in config.models]
    print(description.table(config.models, descriptions))
    return descriptions


if __name__ == "__main__":
    command.run(main, DescribeConfig)
