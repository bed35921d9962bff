"""What makes a network: ModelConfig, and the table of variants. No TensorFlow here."""

import dataclasses

SCALES = (2, 3, 4)
SMALLEST_INPUT = 15  # LR pixels; below, ESA's stride-2 convolution leaves its 7x7 pool nothing to work on


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One network of the RFDN family; every field changes the graph."""

    block: str  # key of keras_rfdn.blocks.BLOCKS
    channels: int  # width of the trunk
    num_blocks: int
    attention: str  # key of keras_rfdn.layers.ATTENTIONS
    reduction: int  # the attention's inner width is channels // reduction
    scale: int = 4  # 2, 3 or 4


VARIANTS = {
    # The paper's Table 3: 534/541/550K and 626/633/643K parameters at x2/x3/x4.
    "rfdn": ModelConfig(block="rfdb", channels=48, num_blocks=6, attention="cca", reduction=4),
    "rfdn-l": ModelConfig(block="rfdb", channels=52, num_blocks=6, attention="cca", reduction=4),
    # Winner of the AIM 2020 challenge, section 4.5 of the paper and the authors' released code: 433K at x4.
    "e-rfdn": ModelConfig(block="rfdb", channels=50, num_blocks=4, attention="esa", reduction=4),
}


def variant(name, scale):
    """ModelConfig of a row of VARIANTS at scale 2, 3 or 4. Raises ValueError for an unknown name or scale."""
    if name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}; choose from {', '.join(VARIANTS)}")
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}, got {scale}")
    return dataclasses.replace(VARIANTS[name], scale=scale)


def name_of(config):
    """The variant's name, or its block's for a network that is in no row of VARIANTS."""
    for name, row in VARIANTS.items():
        if dataclasses.replace(row, scale=config.scale) == config:
            return name
    return config.block
