"""Import of the authors' released PyTorch weights into a weight file of ours, without PyTorch:

    python -m keras_rfdn.import_weights RFDN_AIM.pth --out e-rfdn.h5

Other commands take the .pth itself too. Which files those are: keras_rfdn/checkpoints/author_weights.py.
"""

import dataclasses
import pathlib

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files

with lazy_imports():
    from keras_rfdn.checkpoints import author_weights, checkpoint


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Turn released PyTorch weights into a weight file of ours."""

    file: str = simple_parsing.field(positional=True, metavar="FILE.pth")
    out: str  # the weight file to write, .h5


def main(config):
    """Writes the file and returns (variant, ModelConfig)."""
    released = author_weights.read(config.file)
    model, source = author_weights.build(released), pathlib.Path(config.file)
    about = {"variant": released.variant, "source": source.name, "source_sha256": files.sha256(source)}
    checkpoint.save(model, released.config, config.out, **about)
    print(f"{released.variant} x{released.config.scale}, {model.count_params():,} parameters -> {config.out}")
    return released.variant, released.config


if __name__ == "__main__":
    command.run(main, ImportConfig)
