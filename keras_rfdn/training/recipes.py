"""Training recipes under a name: each row says where it is from, what score to expect and what it costs.

    python -m keras_rfdn.train --recipe paper-rfdn-x2

A row of your own goes into RECIPES. No TensorFlow here.
"""

import dataclasses

from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT

SCHEDULES = ("halving", "cosine", "constant")
LOSSES = ("l1", "l2", "charbonnier")  # the keys of keras_rfdn.training.losses.LOSSES
OPTIMIZERS = ("adam", "muon")  # the keys of keras_rfdn.training.optimizers.OPTIMIZERS
PRECISIONS = ("float32", "float16", "bfloat16")  # the keys of keras_rfdn.networks.models.POLICIES
STRATEGIES = ("one", "mirrored", "multiworker")  # the keys of keras_rfdn.training.strategies.STRATEGIES


@dataclasses.dataclass(frozen=True)
class Stage:
    """Training phase in which only the learning rate changes. Defaults: the paper, section 4.2.

    Raises UserError that names the argument for a setting that can't be trained with.
    """

    steps: int = number(1_000_000, above=0)  # updates
    batch: int = number(64, above=0)  # patches, over all devices
    patch: int = number(64, least=SMALLEST_INPUT)  # LR pixels
    learning_rate: float = number(5e-4, above=0)
    schedule: str = choice(*SCHEDULES, default="halving")  # by half every halve_every updates; cosine: to 0 at the end
    halve_every: int = number(200_000, above=0)  # updates
    warmup: int = number(0, least=0)  # updates in which the learning rate rises from 0
    loss: str = choice(*LOSSES, default="l1")

    def __post_init__(self):
        check_fields(self, prefix="")


STAGE_FIELDS = tuple(field.name for field in dataclasses.fields(Stage))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Training of one variant at one scale, in one or more stages."""

    source: str  # what it follows
    data: str  # what the source trained on
    expected: str  # the score that it should reach, on luma
    mult_adds: float  # what it costs: of convolutions, forward and twice as many backward, over all updates
    variant: str
    scale: int
    stages: tuple[Stage, ...]
    optimizer: str = "adam"
    init_from: str | None = None  # recipe from whose weights, all but the last convolution, it starts
    ema: float = 0.0  # decay of the moving average of weights that is validated and kept; 0: the weights themselves
    clip_norm: float = 0.0  # largest norm of all gradients together; 0: not clipped

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def settings(self) -> dict:
        """Fields of keras_rfdn.train's settings that the recipe decides: of its first stage, but steps is of all."""
        own = {field: getattr(self, field) for field in ("variant", "scale", "optimizer", "ema", "clip_norm")}
        return {**dataclasses.asdict(self.stages[0]), **own, "steps": self.steps}


# Expected scores: the paper's Table 3.
_PAPER = {"source": "RFDN paper, section 4.2", "data": "DIV2K", "stages": (Stage(),)}

RECIPES = {
    "paper-rfdn-x2": Recipe(
        **_PAPER, expected="Set5 38.05, BSD100 32.16 dB", mult_adds=4.13e17, variant="rfdn", scale=2
    ),
    "paper-rfdn-x3": Recipe(
        **_PAPER, expected="Set5 34.41, BSD100 29.09 dB", mult_adds=4.18e17, variant="rfdn", scale=3,
        init_from="paper-rfdn-x2",
    ),
    "paper-rfdn-x4": Recipe(
        **_PAPER, expected="Set5 32.24, BSD100 27.57 dB", mult_adds=4.25e17, variant="rfdn", scale=4,
        init_from="paper-rfdn-x2",
    ),
    "paper-rfdn-l-x2": Recipe(
        **_PAPER, expected="Set5 38.08, BSD100 32.18 dB", mult_adds=4.84e17, variant="rfdn-l", scale=2
    ),
    "paper-rfdn-l-x3": Recipe(
        **_PAPER, expected="Set5 34.47, BSD100 29.11 dB", mult_adds=4.90e17, variant="rfdn-l", scale=3,
        init_from="paper-rfdn-l-x2",
    ),
    "paper-rfdn-l-x4": Recipe(
        **_PAPER, expected="Set5 32.28, BSD100 27.58 dB", mult_adds=4.97e17, variant="rfdn-l", scale=4,
        init_from="paper-rfdn-l-x2",
    ),
    # The report counts in epochs: 1,000 of them at L1, halving every 200. Read as 1,000 updates each, as EDSR's code,
    # which the authors' framework grew from, defines an epoch. How long L2 went on it does not say.
    "aim2020-erfdn": Recipe(
        source="AIM 2020 report; RFDN paper, section 4.5",
        data="DIV2K, with Flickr2K as extra_data",
        expected="Set5 32.16 dB (the released weights)",
        mult_adds=3.89e17,
        variant="e-rfdn",
        scale=4,
        stages=(Stage(), Stage(steps=200_000, learning_rate=1e-5, schedule="constant", loss="l2")),
    ),
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """Row of RECIPES. Raises UserError for an unknown name."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]
