"""What is inside a .tflite file: operators, types, sizes, quantization.

python tflite/describe.py MODEL.tflite...
python tflite/describe.py MODEL.tflite... --targets     which operators GPUs and NPUs take, and why not the others
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports

with lazy_imports():
    from keras_rfdn.tflite.inspection import description, targets, vela
    from keras_rfdn.upscaling import litert


@dataclasses.dataclass(frozen=True)
class DescribeConfig:
    """Print what is inside TFLite files."""

    models: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="MODEL.tflite")
    # Accelerators instead: how many operators each takes, by published lists, and by Vela where that is installed.
    targets: bool = False


def main(config):
    """Prints a table and returns the Description of each file, in their order; of targets the list of Verdict."""
    if config.targets:
        return _targets(config.models)
    descriptions = [description.describe(path) for path in config.models]
    print(description.table(config.models, descriptions))
    return descriptions


def _targets(models):
    compilers = [name for target in targets.load() for name in target.vela] if vela.find() else []
    found = []
    for path in models:
        content = litert.read_bytes(path)
        found.append([*targets.verdicts(content), *(vela.verdict(content, name) for name in compilers)])
    print(targets.table(models, found))
    print(f"\nBy these lists; a driver may refuse more.\n{targets.sources()}")
    if not compilers:
        print("Arm's own verdict on Ethos-U needs Vela: pip install ethos-u-vela")
    return found


if __name__ == "__main__":
    command.run(main, DescribeConfig)
