"""Weight averaging ("model soup") of several runs, often better than each where all started from the same weights:

    python -m keras_rfdn.average runs/A runs/B --out mean.h5

Wortsman et al., "Model soups" (ICML 2022), with equal shares. Runs that started from different weights give nonsense.
"""

import dataclasses

import numpy as np
import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import name_of

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint


@dataclasses.dataclass(frozen=True)
class AverageConfig:
    """Average the weights of runs of one network, and write a weight file."""

    # Weight files or workdirs; one named twice counts twice.
    weights: tuple[str, ...] = simple_parsing.field(positional=True, nargs="+", metavar="WEIGHTS")
    out: str  # the weight file to write, .h5


def main(config):
    """Writes the file and returns its ModelConfig. Raises UserError for weights of different networks."""
    paths = [checkpoint.resolve(path) for path in config.weights]
    loaded = [checkpoint.load(file) for file in paths]
    model, model_config = loaded[0]
    for file, (_, other) in zip(paths, loaded, strict=True):
        if other != model_config:
            raise UserError(
                f"weights of one network are needed: {paths[0]} is of {name_of(model_config)} "
                f"x{model_config.scale}, {file} of {name_of(other)} x{other.scale}"
            )
    weights = zip(*(each.get_weights() for each, _ in loaded), strict=True)
    model.set_weights([np.mean(arrays, axis=0) for arrays in weights])
    sources = [{"file": file.name, "sha256": files.sha256(file)} for file in paths]
    checkpoint.save(model, model_config, config.out, variant=name_of(model_config), mean_of=sources)
    print(f"{name_of(model_config)} x{model_config.scale}, mean of {len(paths)} weight files -> {config.out}")
    return model_config


if __name__ == "__main__":
    command.run(main, AverageConfig)
