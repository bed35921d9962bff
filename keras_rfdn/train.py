"""Training:

    python -m keras_rfdn.train --scale 4                      RFDN on DIV2K with the paper's settings
    python -m keras_rfdn.train --scale 4 --data FOLDER        on the images of a folder
    python -m keras_rfdn.train --recipe aim2020-erfdn         a row of keras_rfdn.training.recipes

A workdir holds config.json, best.h5 and last.h5 (weights that evaluate, upscale and convert take), state/ (what the
same command resumes from), metrics.jsonl, tensorboard/ and, after the last update, summary.json and curve.png.
"""

import contextlib
import dataclasses
import pathlib

import simple_parsing
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.data.sources import folders
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import variant
from keras_rfdn.training import recipes, strategies, workdir
from keras_rfdn.training.loop import fit


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network; the same command again resumes it. Defaults: the paper's settings (section 4.2)."""

    recipe: str | None = (
        None  # a row of keras_rfdn.training.recipes.RECIPES, which then decides all but data and devices
    )
    variant: str = "rfdn"  # a row of keras_rfdn.networks.config.VARIANTS
    scale: int = 4  # 2, 3 or 4
    data: str = "div2k"  # div2k, sample, or a folder of HR images (data/sources/folders.py says in which layouts)
    extra_data: str | None = None  # folder of HR images to train on besides, Flickr2K for one
    data_dir: str | None = None  # tensorflow-datasets' folder for div2k
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = 10  # validate on the first of them only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    workdir: str | None = None  # by default runs/RECIPE or runs/VARIANT-xSCALE
    init: str | None = None  # weights to start from: a workdir, weight file or released .pth, of any scale
    steps: int = 1_000_000  # updates
    batch: int = 64  # patches, over all devices
    patch: int = 64  # LR pixels
    learning_rate: float = 5e-4
    # halving: by half every halve_every updates; cosine: to 0 at the end
    schedule: str = simple_parsing.choice(*recipes.SCHEDULES, default="halving")
    halve_every: int = 200_000  # updates
    warmup: int = 0  # updates in which the learning rate rises from 0
    loss: str = simple_parsing.choice(*recipes.LOSSES, default="l1")
    # muon takes far fewer updates to the same loss than the paper's adam (keras_rfdn/training/optimizers.py)
    optimizer: str = simple_parsing.choice(*recipes.OPTIMIZERS, default="adam")
    ema: float = 0.0  # decay of a moving average of the weights, which then is what is validated and kept: 0.999, say
    clip_norm: float = 0.0  # largest norm of all gradients together; 0: not clipped
    mixed_precision: str = simple_parsing.choice(*models.POLICIES, default="float32")  # compute type
    strategy: str = simple_parsing.choice(
        *strategies.STRATEGIES, default="one"
    )  # devices (keras_rfdn/training/strategies.py)
    validate_every: int = 5000  # updates
    log_every: int = 100  # updates
    save_minutes: float = 10  # longest time between two saved states
    seed: int = 0


# What may differ when a run is resumed; anything else would make it another run. (steps: not where the learning rate
# of every step depends on it.)
RESUMABLE = {"data_dir", "cache", "steps", "save_minutes", "workdir", "strategy", "validate_every", "log_every"}


def main(config):
    """Trains and returns the last validation's record: step, loss, psnr_y, best_psnr_y, images_per_second, ..."""
    model_config = variant(config.variant, config.scale)
    stages = recipes.stages(config)
    _check(config)
    strategy = strategies.STRATEGIES[config.strategy]()
    name = config.recipe or f"{config.variant}-x{config.scale}"
    folder = pathlib.Path(config.workdir or checkpoint.RUNS / name)
    with _locked(folder, config, strategy):
        train_source, valid_source = pipeline.sources(
            config.data,
            config.scale,
            data_dir=config.data_dir,
            valid=config.valid,
            valid_images=config.valid_images,
            skip_broken=config.skip_broken,
        )
        smallest = min(stage.patch for stage in stages)
        pairs = pipeline.cache(train_source, config.cache, smallest=smallest)
        if config.extra_data is not None:
            extra = folders.find_pairs(config.extra_data, config.scale, skip_broken=config.skip_broken)
            pairs += pipeline.cache(extra, config.cache, smallest=smallest)
        of_stage = [pipeline.drop_small(pairs, stage.patch) for stage in stages]
        valid = pipeline.validation_images(valid_source, config.valid_images)
        logging.info("%d training images, %d to validate on, workdir %s", len(pairs), len(valid), folder)

        def stream(stage, start, shard, shards):
            return pipeline.stream(
                of_stage[stage], lr_patch=stages[stage].patch, batch=stages[stage].batch, seed=config.seed + stage,
                start=start, shard=shard, shards=shards,
            )  # fmt: skip

        return fit(model_config, stages, stream, valid, config, folder, strategy)


def _check(config):
    for field in ("validate_every", "log_every", "valid_images"):
        if getattr(config, field) <= 0:
            raise UserError(f"--{field} must be above 0, got {getattr(config, field)}")
    for field in ("clip_norm", "seed"):
        if getattr(config, field) < 0:
            raise UserError(f"--{field} must be 0 or above, got {getattr(config, field)}")
    if not 0 <= config.ema < 1:
        raise UserError(f"--ema must be from 0 to below 1, got {config.ema}")
    fixed = (
        ("mixed_precision", models.POLICIES),
        ("strategy", strategies.STRATEGIES),
        ("optimizer", recipes.OPTIMIZERS),
    )
    for field, choices in fixed:
        if getattr(config, field) not in choices:
            raise UserError(f"--{field} must be one of {', '.join(choices)}, got {getattr(config, field)}")


def _locked(folder, config, strategy):
    """The workdir for this run alone; only the chief of several workers needs to ask."""
    if not strategies.is_chief(strategy):
        return contextlib.nullcontext()
    return workdir.locked(folder, config, resumable=RESUMABLE - ({"steps"} if config.schedule == "cosine" else set()))


if __name__ == "__main__":
    command.run(main, TrainConfig, preset=recipes.preset)
