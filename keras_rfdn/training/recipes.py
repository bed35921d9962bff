"""Recipes: whole trainings under a name, each a frozen row that says where it is from, what to expect, what it costs.

    python -m keras_rfdn.training.recipes                              the table
    python -m keras_rfdn.train --recipe paper-rfdn-x2         one of them

A row of your own goes into RECIPES. No TensorFlow here.
"""

import argparse
import dataclasses

from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT

SCHEDULES = ("halving", "cosine", "constant")
LOSSES = ("l1", "l2", "charbonnier")  # the keys of keras_rfdn.training.losses.LOSSES
OPTIMIZERS = ("adam", "muon")  # the keys of keras_rfdn.training.optimizers.OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of training in which nothing changes but the learning rate. Defaults: the paper, section 4.2."""

    steps: int = 1_000_000  # updates
    batch: int = 64  # patches, over all devices
    patch: int = 64  # LR pixels
    learning_rate: float = 5e-4
    schedule: str = "halving"  # halving: by half every halve_every updates; cosine: to 0 at the end; constant
    halve_every: int = 200_000  # updates
    warmup: int = 0  # updates in which the learning rate rises from 0
    loss: str = "l1"

    def check(self):
        """Raises UserError, naming the flag, for a setting that cannot be trained with."""
        for field in ("steps", "batch", "patch", "learning_rate", "halve_every"):
            if getattr(self, field) <= 0:
                raise UserError(f"--{field} must be above 0, got {getattr(self, field)}")
        if self.warmup < 0:
            raise UserError(f"--warmup must be 0 or above, got {self.warmup}")
        for field, choices in (("schedule", SCHEDULES), ("loss", LOSSES)):
            if getattr(self, field) not in choices:
                raise UserError(f"--{field} must be one of {', '.join(choices)}, got {getattr(self, field)}")
        if self.patch < SMALLEST_INPUT:
            raise UserError(f"--patch must be {SMALLEST_INPUT} LR pixels or more, got {self.patch}")


STAGE_FIELDS = tuple(field.name for field in dataclasses.fields(Stage))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training of one variant at one scale, in one or more stages."""

    source: str  # what it follows
    data: str  # what the source trained on
    expected: str  # the score that it should reach, on luma
    mult_adds: float  # what it costs: of convolutions, forward and twice as many backward, over all updates
    variant: str
    scale: int
    stages: tuple[Stage, ...]
    optimizer: str = "adam"
    starts_from: str | None = None  # recipe whose weights, all but the last convolution, it starts from
    ema: float = 0.0  # decay of the moving average of weights that is validated and kept; 0: the weights themselves
    clip_norm: float = 0.0  # largest norm of all gradients together; 0: not clipped
    note: str = ""  # in what the run behind shipped weights differed

    @property
    def steps(self):
        return sum(stage.steps for stage in self.stages)

    def settings(self):
        """The fields of TrainConfig that the recipe decides: those of its first stage, but steps counts all of them."""
        own = {field: getattr(self, field) for field in ("variant", "scale", "optimizer", "ema", "clip_norm")}
        return {**dataclasses.asdict(self.stages[0]), **own, "steps": self.steps}


_PAPER = {"source": "RFDN paper, section 4.2", "data": "DIV2K", "stages": (Stage(),)}
_OURS = {"source": "this project", "data": "T91, BSDS200 and 91 photographs", "optimizer": "muon"}

_ENSEMBLE = (
    "895 images of E-RFDN x4's thirteenth stage, and for originals the self-ensemble of the weights after it "
    "(tools.distill)"
)
_TAUGHT = _OURS | {"data": _OURS["data"] + "; in the last stage " + _ENSEMBLE}
_BFLOAT16 = "a processor with instructions for bfloat16 (AMD EPYC, Zen 5) and --mixed_precision bfloat16 had"
_SECOND = "the last stage was a run of its own, of --seed {}; " + _BFLOAT16 + " it, on one core; the curve shows it"

RECIPES = {
    "paper-rfdn-x2": Recipe(
        **_PAPER, expected="Set5 38.05, BSD100 32.16 dB", mult_adds=4.13e17, variant="rfdn", scale=2
    ),
    "paper-rfdn-x3": Recipe(
        **_PAPER, expected="Set5 34.41, BSD100 29.09 dB", mult_adds=4.18e17, variant="rfdn", scale=3,
        starts_from="paper-rfdn-x2",
    ),
    "paper-rfdn-x4": Recipe(
        **_PAPER, expected="Set5 32.24, BSD100 27.57 dB", mult_adds=4.25e17, variant="rfdn", scale=4,
        starts_from="paper-rfdn-x2",
    ),
    "paper-rfdn-l-x2": Recipe(
        **_PAPER, expected="no verified number; above RFDN", mult_adds=4.84e17, variant="rfdn-l", scale=2
    ),
    "paper-rfdn-l-x3": Recipe(
        **_PAPER, expected="no verified number; above RFDN", mult_adds=4.90e17, variant="rfdn-l", scale=3,
        starts_from="paper-rfdn-l-x2",
    ),
    "paper-rfdn-l-x4": Recipe(
        **_PAPER, expected="Urban100 26.20 dB", mult_adds=4.97e17, variant="rfdn-l", scale=4,
        starts_from="paper-rfdn-l-x2",
    ),
    # The weights in keras_rfdn/weights/, of what two CPU cores can do in some hours.
    "shipped-e-rfdn-x4": Recipe(
        **_OURS | {"data": _OURS["data"] + "; from the sixth stage on also the larger of these at half size, and 163 "
        "images of Debian 12's packages (GCompris 122, Lomiri 14, MATE 10, Plasma 10, Palapeli 5, DreamChess 2; CC BY, "
        "CC BY-SA, CC0, GPL, public domain), halved at least; in the ninth photographs, and again at 0.7 of their "
        "size, in parts of some 600x600, so that large ones give more patches; in the eleventh and twelfth 664 of all "
        "these, and in the originals' place what the self-ensemble of the tenth's weights makes of the LR images "
        "(tools.distill); in the thirteenth and the last those of the ninth, with Debian's chosen anew (GCompris "
        "126, Lomiri 14, MATE 9, Plasma 9, Palapeli 5); in the fourteenth " + _ENSEMBLE},
        expected="Set5 31.90, BSD100 27.46 dB", mult_adds=1.74e15, variant="e-rfdn", scale=4,
        stages=(
            Stage(6000, 8, 32, 3e-3, "cosine", warmup=200),
            Stage(10_000, 8, 32, 2e-3, "cosine", warmup=100),
            Stage(5000, 8, 48, 1.5e-3, "cosine", warmup=100),
            Stage(5400, 8, 48, 1.5e-3, "cosine", warmup=100),
            Stage(600, 8, 48, 5e-4, "cosine", warmup=30, loss="l2"),
            Stage(2600, 12, 40, 1e-3, warmup=50),
            Stage(800, 12, 40, 5e-4, "cosine", warmup=20, loss="l2"),
            Stage(2800, 12, 40, 1e-3, "cosine", warmup=50, loss="l2"),
            Stage(2400, 12, 40, 7e-4, "cosine", warmup=30, loss="l2"),
            Stage(6000, 12, 40, 1e-3, "cosine", warmup=50, loss="l2"),
            Stage(250, 8, 48, 2e-4, "constant", warmup=5, loss="l2"),
            Stage(4400, 8, 48, 4e-4, "cosine", warmup=20, loss="l2"),
            Stage(12_000, 16, 48, 1e-3, "cosine", warmup=50, loss="l2"),
            Stage(8000, 12, 48, 5e-4, "cosine", warmup=30, loss="l2"),
            Stage(2000, 8, 48, 3e-4, "cosine", warmup=20, loss="l2"),
        ),
        note="from the second stage to the ninth it had one core, and from the third on stages were runs of their own, "
        "of --seed 11, 21, 31, 41, 71, 81, 82, 85, 91, 93, 101, 102 and 107, from the weights of the stage before or "
        "means of weights (keras_rfdn.average): of the fifth's and those of 700 updates like it after the third, "
        "before the sixth; of that mean, the sixth's last and its best, before the seventh; of this mean and the "
        "seventh's weights, before the eighth; of this one and twice the eighth's, before the ninth; of these "
        "three and six times the ninth's, before the tenth; of this mean and the tenth's, before the eleventh; of "
        "the mean before the tenth, the eleventh's and twice the twelfth's, before the thirteenth; of this "
        "mean, M, and twice the thirteenth's, before the fourteenth; of M, twice the thirteenth's and the "
        "fourteenth's, before the last; of these and twice the last's, which is what ships. These three stages gave "
        "their best on validation, of update 10,000, 7,000 and 400; the last had --ema 0.998; "
        + _BFLOAT16 + " the last three stages, the last two on one core; the curve shows these three",
    ),
    "shipped-e-rfdn-x2": Recipe(
        **_OURS, expected="Set5 37.64, BSD100 31.99 dB", mult_adds=8.76e13, variant="e-rfdn", scale=2,
        stages=(Stage(4000, 8, 48, 2e-3, "cosine", warmup=100),), starts_from="shipped-e-rfdn-x4",
        note="it started from x4's weights after the second stage of x4, and had one core",
    ),
    "shipped-e-rfdn-x3": Recipe(
        **_OURS | {"data": _OURS["data"] + ", and 163 images of Debian 12's packages, as E-RFDN x4 had in its "
        "thirteenth stage"},
        expected="Set5 33.74, BSD100 28.86 dB", mult_adds=8.02e13, variant="e-rfdn", scale=3,
        stages=(Stage(3600, 8, 48, 1.5e-3, "cosine", warmup=50, loss="l2"),), starts_from="shipped-e-rfdn-x4",
        note="it started from what x4's fourteenth stage started from; --seed 105; " + _BFLOAT16 + " it, on one core",
    ),
    "shipped-rfdn-x4": Recipe(
        **_TAUGHT, expected="Set5 31.58, BSD100 27.34 dB", mult_adds=1.95e14, variant="rfdn", scale=4,
        stages=(
            Stage(3000, 8, 32, 3e-3, "cosine", warmup=200),
            Stage(5200, 8, 48, 1.5e-3, "cosine", warmup=50, loss="l2"),
        ),
        note=_SECOND.format(103),
    ),
    "shipped-rfdn-mobile-x4": Recipe(
        **_TAUGHT, expected="Set5 31.50, BSD100 27.33 dB", mult_adds=8.67e13, variant="rfdn-mobile", scale=4,
        stages=(
            Stage(6000, 8, 32, 3e-3, "cosine", warmup=200),
            Stage(7000, 8, 48, 1.5e-3, "cosine", warmup=50, loss="l2"),
        ),
        note=_SECOND.format(104),
    ),
    "shipped-rfdn-mobile-x2": Recipe(
        **_OURS, expected="Set5 37.44, BSD100 31.82 dB", mult_adds=7.46e12, variant="rfdn-mobile", scale=2,
        stages=(Stage(2000, 8, 32, 2e-3, "cosine", warmup=50),), starts_from="shipped-rfdn-mobile-x4",
        note="it had one core",
    ),
    # The report counts in epochs: 1,000 of them at L1, halving every 200. Read as 1,000 updates each, as EDSR's code,
    # which the authors' framework grew from, defines an epoch. How long L2 went on it does not say.
    "aim2020-erfdn": Recipe(
        source="AIM 2020 report; RFDN paper, section 4.5",
        data="DIV2K, with --extra_data FLICKR2K",
        expected="Set5 32.16 dB (the released weights)",
        mult_adds=3.89e17,
        variant="e-rfdn",
        scale=4,
        stages=(Stage(), Stage(steps=200_000, learning_rate=1e-5, schedule="constant", loss="l2")),
    ),
}  # fmt: skip


def recipe(name):
    """A row of RECIPES. Raises UserError for an unknown name."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]


def stages(config):
    """TrainConfig -> its stages: the recipe's, or the one that its own fields describe.

    Raises UserError when a field contradicts the recipe, or cannot be trained with.
    """
    if config.recipe is None:
        found = (Stage(**{field: getattr(config, field) for field in STAGE_FIELDS}),)
    else:
        row = recipe(config.recipe)
        for field, value in row.settings().items():
            if getattr(config, field) != value:
                raise UserError(
                    f"--{field} {getattr(config, field)} contradicts recipe {config.recipe}, which fixes {value}; "
                    f"leave it out, or add a row of your own to keras_rfdn/training/recipes.py"
                )
        found = row.stages
    for stage in found:
        stage.check()
    return found


def preset(argv):
    """Words of a command line -> the fields of TrainConfig that the --recipe among them decides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--recipe")
    named, _ = parser.parse_known_args(argv[1:])
    return {} if named.recipe is None else {"recipe": named.recipe, **recipe(named.recipe).settings()}


@dataclasses.dataclass(frozen=True)
class RecipesConfig:
    """List the recipes."""


def main(config):
    """Prints the table and returns its rows."""
    header = ["recipe", "network", "updates", "batch", "patch", "losses", "multiply-adds", "expected", "data", "source"]
    rows = [
        [
            name,
            f"{row.variant} x{row.scale}",
            " + ".join(f"{stage.steps:,}" for stage in row.stages),
            row.stages[0].batch,
            row.stages[0].patch,
            " + ".join(stage.loss for stage in row.stages),
            f"{row.mult_adds:.1e}",
            row.expected,
            row.data + (f", from {row.starts_from}" if row.starts_from else ""),
            row.source,
        ]
        for name, row in RECIPES.items()
    ]
    print(text_table(header, rows))
    return rows


if __name__ == "__main__":
    command.run(main, RecipesConfig)
