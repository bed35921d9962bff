"""Network configurations: ModelConfig, ZooConfig, and the table of variants. No TensorFlow here."""

import dataclasses

from keras_rfdn.data.system.errors import UserError

SCALES = (2, 3, 4)
SMALLEST_INPUT = 15  # LR pixels; below, ESA's stride-2 convolution leaves its 7x7 pool nothing to work on


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Configuration of a network; every field changes the graph, or is refused where it could not."""

    block: str  # key of keras_rfdn.networks.blocks.BLOCKS
    channels: int  # width of the trunk
    num_blocks: int
    attention: str = "none"  # key of keras_rfdn.networks.layers.ATTENTIONS
    reduction: int = 0  # the attention's inner width is channels // reduction; 0 without attention
    distillation_rate: float = 0.5  # the paper's Table 2: share of channels that each step sets aside; 0: none
    activation: str = "lrelu"  # key of keras_rfdn.networks.layers.ACTIVATIONS: after convolutions of the trunk
    network: str = "fused"  # key of keras_rfdn.networks.models.NETWORKS: what is around the blocks
    scale: int = 4  # 2, 3 or 4

    def __post_init__(self):
        if min(self.channels, self.num_blocks) < 1:
            raise UserError(f"need 1 channel and 1 block or more, got {self}")


@dataclasses.dataclass(frozen=True)
class ZooConfig:
    """Configuration of a network of another paper, which is built as published: only its scale is to be chosen."""

    network: str  # key of keras_rfdn.networks.zoo.NETWORKS
    scale: int = 4  # 2, 3 or 4


Config = ModelConfig | ZooConfig

_TABLE_1 = ModelConfig(block="rfdb", channels=52, num_blocks=6, attention="cca", reduction=16)
_TABLE_2 = dataclasses.replace(_TABLE_1, channels=48)

VARIANTS = {
    # The paper's Table 3: 534/541/550K and 626/633/643K parameters at x2/x3/x4.
    "rfdn": ModelConfig(block="rfdb", channels=48, num_blocks=6, attention="cca", reduction=4),
    "rfdn-l": ModelConfig(block="rfdb", channels=52, num_blocks=6, attention="cca", reduction=4),
    # Winner of the AIM 2020 challenge, section 4.5 of the paper and the authors' released code: 433K at x4.
    "e-rfdn": ModelConfig(block="rfdb", channels=50, num_blocks=4, attention="esa", reduction=4),
    # Ours, for integer hardware (BUILD_NOTES.md): widths are whole tiles of 16 channels, ReLU costs no operation of its
    # own, nothing pools or resizes, and the network adds to the image's own pixels.
    "rfdn-mobile": ModelConfig("rfdb", channels=32, num_blocks=4, activation="relu", network="image_residual"),
    # Ours, too: as many parameters and as fast, but a plain chain of 3x3 convolutions, each of several branches in
    # training.
    "ecbsr-mobile": ModelConfig(
        "ecb", channels=32, num_blocks=16, distillation_rate=0, activation="relu", network="ecbsr"
    ),
    # Table 1 and Figure 3, the blocks: 652/652/637/637K at x4.
    "table1-base": dataclasses.replace(_TABLE_1, block="base", distillation_rate=0),
    "table1-srb": dataclasses.replace(_TABLE_1, block="srb", distillation_rate=0),
    "table1-fdc": dataclasses.replace(_TABLE_1, block="fdc"),
    "table1-rfdb": _TABLE_1,
    # Table 2, the distillation rate: 523/544/565K at x4.
    "table2-0.25": dataclasses.replace(_TABLE_2, distillation_rate=0.25),
    "table2-0.5": _TABLE_2,
    "table2-0.75": dataclasses.replace(_TABLE_2, distillation_rate=0.75),
    # IMDN (arXiv 1909.11856), the rival in Table 4: 694/703/715K. The same with equation 3 of the RFDN paper.
    "imdn": ModelConfig("imdb", channels=64, num_blocks=6, attention="cca", reduction=16, distillation_rate=0.25),
    "imdn-r": ModelConfig("imdb-r", channels=64, num_blocks=6, attention="cca", reduction=16, distillation_rate=0.25),
    # Table 5's rivals at AIM 2020: the winner of AIM 2019 (0.893M) and the baseline (1.517M).
    "imdn-aim": ModelConfig("imdb", channels=64, num_blocks=8, distillation_rate=0.25, network="chained"),
    "msrresnet": ModelConfig(
        "residual", channels=64, num_blocks=16, distillation_rate=0, activation="relu", network="msrresnet"
    ),
}

# The other networks of Table 3, and those that came after RFDN: the keys of keras_rfdn.networks.zoo.NETWORKS.
ZOO = (
    "srcnn",
    "fsrcnn",
    "vdsr",
    "drcn",
    "lapsrn",
    "lapsrn-tf",
    "drrn",
    "memnet",
    "idn",
    "srmdnf",
    "carn",
    "carn-m",
    "rlfn",
    "bsrn",
    "lkdn",
    "span",
    "efdn",
)
VARIANTS |= {name: ZooConfig(name) for name in ZOO}


def variant(name: str, scale: int) -> Config:
    """Configuration of a row of VARIANTS at scale 2, 3 or 4. Raises UserError for an unknown name or scale."""
    if name not in VARIANTS:
        raise UserError(f"unknown variant {name!r}; choose from {', '.join(VARIANTS)}")
    if scale not in SCALES:
        raise UserError(f"scale must be one of {SCALES}, got {scale}")
    return dataclasses.replace(VARIANTS[name], scale=scale)


def name_of(config: Config) -> str:
    """Name of a variant, or of its block for a network that is in no row of VARIANTS."""
    for name, row in VARIANTS.items():
        if dataclasses.replace(row, scale=config.scale) == config:
            return name
    return config.block
