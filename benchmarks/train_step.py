"""Training step time: how long an update takes, beside PyTorch's of the same network, and where the time goes.

    python -m benchmarks.train_step --batch 16 --patch 32
    python -m benchmarks.train_step --profile

Both frameworks are given the same weights, batch, loss and optimizer and take turns in one process, data ready in
memory. PyTorch computes channels last, as is fastest on CPUs; where it is not installed (pip install torch), only ours
is timed. TF_ENABLE_ONEDNN_OPTS=1 before the command makes TensorFlow use oneDNN on processors where it does not by
itself.
"""

import collections
import dataclasses
import importlib.util
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.networks.config import SCALES, variant
from keras_rfdn.training import recipes

with lazy_imports():
    from keras_rfdn.training import trainer as trainers


@dataclasses.dataclass(frozen=True)
class TrainStepConfig:
    """Time updates of a network."""

    variant: str = "e-rfdn"  # a row of keras_rfdn.networks.config.VARIANTS
    scale: int = choice(*SCALES, default=4)
    batch: int = number(16, least=1)
    patch: int = number(32, least=1)  # LR pixels
    mixed_precision: str = choice(*recipes.PRECISIONS, default="float32")  # compute type of both
    rounds: int = number(15, least=1)  # timed updates of each
    warmup: int = number(3, least=1)  # updates of each before
    profile: bool = False  # add the operations of an update that take longest
    json: str | None = None  # file for all that was measured


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """What --json writes."""

    settings: TrainStepConfig
    cpu_count: int
    onednn: str | None  # TF_ENABLE_ONEDNN_OPTS
    seconds: dict[str, list[float]]  # {framework: of each update}
    ratio: dict[str, float]  # {framework: to TensorFlow's time in the same round, median over rounds}
    profile: dict[str, float] | None  # {operation: milliseconds an update, summed over threads}


def main(config):
    """Prints a table and returns the StepTimes, which --json writes."""
    check_fields(config)
    with tempfile.TemporaryDirectory() as folder:
        update, model = _tensorflow_update(config, pathlib.Path(folder))
        updates = {"TensorFlow": update}
        if importlib.util.find_spec("torch"):
            updates["PyTorch"] = _torch_update(config, model)
        seconds = _interleaved(updates, config)
        profile = _profile(update, folder) if config.profile else None
    ratios = {name: _ratio(times, seconds["TensorFlow"]) for name, times in seconds.items()}
    result = StepTimes(config, os.cpu_count(), os.environ.get("TF_ENABLE_ONEDNN_OPTS"), seconds, ratios, profile)
    rows = [
        [name, f"{statistics.median(times):.3f}", f"{min(times):.3f}", f"{ratios[name]:.2f}"]
        for name, times in seconds.items()
    ]
    print(text_table(["an update", "s, median", "s, least", "to TensorFlow"], rows))
    if profile:
        total, longest = sum(profile.values()), list(profile.items())[:15]
        print(text_table(["operation", "ms", "of all"], [[o, f"{ms:.1f}", f"{ms / total:.1%}"] for o, ms in longest]))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(result))
    return result


def _batch(config):
    rng, hr_patch = np.random.default_rng(0), config.patch * config.scale
    return (
        rng.integers(0, 256, (config.batch, config.patch, config.patch, 3)).astype(np.uint8),
        rng.integers(0, 256, (config.batch, hr_patch, hr_patch, 3)).astype(np.uint8),
    )


def _tensorflow_update(config, folder):
    """(function that makes one update, the Keras model)."""
    stages = (recipes.Stage(batch=config.batch, patch=config.patch),)
    model_config = variant(config.variant, config.scale)
    trainer = trainers.Trainer(model_config, stages, [], folder, precision=config.mixed_precision)
    import tensorflow as tf

    batch = tuple(map(tf.constant, _batch(config)))
    return lambda: float(trainer.update(batch, 0)), trainer.model


def _torch_update(config, model):
    """Function that makes one update of a PyTorch network with the weights of a Keras model."""
    import torch

    from benchmarks import to_torch

    torch.set_num_threads(os.cpu_count())
    network = to_torch.TorchNetwork(model).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 5e-4, (0.9, 0.999), 1e-8)
    lr, hr = (
        torch.from_numpy(images).float().permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
        for images in _batch(config)
    )
    dtype = getattr(torch, config.mixed_precision)

    def update():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
            sr = network(lr)
        loss = (sr.float() - hr).abs().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return update


def _interleaved(updates, config):
    """{name: seconds of each timed update}, one of each in turn. Raises StoppedError when their losses differ."""
    first = {name: update() for name, update in updates.items()}
    if max(first.values()) - min(first.values()) > 0.02 * max(first.values()):
        raise StoppedError(f"the frameworks disagree about the loss of the same batch: {first}")
    for update in updates.values():
        for _ in range(config.warmup):
            update()
    seconds = {name: [] for name in updates}
    for _ in range(config.rounds):
        for name, update in updates.items():
            started = time.perf_counter()
            update()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _ratio(times, others):
    return statistics.median(own / other for own, other in zip(times, others, strict=True))


PROFILED = 5  # updates


def _profile(update, folder):
    """{operation: milliseconds an update, summed over threads}, by TensorFlow's own profiler."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    tf.profiler.experimental.start(folder)
    for _ in range(PROFILED):
        update()
    tf.profiler.experimental.stop()
    space = xplane_pb2.XSpace()
    (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
    space.ParseFromString(file.read_bytes())
    milliseconds = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            node, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if node and not node.endswith(":") and operation.isidentifier():  # else it is no operation of the graph
                milliseconds[operation] += event.duration_ps / 1e9 / PROFILED
    return dict(milliseconds.most_common())


if __name__ == "__main__":
    command.run(main, TrainStepConfig)
