"""Reproduction of the trainings behind the weights that ship, from stated data by the recipes cpu-...:

    python -m tools.reproduce ../shared                             all, one after the other
    python -m tools.reproduce ../shared --only cpu-rfdn-x4          or some

For each it writes the pairs to learn from (tools/distill.py: LKDN's self-ensemble of the images that
tools/training_images.tsv lists) and trains (keras_rfdn/train.py). The same command again resumes. The weights are then
in WORK/RECIPE/best.h5; tools/release.py makes files and cards of them.
"""

import csv
import dataclasses
import pathlib
import subprocess

import simple_parsing
from absl import logging

from keras_rfdn import train
from keras_rfdn.checkpoints import pretrained
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.training import recipes
from tools import distill

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint

IMAGES = pathlib.Path(__file__).with_name("training_images.tsv")  # with where each is from, and its licence
TEACHER = "weights/lkdn/LKDN_x{scale}.pth"
VALID, VALID_IMAGES = "data/valid/DIV2K100_crops", 100
LARGEST = {2: 96, 3: 96, 4: 256}  # LR pixels a side that the teacher is shown


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """Train the networks that ship by their recipes, one after the other; the same command resumes."""

    shared: str = simple_parsing.field(positional=True, metavar="SHARED")  # has data/ and weights/
    only: tuple[str, ...] = recipes.CONTINUED  # recipes, in this order
    work: str = "runs/reproduce"  # folder of pairs and workdirs
    mixed_precision: str = choice(*recipes.PRECISIONS, default="float32")  # as for keras_rfdn/train.py
    pairs_only: bool = False  # write the pairs and do not train


def main(config):
    """Returns {recipe: the last validation's record}. Raises StoppedError when a training was stopped on the way."""
    check_fields(config)
    shared, work = pathlib.Path(config.shared), pathlib.Path(config.work)
    rows = {name: recipes.recipe(name) for name in config.only}
    if unpinned := [name for name, row in rows.items() if not row.init_sha256]:
        raise UserError(f"{unpinned[0]} is for python -m keras_rfdn.train; here are {', '.join(recipes.CONTINUED)}")
    named, records = images(shared), {}
    for number, (name, row) in enumerate(rows.items(), 1):
        logging.info("%s, %d of %d", name, number, len(rows))
        pairs = work / f"pairs_x{row.scale}"
        teacher = checkpoint.resolve(shared / TEACHER.format(scale=row.scale), scale=row.scale)
        distill.write(named, pairs, [teacher], row.scale, largest=LARGEST[row.scale])
        if config.pairs_only:
            continue
        begin = start(row, shared, work)
        settings = train.TrainConfig(
            recipe=name, data=str(pairs), valid=str(shared / VALID), valid_images=VALID_IMAGES, validate_every=500,
            workdir=str(work / name), init=str(begin), mixed_precision=config.mixed_precision,
            **row.settings(),
        )  # fmt: skip
        records[name] = train.main(settings)
        if records[name].get("step") != row.steps:
            raise StoppedError(f"{name} was stopped on its way; the same command goes on there")
    return records


def images(shared):
    """{name: (HR file, None)} of the training images. Raises UserError when one of them is not there."""
    named = {}
    with open(IMAGES, newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            folder, pattern, count = shared / row["folder"], row["images"], int(row["count"])
            found = sorted(folder.glob(pattern))
            if len(found) != count:
                raise UserError(f"need {count} images {folder}/{pattern}, found {len(found)}; {IMAGES} lists them")
            for path in found:
                named["_".join((folder.name, *path.relative_to(folder).with_suffix("").parts))] = (path, None)
    return named


def start(row, shared, work):
    """Weight file that a recipe pins: the authors' in SHARED/weights, or as WORK/start/NAME.h5 the package's, or where
    those are newer, git's older ones.

    Raises UserError when it is not there.
    """
    if row.init_from == recipes.AUTHORS:
        path = shared / "weights" / row.init_from
        if not path.is_file() or files.sha256(path) != row.init_sha256:
            raise UserError(f"need {path} with SHA-256 {row.init_sha256}; docs/evaluation.md says where to get it")
        return path
    target = work / "start" / f"{row.init_from}.h5"
    if target.is_file() and files.sha256(target) == row.init_sha256:
        return target
    for content in _releases(f"{row.init_from}.h5"):
        with files.atomic_write(target) as partial:
            partial.write_bytes(content)
        if files.sha256(target) == row.init_sha256:
            return target
    raise UserError(
        f"no {row.init_from}.h5 with SHA-256 {row.init_sha256} in {pretrained.FOLDER} or its git history; this needs a "
        f"clone of the project with all its history (git fetch --unshallow)"
    )


def _releases(file):
    """Yields the contents that a file of pretrained.FOLDER has and had, newest first."""
    if (pretrained.FOLDER / file).is_file():
        yield (pretrained.FOLDER / file).read_bytes()
    for commit in _git("log", "--format=%H", "--", file).decode().split():
        yield _git("show", f"{commit}:./{file}")


def _git(*words):
    """Output of git in pretrained.FOLDER; empty where it fails or is not installed."""
    try:
        return subprocess.run(["git", *words], cwd=pretrained.FOLDER, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


if __name__ == "__main__":
    command.run(main, ReproduceConfig)
