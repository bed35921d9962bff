"""Reshaping of a .tflite file: the same network for another fixed input size, in a tenth of a second.

python tflite/reshape.py MODEL.tflite 1,360,640,3 OUT.tflite
python tflite/reshape.py MODEL.tflite 1,180,320,3 OUT.tflite --npu     the same bytes out, of what more NPUs take
"""

import dataclasses
import pathlib

import numpy as np
import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system.errors import UserError

with lazy_imports():
    from keras_rfdn.data.system import files
    from keras_rfdn.tflite.conversion import npu
    from keras_rfdn.tflite.conversion import shape as input_shape
    from keras_rfdn.upscaling import litert, reshaping, trial


@dataclasses.dataclass(frozen=True)
class ReshapeConfig:
    """Give a .tflite file another input size. Weights and quantization stay; TensorFlow is not needed."""

    model: str = simple_parsing.field(positional=True)  # .tflite file, of fixed or open size
    shape: str = simple_parsing.field(positional=True)  # 1,HEIGHT,WIDTH,3 in LR pixels
    output: str = simple_parsing.field(positional=True)  # .tflite file to write
    npu: bool = False  # int8: without operators that NPUs refuse, as far as the output stays the same to the bit
    overwrite: bool = False  # write over a file that is there


def main(config):
    """Writes the file and returns its path."""
    height, width = input_shape.parse_shape(config.shape)
    if height is None:
        raise UserError(f"shape must be 1,HEIGHT,WIDTH,3 in LR pixels, got {config.shape}; convert.py makes open files")
    target = pathlib.Path(config.output)
    if target.exists() and not config.overwrite:
        raise UserError(f"{target} is there already; name another file, or say --overwrite")
    content = litert.read_bytes(config.model)
    trial.check(content, config.model)
    content = reshaping.reshape(content, height, width)
    if config.npu:
        content = npu.for_npu(content)
    model = litert.Model(content)
    model.upscale(np.zeros((height, width, 3), np.uint8))  # LiteRT can run it
    with files.atomic_write(target) as partial:
        partial.write_bytes(content)
    print(f"{target}: {height}x{width} to {height * model.scale}x{width * model.scale}, {len(content):,} bytes")
    return target


if __name__ == "__main__":
    command.run(main, ReshapeConfig)
