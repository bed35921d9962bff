"""Training:

    python -m keras_rfdn.train --scale 4                      RFDN on DIV2K with the paper's settings
    python -m keras_rfdn.train --scale 4 --data FOLDER        on the images of a folder
    python -m keras_rfdn.train --recipe aim2020-erfdn         a row of keras_rfdn/training/recipes.py

A workdir holds config.json, best.h5 and last.h5 (weights that evaluate, upscale and convert take), state/ (what the
same command resumes from), metrics.jsonl, tensorboard/ and, after the last update, summary.json and curve.png.
"""

import argparse
import contextlib
import dataclasses
import pathlib

from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SCALES, SMALLEST_INPUT, variant
from keras_rfdn.training import recipes
from keras_rfdn.training.recipes import STAGE_FIELDS, Stage

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.sources import folders
    from keras_rfdn.data.streams import pipeline
    from keras_rfdn.evaluation import scoring
    from keras_rfdn.training import loop, strategies, workdir
    from keras_rfdn.training import summary as summaries
    from keras_rfdn.training import trainer as trainers


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network; the same command again resumes it. Defaults: the paper's settings (section 4.2)."""

    recipe: str | None = None  # a row of keras_rfdn/training/recipes.py, which then decides all but data and devices
    variant: str = "rfdn"  # a row of VARIANTS in keras_rfdn/networks/config.py
    scale: int = choice(*SCALES, default=4)
    # div2k, sample, or a folder of HR images (data/sources/folders.py says in which layouts)
    data: str = "div2k"
    extra_data: str | None = None  # folder of HR images to train on besides, Flickr2K for one
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = number(10, above=0)  # validate on the first of them only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    workdir: str | None = None  # by default runs/RECIPE or runs/VARIANT-xSCALE
    init: str | None = None  # weights to start from: a workdir, weight file or .pth, of any scale, RFDN of any size
    steps: int = number(1_000_000, above=0)  # updates
    batch: int = number(64, above=0)  # patches, over all devices
    patch: int = number(64, least=SMALLEST_INPUT)  # LR pixels
    learning_rate: float = number(5e-4, above=0)
    # halving: by half every halve_every updates; cosine: to 0 at the end
    schedule: str = choice(*recipes.SCHEDULES, default="halving")
    halve_every: int = number(200_000, above=0)  # updates
    warmup: int = number(0, least=0)  # updates in which the learning rate rises from 0
    loss: str = choice(*recipes.LOSSES, default="l1")
    # muon takes far fewer updates to the same loss than the paper's adam (keras_rfdn/training/optimizers.py)
    optimizer: str = choice(*recipes.OPTIMIZERS, default="adam")
    # decay of a moving average of the weights, which then is what is validated and kept: 0.999, say
    ema: float = number(0.0, least=0, below=1)
    clip_norm: float = number(0.0, least=0)  # largest norm of all gradients together; 0: not clipped
    mixed_precision: str = choice(*recipes.PRECISIONS, default="float32")  # compute type
    strategy: str = choice(*recipes.STRATEGIES, default="one")  # devices (keras_rfdn/training/strategies.py)
    validate_every: int = number(5000, above=0)  # updates
    save_minutes: float = number(10, least=0)  # longest time between two saved states
    seed: int = number(0, least=0)


# What may differ when a run is resumed; anything else would make it another run. (steps: not where the learning rate
# of every step depends on it.)
RESUMABLE = {"cache", "steps", "save_minutes", "workdir", "strategy", "validate_every"}


def main(config):
    """Trains and returns the last validation's record: step, loss, psnr_y, best_psnr_y, images_per_second, ..."""
    check_fields(config)
    model_config, stages = variant(config.variant, config.scale), stages_of(config)
    strategy = strategies.STRATEGIES[config.strategy]()
    folder = pathlib.Path(config.workdir or checkpoint.RUNS / (config.recipe or f"{config.variant}-x{config.scale}"))
    with _locked(folder, config, strategy):
        stage_pairs, valid = _images(config, stages)
        logging.info(
            "%d training images, %d to validate on, workdir %s", max(map(len, stage_pairs)), len(valid), folder
        )

        def stream(stage, start, shard, shards):
            return pipeline.stream(
                stage_pairs[stage], lr_patch=stages[stage].patch, batch=stages[stage].batch, seed=config.seed + stage,
                start=start, shard=shard, shards=shards,
            )  # fmt: skip

        trainer = trainers.Trainer(
            model_config, stages, valid, folder,
            optimizer=config.optimizer, ema=config.ema, clip_norm=config.clip_norm, precision=config.mixed_precision,
            init=None if workdir.has_state(folder) else initial_weights(config), strategy=strategy, seed=config.seed,
        )  # fmt: skip
        record = loop.fit(trainer, stream, validate_every=config.validate_every, save_minutes=config.save_minutes)
        if record.get("step") == trainer.steps and trainer.chief:
            summary = summaries.write_summary(trainer, config.recipe)
            cells = [[key, f"{value:.4g}" if isinstance(value, float) else value] for key, value in summary.items()]
            print(text_table(["run", str(folder)], cells))
    return record


def stages_of(config):
    """Stages of the recipe, or the one that the flags describe. Raises UserError when a flag contradicts the recipe."""
    if config.recipe is None:
        return (Stage(**{field: getattr(config, field) for field in STAGE_FIELDS}),)
    row = recipes.recipe(config.recipe)
    for field, value in row.settings().items():
        if getattr(config, field) != value:
            raise UserError(
                f"--{field} {getattr(config, field)} contradicts recipe {config.recipe}, which fixes {value}; "
                f"leave it out, or add a row of your own to keras_rfdn/training/recipes.py"
            )
    return row.stages


def preset(argv):
    """Words of a command line -> the fields of TrainConfig that the --recipe among them decides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe")
    named, _ = parser.parse_known_args(argv[1:])
    return {} if named.recipe is None else {"recipe": named.recipe, **recipes.recipe(named.recipe).settings()}


def initial_weights(config):
    """Path of the weight file that a new run starts from, as --init or the recipe says, or None.

    Raises UserError when the weights that the recipe starts from are not there, or others are named than it pins.
    """
    row = config.recipe and recipes.recipe(config.recipe)
    if not row or not row.init_from:
        return config.init and checkpoint.resolve(config.init)
    if row.init_from == recipes.AUTHORS and not config.init:
        raise UserError(
            f"recipe {config.recipe} starts from the authors' {row.init_from}: name that file with --init; "
            f"docs/evaluation.md says where it is published"
        )
    if row.init_sha256:
        path = checkpoint.resolve(config.init or row.init_from)
        if files.sha256(path) != row.init_sha256:
            raise UserError(
                f"recipe {config.recipe} starts from the weights {row.init_from} of SHA-256 {row.init_sha256}, and "
                f"{path} are others; name that file with --init, or let python -m tools.reproduce take it from git"
            )
        return path
    path = config.init or checkpoint.RUNS / row.init_from
    if not config.init and not path.exists():
        raise UserError(
            f"recipe {config.recipe} starts from the weights of {row.init_from}: train that first, or name any of its "
            f"network ({config.variant}) with --init"
        )
    return checkpoint.resolve(path)


def _images(config, stages):
    """(cached training pairs of each stage, images to validate on)."""
    train_source, valid_source = pipeline.sources(
        config.data, config.scale, valid=config.valid, valid_images=config.valid_images, skip_broken=config.skip_broken
    )
    smallest = min(stage.patch for stage in stages)
    pairs = pipeline.cache(train_source, config.cache, smallest=smallest)
    if config.extra_data is not None:
        extra = folders.find_pairs(config.extra_data, config.scale, skip_broken=config.skip_broken)
        pairs += pipeline.cache(extra, config.cache, smallest=smallest)
    valid = scoring.measurable(pipeline.validation_images(valid_source, config.valid_images), config.scale)
    return [pipeline.drop_small(pairs, stage.patch) for stage in stages], valid


def _locked(folder, config, strategy):
    """The workdir for this run alone; only the chief of several workers needs to ask."""
    if not strategies.is_chief(strategy):
        return contextlib.nullcontext()
    return workdir.locked(folder, config, resumable=RESUMABLE - ({"steps"} if config.schedule == "cosine" else set()))


if __name__ == "__main__":
    command.run(main, TrainConfig, preset=preset)
