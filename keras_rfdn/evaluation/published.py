"""What papers publish: Table 3 of the RFDN paper (arXiv 2009.11551) as far as it could be verified. No TensorFlow here.

How it was verified (2026-11-24): the paper itself was not at hand, so every number here is quoted in at least one of
these tables and contradicted in none of them: CARN and IMDN in Table 3 of the SwinIR paper and, with RFDN, in a table
collected from the RFDN paper's own; the older methods in the tables of the repositories of SRTransGAN, MoreMNAS, TSCN,
DRRN, EDSR and SPN and in Table 2 of the ESRGAN paper; Mult-Adds in SwinIR's, MoreMNAS's and CARN's comparisons;
RFDN-L's only score in the plot of a later paper's code. RFDN's and RFDN-L's Mult-Adds are counted here
(keras_rfdn.complexity). What was found nowhere or in two readings is left out (None): all of IDN; FSRCNN, LapSRN,
MemNet, EDSR-baseline and SRMDNF at x3, and FSRCNN at x4; most of Manga109; and all of RFDN-L but its sizes and that
score.

Parameters are those that the quoting tables print, and for DRCN and EDSR-baseline what their layers add up to. SRCNN's
57K are those of its 9-5-5 network, which alone scores what these tables say; some print the 8K of the 9-1-5 one.
"""

import dataclasses

SETS = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}  # name: number of images
_ALIASES = {"bsd100": "B100", "bsds100": "B100"} | {name.lower(): name for name in SETS}


@dataclasses.dataclass(frozen=True)
class Row:
    """A method at one scale. None: not verified, or (a bicubic's parameters) nothing to tell."""

    method: str
    thousand_parameters: int | None
    scores: tuple[tuple[float | None, float | None], ...]  # (PSNR in dB, SSIM) on luma for each of SETS
    giga_mult_adds: float | None = None  # of convolutions, for a 1280x720 output
    variant: str | None = None  # the row of keras_rfdn.networks.config.VARIANTS that is this network

    def score(self, name):
        """(PSNR, SSIM) on a set of any name; (None, None) for one that the table has not."""
        return dict(zip(SETS, self.scores, strict=True)).get(name, (None, None))


def set_name(folder):
    """Name of a folder -> the papers' name of that set, or the folder's own."""
    return _ALIASES.get(folder.lower(), folder)


_NONE = (None, None)

TABLE_3 = {
    2: (
        Row("Bicubic", None, ((33.66, 0.9299), (30.24, 0.8688), (29.56, 0.8431), (26.88, 0.8403), _NONE)),
        Row("SRCNN", 57, ((36.66, 0.9542), _NONE, (31.36, 0.8879), (29.50, 0.8946), _NONE), 52.7),
        Row("FSRCNN", 12, ((37.00, 0.9558), (32.63, 0.9088), (31.53, 0.8920), (29.88, 0.9020), _NONE), 6.0),
        Row("VDSR", 665, ((37.53, 0.9587), (33.03, 0.9124), (31.90, 0.8960), (30.76, 0.9140), _NONE), 612.6),
        Row("DRCN", 1774, ((37.63, 0.9588), (33.04, 0.9118), (31.85, 0.8942), (30.75, 0.9133), _NONE), 17974.3),
        Row("LapSRN", None, ((37.52, 0.9591), _NONE, (31.80, 0.8952), (30.41, 0.9103), _NONE)),
        Row("DRRN", 297, ((37.74, 0.9591), (33.23, 0.9136), (32.05, 0.8973), (31.23, 0.9188), _NONE), 6796.9),
        Row("MemNet", 677, ((37.78, 0.9597), (33.28, 0.9142), (32.08, 0.8978), (31.31, 0.9195), _NONE), 2662.4),
        Row("EDSR-baseline", 1370, ((37.99, 0.9604), (33.57, 0.9175), (32.16, 0.8994), (31.98, 0.9272), _NONE)),
        Row("SRMDNF", None, ((37.79, 0.9601), (33.32, 0.9159), (32.05, 0.8985), (31.33, 0.9204), _NONE)),
        Row(
            "CARN",
            1592,
            ((37.76, 0.9590), (33.52, 0.9166), (32.09, 0.8978), (31.92, 0.9256), (38.36, 0.9765)),
            222.8,
        ),
        Row(
            "IMDN",
            694,
            ((38.00, 0.9605), (33.63, 0.9177), (32.19, 0.8996), (32.17, 0.9283), (38.88, 0.9774)),
            158.8,
            variant="imdn",
        ),
        Row(
            "RFDN",
            534,
            ((38.05, 0.9606), (33.68, 0.9184), (32.16, 0.8994), (32.12, 0.9278), (38.88, 0.9773)),
            120.9,
            variant="rfdn",
        ),
        Row("RFDN-L", 626, (_NONE,) * 5, 141.8, variant="rfdn-l"),
    ),
    3: (
        Row("Bicubic", None, ((30.39, 0.8682), (27.55, 0.7742), (27.21, 0.7385), (24.46, 0.7349), _NONE)),
        Row("SRCNN", 57, ((32.75, 0.9090), _NONE, (28.41, 0.7863), (26.24, 0.7989), _NONE), 52.7),
        Row("VDSR", 665, ((33.66, 0.9213), (29.77, 0.8314), (28.82, 0.7976), (27.14, 0.8279), _NONE), 612.6),
        Row("DRCN", 1774, ((33.82, 0.9226), _NONE, _NONE, _NONE, _NONE), 17974.3),
        Row("DRRN", 297, ((34.03, 0.9244), (29.96, 0.8349), (28.95, 0.8004), (27.53, 0.8378), _NONE), 6796.9),
        Row(
            "CARN",
            1592,
            ((34.29, 0.9255), (30.29, 0.8407), (29.06, 0.8034), (28.06, 0.8493), (33.50, 0.9440)),
            118.8,
        ),
        Row(
            "IMDN",
            703,
            ((34.36, 0.9270), (30.32, 0.8417), (29.09, 0.8046), (28.17, 0.8519), (33.61, 0.9445)),
            71.5,
            variant="imdn",
        ),
        Row(
            "RFDN",
            541,
            ((34.41, 0.9273), (30.34, 0.8420), (29.09, 0.8050), (28.21, 0.8525), (33.67, 0.9449)),
            54.5,
            variant="rfdn",
        ),
        Row("RFDN-L", 633, (_NONE,) * 5, 63.8, variant="rfdn-l"),
    ),
    4: (
        Row("Bicubic", None, ((28.42, 0.8104), (26.00, 0.7027), (25.96, 0.6675), (23.14, 0.6577), (24.89, 0.7866))),
        Row("SRCNN", 57, ((30.48, 0.8628), _NONE, (26.90, 0.7101), (24.52, 0.7221), (27.58, 0.8555)), 52.7),
        Row("VDSR", 665, ((31.35, 0.8838), (28.01, 0.7674), (27.29, 0.7251), (25.18, 0.7524), _NONE), 612.6),
        Row("DRCN", 1774, ((31.53, 0.8854), (28.02, 0.7670), (27.23, 0.7233), (25.14, 0.7510), _NONE), 17974.3),
        Row("LapSRN", None, ((31.54, 0.8852), _NONE, (27.32, 0.7275), (25.21, 0.7562), _NONE)),
        Row("DRRN", 297, ((31.68, 0.8888), (28.21, None), (27.38, 0.7284), (25.44, 0.7638), _NONE), 6796.9),
        Row(
            "MemNet", 677, ((31.74, 0.8893), (28.26, 0.7723), (27.40, 0.7281), (25.50, 0.7630), (29.42, 0.8942)), 2662.4
        ),
        Row(
            "EDSR-baseline",
            1518,
            ((32.09, 0.8938), (28.58, 0.7813), (27.57, 0.7357), (26.04, 0.7849), (30.35, 0.9067)),
        ),
        Row("SRMDNF", None, ((31.96, 0.8925), (28.35, None), (27.49, 0.7337), (25.68, 0.7731), _NONE)),
        Row("CARN", 1592, ((32.13, 0.8937), (28.60, 0.7806), (27.58, 0.7349), (26.07, 0.7837), (30.47, 0.9084)), 90.9),
        Row(
            "IMDN",
            715,
            ((32.21, 0.8948), (28.58, 0.7811), (27.56, 0.7353), (26.04, 0.7838), (30.45, 0.9075)),
            40.9,
            variant="imdn",
        ),
        Row(
            "RFDN",
            550,
            ((32.24, 0.8952), (28.61, 0.7819), (27.57, 0.7360), (26.11, 0.7858), (30.58, 0.9089)),
            31.1,
            variant="rfdn",
        ),
        Row("RFDN-L", 643, (_NONE, _NONE, _NONE, (26.20, None), _NONE), 36.4, variant="rfdn-l"),
    ),
}

# The ablations at x4: thousand parameters. Their PSNR was found nowhere outside the paper and is left out.
TABLE_1 = {"table1-base": 652, "table1-srb": 652, "table1-fdc": 637, "table1-rfdb": 637}
TABLE_2 = {"table2-0.25": 523, "table2-0.5": 544, "table2-0.75": 565}
