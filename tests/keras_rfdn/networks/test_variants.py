"""The table of variants: exact sizes, and that no field of a row is idle."""

import dataclasses
import functools

import pytest

from keras_rfdn.networks import models
from keras_rfdn.networks.config import SCALES, VARIANTS, ModelConfig, variant

# At x2, x3, x4. Printed in the RFDN paper: rfdn 534/541/550K, rfdn-l 626/633/643K, imdn 694/703/715K, and at x4 alone
# Table 1 652/652/637/637K, Table 2 523/544/565K, and 0.433M, 0.893M and 1.517M from the AIM 2020 report. Ours alone:
# rfdn-mobile.
PARAMETERS = {
    "rfdn": (534_036, 540_531, 549_624),
    "rfdn-l": (625_962, 632_997, 642_846),
    "e-rfdn": (417_212, 423_977, 433_448),
    "rfdn-mobile": (152_620, 156_955, 163_024),
    "ecbsr-mobile": (152_332, 156_667, 162_736),
    "table1-base": (635_262, 642_297, 652_146),
    "table1-srb": (635_262, 642_297, 652_146),
    "table1-fdc": (619_662, 626_697, 636_546),
    "table1-rfdb": (619_662, 626_697, 636_546),
    "table2-0.25": (507_846, 514_341, 523_434),
    "table2-0.5": (528_798, 535_293, 544_386),
    "table2-0.75": (549_750, 556_245, 565_338),
    "imdn": (694_404, 703_059, 715_176),
    "imdn-r": (694_404, 703_059, 715_176),
    "imdn-aim": (873_164, 881_819, 893_936),
    "msrresnet": (1_369_859, 1_554_499, 1_517_571),
    "srcnn": (57_281, 57_281, 57_281),
    "fsrcnn": (12_809, 12_809, 12_809),
    "vdsr": (665_921, 665_921, 665_921),
    "drcn": (1_775_121, 1_775_121, 1_775_121),
    "lapsrn": (407_441, 814_242, 814_242),
    "lapsrn-tf": (337_152, 674_304, 674_304),
    "drrn": (297_216, 297_216, 297_216),
    "memnet": (712_779, 712_779, 712_779),
    "idn": (552_769, 552_769, 552_769),
    "srmdnf": (1_510_540, 1_527_835, 1_552_048),
    "carn": (964_163, 1_148_803, 1_111_875),
    "carn-m": (257_027, 303_427, 294_147),
    "rlfn": (526_856, 533_891, 543_740),
    "bsrn": (331_628, 340_283, 352_400),
    "lkdn": (303_812, 311_387, 321_992),
    "span": (141_580, 145_375, 150_688),
    "efdn": (260_604, 267_099, 276_192),
}
ROWS = sorted(VARIANTS)


def tiny(name, **changes):
    """A row of VARIANTS with 8 channels and 2 blocks."""
    row = VARIANTS[name]
    return dataclasses.replace(row, channels=8, num_blocks=2, reduction=min(row.reduction, 4), **changes)


def test_every_variant_has_a_known_size():
    assert PARAMETERS.keys() == VARIANTS.keys()


def test_no_two_rows_are_one_network():
    assert len(set(VARIANTS.values())) == len(VARIANTS)


@pytest.mark.parametrize("name", ROWS)
def test_parameters(name):
    assert models.build(variant(name, 4)).count_params() == PARAMETERS[name][2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_parameters_at_every_scale(name):
    assert tuple(models.build(variant(name, scale)).count_params() for scale in SCALES) == PARAMETERS[name]


OTHER = {
    "block": ("fdc",),
    "channels": (12,),
    "num_blocks": (3,),
    "attention": ("cca", "esa"),
    "reduction": (2,),
    "distillation_rate": (0.75,),
    "activation": ("relu", "lrelu"),
    "network": ("chained", "msrresnet"),
    "scale": (3,),
}


# Where another value makes no sense: what distils nothing has no rate, what attends to nothing no reduction.
REFUSED = {
    ("table1-srb", "block"),
    ("table1-srb", "distillation_rate"),
    ("rfdn-mobile", "attention"),
    ("rfdn-mobile", "reduction"),
    ("imdn-aim", "attention"),
    ("imdn-aim", "reduction"),
    ("msrresnet", "block"),
    ("msrresnet", "attention"),
    ("msrresnet", "reduction"),
    ("msrresnet", "distillation_rate"),
}


@pytest.mark.parametrize("field", OTHER)
@pytest.mark.parametrize("name", ["e-rfdn", "rfdn-mobile", "table1-srb", "imdn-aim", "msrresnet"])
def test_every_field_changes_the_graph_or_is_refused(name, field):
    config = tiny(name)
    value = next(v for v in OTHER[field] if v != getattr(config, field))
    changed = dataclasses.replace(config, **{field: value})
    if (name, field) in REFUSED:
        with pytest.raises(ValueError, match=r"distil|reduc"):
            models.build(changed)
    else:
        assert graph(changed) != graph(config)


def test_every_field_is_tried():
    assert list(OTHER) == [field.name for field in dataclasses.fields(ModelConfig)]


@functools.cache
def graph(config):
    """What a model computes, but for names: layers, their settings of size, and their inputs' shapes."""
    return [
        (type(layer).__name__, layer.input_shape, layer.output_shape, [w.shape for w in layer.weights])
        for layer in models.build(config).layers
    ]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"distillation_rate": 0.01}, "1 to 7 of 8 channels, got 0.01"),
        ({"distillation_rate": 1}, "1 to 7 of 8 channels, got 1"),
        ({"reduction": 9}, "reduction of 1 to 8"),
        ({"reduction": 0}, "reduction of 1 to 8"),
        ({"attention": "none"}, "need reduction=0, got 4"),
        ({"block": "base"}, "distils nothing"),
        ({"num_blocks": 0}, "1 block or more"),
    ],
)
def test_impossible_networks_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        models.build(dataclasses.replace(tiny("rfdn"), **changes))


def test_older_weight_files_name_fewer_fields():
    """Files written before distillation_rate and network existed hold these five fields and scale."""
    assert ModelConfig("rfdb", 50, 4, attention="esa", reduction=4, scale=4) == VARIANTS["e-rfdn"]
