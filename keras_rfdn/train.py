"""Training:

    python -m keras_rfdn.train --scale 4                      RFDN on DIV2K with the paper's settings
    python -m keras_rfdn.train --scale 4 --data FOLDER        on the images of a folder
    python -m keras_rfdn.train --recipe aim2020-erfdn         a row of keras_rfdn.recipes

A workdir holds config.json, best.h5 and last.h5 (weights that evaluate, upscale and convert take), state/ (what the
same command resumes from), metrics.jsonl, tensorboard/ and, after the last update, summary.json and curve.png.
"""

import contextlib
import dataclasses
import pathlib
import signal
import time

import numpy as np
import simple_parsing
import tensorflow as tf
import tf_keras as keras
from absl import logging

from data import bicubic, folders, pipeline
from keras_rfdn import checkpoint, command, metrics, models, recipes, report, strategies, workdir
from keras_rfdn.config import VARIANTS, variant
from keras_rfdn.progress import Progress
from keras_rfdn.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network; the same command again resumes it. Defaults: the paper's settings (section 4.2)."""

    recipe: str | None = None  # a row of keras_rfdn.recipes.RECIPES, which then decides all but data and devices
    variant: str = "rfdn"  # a row of keras_rfdn.config.VARIANTS
    scale: int = 4  # 2, 3 or 4
    data: str = "div2k"  # div2k, sample, or a folder of HR images (data/folders.py says in which layouts)
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
    # muon takes far fewer updates to the same loss than the paper's adam (keras_rfdn/optimizers.py)
    optimizer: str = simple_parsing.choice(*recipes.OPTIMIZERS, default="adam")
    ema: float = 0.0  # decay of a moving average of the weights, which then is what is validated and kept: 0.999, say
    clip_norm: float = 0.0  # largest norm of all gradients together; 0: not clipped
    mixed_precision: str = simple_parsing.choice(*models.POLICIES, default="float32")  # compute type
    strategy: str = simple_parsing.choice(*strategies.STRATEGIES, default="one")  # devices (keras_rfdn/strategies.py)
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
    with _claimed(folder, config, strategy):
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
        of_stage = [pipeline.at_least(pairs, stage.patch) for stage in stages]
        valid = pipeline.held(valid_source, config.valid_images)
        logging.info("%d training images, %d to validate on, workdir %s", len(pairs), len(valid), folder)

        def stream(stage, start, shard, shards):
            return pipeline.stream(
                of_stage[stage], lr_patch=stages[stage].patch, batch=stages[stage].batch, seed=config.seed + stage,
                start=start, shard=shard, shards=shards,
            )  # fmt: skip

        return fit(model_config, stages, stream, valid, config, folder, strategy)


def fit(model_config, stages, stream, valid, config, folder, strategy=None):
    """Train a fresh network, or go on from the workdir's state. Returns the last validation's record.

    stages: of keras_rfdn.recipes. stream: as for Trainer.batches. valid: (name, lr, hr) images. folder: the workdir.
    Raises trainer.DivergedError, naming the last good checkpoint, when the loss becomes infinite or NaN, and
    RuntimeError when a state can't be saved or another worker is gone.
    """
    keras.utils.set_random_seed(config.seed)
    init = None if (folder / workdir.STATE / "checkpoint").exists() else _init(config)
    trainer = Trainer(model_config, stages, valid, config, folder, strategy=strategy, init=init)
    start, steps = int(trainer.state.step), sum(stage.steps for stage in stages)
    if trainer.mean_over_workers(start) != start:
        raise RuntimeError(f"this worker finds {start} updates in {folder}, others another number; all need one folder")
    if start:
        logging.info("resumed at step %d, best so far %.2f dB", start, float(trainer.state.best_psnr_y))
    if start >= steps:
        logging.info("all %d steps are done; raise --steps to go on, or name another --workdir", start)
        return workdir.records(folder)[-1]
    with _other_workers_gone(folder), _tensorboard(folder, trainer.chief), stop_signals() as stopped:
        record = _train(trainer, stream, start, steps, config, stopped)
    if record.get("step") == steps and trainer.chief:
        summary(trainer, config, folder)
    return record


def _train(trainer, stream, start, steps, config, stopped):
    """The updates from start + 1 to steps, with reports, validation and saving between them."""
    record, progress = {}, Progress(start, steps)
    for step, stage, batch, waited in _batches(trainer, stream, start):
        progress.add(trainer.update(batch, stage), trainer.stages[stage].batch, waited)
        trainer.state.step.assign(step)
        # Workers wait for each other in an update, so all must stop after the same one.
        stop, last = trainer.mean_over_workers(stopped()) > 0, step == steps
        reports, validates = (last or step % every == 0 for every in (config.log_every, config.validate_every))
        saves = validates or stop or trainer.states.minutes_since_save() > config.save_minutes
        if reports or saves:
            trainer.check_finite(progress.mean_loss())
        if reports:
            progress.report(step, trainer.learning_rate())
        if validates and trainer.chief:
            record = trainer.validate(progress)
            workdir.add_record(trainer.folder, record)
        if saves and trainer.chief:
            trainer.save()
        if stop and not last:
            logging.info("stopped at step %d; the same command goes on from there", step)
        if stop or last:
            break
    return record


def _batches(trainer, stream, start):
    """Yields (update's number, stage, batch, seconds waited for it) of all stages from update start + 1 on."""
    first = 0
    for stage, settings in enumerate(trainer.stages):
        end = first + settings.steps
        if start < end:
            batches = trainer.batches(stream, stage, max(0, start - first))
            for step in range(max(start, first) + 1, end + 1):
                asked = time.monotonic()
                batch = next(batches)
                yield step, stage, batch, time.monotonic() - asked
        first = end


def summary(trainer, config, folder):
    """Print what a finished run came to, and write summary.json and curve.png. Returns what summary.json says."""
    from keras_rfdn import plots  # matplotlib, which most runs of this module never need

    records = workdir.records(folder)
    scale = trainer.model_config.scale
    baseline = [metrics.psnr_y(bicubic.upscale(lr, scale), hr, shave=scale) for _, lr, hr in trainer.valid]
    best = max(records, key=lambda record: record["psnr_y"])
    result = {
        "variant": config.variant,
        "scale": scale,
        "recipe": config.recipe,
        "parameters": trainer.model.count_params(),
        "steps": records[-1]["step"],
        "hours": records[-1]["hours"],
        "best_psnr_y": best["psnr_y"],
        "best_step": best["step"],
        "last_psnr_y": records[-1]["psnr_y"],
        "bicubic_psnr_y": float(np.mean(baseline)),
        "images_per_second": float(np.median([record["images_per_second"] for record in records])),
        "data_wait": float(np.median([record["data_wait"] for record in records])),
    }
    report.write_json(folder / "summary.json", result)
    plots.curve(records, folder / "curve.png", baseline=result["bicubic_psnr_y"])
    cells = [[key, f"{value:.4g}" if isinstance(value, float) else value] for key, value in result.items()]
    print(report.table(["run", str(folder)], cells))
    return result


def _init(config):
    """The weight file that a run starts from, or None."""
    source = config.recipe and recipes.recipe(config.recipe).starts_from
    path = config.init or (source and checkpoint.RUNS / source)
    if source and not config.init and not path.exists():
        raise ValueError(
            f"recipe {config.recipe} starts from the weights of {source}: train that first, or name any of its network "
            f"({VARIANTS[config.variant].block}) with --init"
        )
    return path and checkpoint.resolve(path)


def _check(config):
    for field in ("validate_every", "log_every", "valid_images"):
        if getattr(config, field) <= 0:
            raise ValueError(f"--{field} must be above 0, got {getattr(config, field)}")
    for field in ("clip_norm", "seed"):
        if getattr(config, field) < 0:
            raise ValueError(f"--{field} must be 0 or above, got {getattr(config, field)}")
    if not 0 <= config.ema < 1:
        raise ValueError(f"--ema must be from 0 to below 1, got {config.ema}")
    fixed = (
        ("mixed_precision", models.POLICIES),
        ("strategy", strategies.STRATEGIES),
        ("optimizer", recipes.OPTIMIZERS),
    )
    for field, choices in fixed:
        if getattr(config, field) not in choices:
            raise ValueError(f"--{field} must be one of {', '.join(choices)}, got {getattr(config, field)}")


def _claimed(folder, config, strategy):
    """The workdir for this run alone; only the chief of several workers needs to ask."""
    if not strategies.is_chief(strategy):
        return contextlib.nullcontext()
    return workdir.claimed(folder, config, resumable=RESUMABLE - ({"steps"} if config.schedule == "cosine" else set()))


def _tensorboard(folder, chief):
    """tf.summary's writer as a context; workers but the chief write nothing."""
    if not chief:
        return tf.summary.create_noop_writer().as_default()
    return tf.summary.create_file_writer(str(folder / "tensorboard")).as_default()


@contextlib.contextmanager
def _other_workers_gone(folder):
    """Say what a lost worker means, instead of TensorFlow's pages about collective operations."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            f"another worker is gone ({str(error).splitlines()[0]}). The same command on all hosts goes on from the "
            f"last state in {folder}"
        ) from error


@contextlib.contextmanager
def stop_signals():
    """The first Ctrl-C or SIGTERM does not kill; the function handed out tells whether it came. The second one does."""
    came = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def take(number, _):
        came.append(number)
        restore()

    for number in before:
        signal.signal(number, take)
    try:
        yield lambda: bool(came)
    finally:
        restore()


if __name__ == "__main__":
    command.run(main, TrainConfig, preset=recipes.preset)
