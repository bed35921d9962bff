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
    # recipe, pretrained weights or AUTHORS that it starts from, of any scale and size (training/initial_weights.py)
    init_from: str | None = None
    init_sha256: str | None = None  # of weights: which release of them; None: init_from is a recipe
    ema: float = 0.0  # decay of the moving average of weights that is validated and kept; 0: the weights themselves
    clip_norm: float = 0.0  # largest norm of all gradients together; 0: not clipped

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def settings(self) -> dict:
        """Fields of keras_rfdn.train's settings that the recipe decides: of its first stage, but steps is of all."""
        own = {field: getattr(self, field) for field in ("variant", "scale", "optimizer", "ema", "clip_norm")}
        return {**dataclasses.asdict(self.stages[0]), **own, "steps": self.steps}


# Continues weights that once shipped, or the authors', on what a better network's self-ensemble makes of 801
# photographs: for two CPU cores. tools/reproduce.py makes the data and runs these rows; docs/training.md has the
# numbers behind them. A cosine to 0 in each stage, and the average of some thousand updates.
AUTHORS = "RFDN_AIM.pth"  # the E-RFDN x4 that won AIM 2020 (github.com/njulj/RFDN, MIT)
# What rows start from: weights and the SHA-256 of their release, for one name has had several.
_AUTHORS = (AUTHORS, "11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c")
_RFDN_X4 = ("rfdn-x4", "53927d33dd446aa6cc85c999c8281e0c40f0211d34357d96ab7553a29ebc9279")


def _stage(steps, learning_rate, patch=48):
    return Stage(
        steps=steps, batch=16, patch=patch, learning_rate=learning_rate, schedule="cosine", warmup=100, loss="l2"
    )


def _growing(first, second):
    """Stages of so many updates."""
    return _stage(first, 1.5e-3, patch=32), _stage(second, 7e-4)


def _continued(variant, scale, start, expected, mult_adds, *stages):
    init_from, init_sha256 = start
    return Recipe(
        source="docs/training.md", data="801 photographs, HR by LKDN's self-ensemble", expected=expected,
        mult_adds=mult_adds, variant=variant, scale=scale, stages=stages, optimizer="muon", init_from=init_from,
        init_sha256=init_sha256, ema=0.999,
    )  # fmt: skip


# From nothing, with a GPU and the paper's data: the settings that were best in short trainings here, at full length.
_GPU = {
    "source": "docs/training.md", "data": "DIV2K", "optimizer": "muon", "ema": 0.999,
    "stages": (
        Stage(steps=200_000, patch=48, learning_rate=2e-3, schedule="cosine", warmup=1_000),
        Stage(steps=100_000, patch=64, learning_rate=5e-4, schedule="cosine", warmup=1_000, loss="l2"),
    ),
}  # fmt: skip

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
    # In the order in which tools/reproduce.py runs them.
    "cpu-e-rfdn-x4": _continued("e-rfdn", 4, _AUTHORS, "Set5 32.16, BSD100 27.61 dB", 1.37e13, _stage(300, 1e-4)),
    "cpu-rfdn-x4": _continued(
        "rfdn", 4, ("rfdn-x4", "b1138cd3d6dbd859234b525804f20114fb3e8480e7370e8715d9d53e13f0faec"),
        "Set5 31.96, BSD100 27.50 dB", 1.68e14, *_growing(1_800, 2_000),
    ),
    "cpu-rfdn-mobile-x4": _continued(
        "rfdn-mobile", 4, ("rfdn-mobile-x4", "16a8fdde2a7ecf6e4c43aa9a89820a638dd768da8e1dc15e257c3f32d7ab8f56"),
        "Set5 31.56, BSD100 27.36 dB (31.50, 27.33 before)", 8.55e13, *_growing(4_000, 3_000),
    ),
    "cpu-rfdn-mobile-x2": _continued(
        "rfdn-mobile", 2, ("rfdn-mobile-x2", "0bed1bf1d49913bd7c945eb5f594623e7322a821005247aa10caa5ea0a861dab"),
        "Set5 37.46, BSD100 31.90 dB (37.44, 31.82 before)", 8.00e13, *_growing(4_000, 3_000),
    ),
    "cpu-rfdn-x2": _continued("rfdn", 2, _RFDN_X4, "Set5 37.81, BSD100 32.06 dB", 8.71e13, _stage(1_500, 7e-4)),
    "cpu-e-rfdn-x2": _continued("e-rfdn", 2, _AUTHORS, "Set5 37.97, BSD100 32.15 dB", 2.63e13, _stage(600, 5e-4)),
    "cpu-e-rfdn-x3": _continued("e-rfdn", 3, _AUTHORS, "Set5 34.30, BSD100 29.09 dB", 2.68e13, _stage(600, 5e-4)),
    "cpu-rfdn-x3": _continued("rfdn", 3, _RFDN_X4, "Set5 34.16, BSD100 29.02 dB", 8.81e13, _stage(1_500, 7e-4)),
    "cpu-rfdn-mobile-x3": _continued(
        "rfdn-mobile", 3, ("rfdn-mobile-x4", "cbd295e960b0699b709b3f8f5fb26b839c19d6e5723ccd020e39367382e241a0"),
        "Set5 33.72, BSD100 28.87 dB", 5.76e13, *_growing(3_000, 2_000),
    ),
    "gpu-e-rfdn-x2": Recipe(**_GPU, expected="not known", mult_adds=6.62e16, variant="e-rfdn", scale=2),
    "gpu-e-rfdn-x3": Recipe(
        **_GPU, expected="not known", mult_adds=6.73e16, variant="e-rfdn", scale=3, init_from="gpu-e-rfdn-x2"
    ),
    "gpu-e-rfdn-x4": Recipe(
        **_GPU, expected="Set5 32.16 dB (the released weights)", mult_adds=6.89e16, variant="e-rfdn", scale=4,
        init_from="gpu-e-rfdn-x2",
    ),
    "gpu-rfdn-mobile-x2": Recipe(**_GPU, expected="not known", mult_adds=2.54e16, variant="rfdn-mobile", scale=2),
    "gpu-rfdn-mobile-x3": Recipe(
        **_GPU, expected="not known", mult_adds=2.61e16, variant="rfdn-mobile", scale=3, init_from="gpu-rfdn-mobile-x2"
    ),
    "gpu-rfdn-mobile-x4": Recipe(
        **_GPU, expected="not known", mult_adds=2.71e16, variant="rfdn-mobile", scale=4, init_from="gpu-rfdn-mobile-x2"
    ),
}  # fmt: skip

CONTINUED = tuple(name for name in RECIPES if name.startswith("cpu-"))  # what tools/reproduce.py runs, in this order


def recipe(name: str) -> Recipe:
    """Row of RECIPES. Raises UserError for an unknown name."""
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]
