"""Import of released weights of other frameworks into a weight file of ours, without those frameworks:

    python -m keras_rfdn.import_weights RFDN_AIM.pth --out e-rfdn.h5
    python -m keras_rfdn.import_weights VDSR_Official.mat --scale 3 --out vdsr-x3.h5      one file for all scales

Network, format and scale are told by what the file holds. Other commands take the file itself too, where it serves one
scale. Which networks those are: keras_rfdn/checkpoints/releases.py.
"""

import dataclasses
import pathlib

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from keras_rfdn.checkpoints import author_weights, checkpoint


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Turn released weights of another framework into a weight file of ours."""

    file: str = simple_parsing.field(positional=True, metavar="FILE")
    out: str  # the weight file to write, .h5
    scale: int | None = choice(*SCALES, default=None)  # where the file serves several


def main(config):
    """Writes the file and returns (variant, configuration)."""
    check_fields(config)
    released = author_weights.read(config.file, config.scale)
    model, source = author_weights.build(released), pathlib.Path(config.file)
    about = {"variant": released.variant, "source": source.name, "source_sha256": files.sha256(source)}
    checkpoint.save(model, released.config, config.out, **about)
    print(f"{released.variant} x{released.config.scale}, {model.count_params():,} parameters -> {config.out}")
    return released.variant, released.config


if __name__ == "__main__":
    command.run(main, ImportConfig)
