"""Published scores: Tables 1 to 5 of the RFDN paper (arXiv 2009.11551), all of them, and networks that came after it.

No TensorFlow here.

Scores are PSNR in dB and SSIM on luma; parameters are rounded to thousands, as the tables print them. Mult-Adds stand
in none of the RFDN paper's tables: they are what the comparisons of CARN (arXiv 1803.08664) and of the papers that
repeat it print, and for SRMDNF, RFDN and RFDN-L what keras_rfdn.complexity counts. LapSRN's at x2 are a quarter of
what is counted (networks/zoo/lapsrn.py). For SRCNN Table 3 prints the 8K parameters of the 9-1-5 network beside the
scores of the 9-5-5 one, whose Mult-Adds these are; CARN's 1592K are of one file for all three scales.
"""

import dataclasses

from keras_rfdn.evaluation.scoring import Score

SETS = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}  # name: number of images
_ALIASES = {"bsd100": "B100", "bsds100": "B100"} | {name.lower(): name for name in SETS}


def set_name(folder):
    """Name of a folder -> the papers' name of that set, or the folder's own."""
    return _ALIASES.get(folder.lower(), folder)


@dataclasses.dataclass(frozen=True)
class Row:
    """A method at one scale."""

    method: str  # as the table prints it
    thousand_parameters: int | None  # None for bicubic, which has none
    scores: dict[str, Score]  # on luma, for each of SETS, or those that its paper has
    variant: str  # the row of keras_rfdn.networks.config.VARIANTS that is this network, or bicubic
    giga_mult_adds: float | None = None  # of convolutions, for a 1280x720 output; None where no source tells them


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of AIM 2020's challenge on efficient super-resolution, x4, with the costs that the challenge counted."""

    team: str
    author: str
    psnr_test: float  # dB on the challenge's own test images
    runtime_s: float
    million_parameters: float
    giga_flops: float  # multiply-adds for a 256x256 input, as complexity.Complexity.multiply_adds
    million_activations: float  # for the same input
    extra_data: bool  # whether it was trained on more than the challenge's images


_GIGA_MULT_ADDS = {
    "SRCNN": {2: 52.7, 3: 52.7, 4: 52.7},
    "FSRCNN": {2: 6.0, 3: 5.0, 4: 4.6},
    "VDSR": {2: 612.6, 3: 612.6, 4: 612.6},
    "DRCN": {2: 17974.3, 3: 17974.3, 4: 17974.3},
    "LapSRN": {2: 29.9, 4: 149.4},
    "DRRN": {2: 6796.9, 3: 6796.9, 4: 6796.9},
    "MemNet": {2: 2662.4, 3: 2662.4, 4: 2662.4},
    "SRMDNF": {2: 347.7, 3: 156.4, 4: 89.3},
    "CARN": {2: 222.8, 3: 118.8, 4: 90.9},
    "IMDN": {2: 158.8, 3: 71.5, 4: 40.9},
    "RFDN": {2: 120.9, 3: 54.5, 4: 31.1},
    "RFDN-L": {2: 141.8, 3: 63.8, 4: 36.4},
    "RLFN": {2: 115.4, 4: 29.8},
    "BSRN": {4: 19.4},
    "LKDN": {4: 18.3},
}


def _rows(text, variant="{}", *, scale=4):
    """Lines of "method parameters PSNR/SSIM ...", a score or - for each of SETS -> Rows. variant: a format of names."""
    rows = []
    for method, parameters, *scores in map(str.split, text.strip().splitlines()):
        pairs = {
            name: Score(*map(float, score.split("/"))) for name, score in zip(SETS, scores, strict=True) if score != "-"
        }
        thousands = None if parameters == "-" else int(parameters.removesuffix("K"))
        cost = _GIGA_MULT_ADDS.get(method, {}).get(scale)
        rows.append(Row(method, thousands, pairs, variant.format(method.lower()), cost))
    return tuple(rows)


# Table 1: what the parts of the residual feature distillation block bring, at x4.
TABLE_1 = _rows(
    """
    Base  652K  32.08/0.8932  28.55/0.7802  27.53/0.7345  26.05/0.7842  30.28/0.9050
    SRB   652K  32.19/0.8949  28.58/0.7809  27.53/0.7347  26.07/0.7849  30.40/0.9074
    FDC   637K  32.18/0.8945  28.58/0.7811  27.55/0.7352  26.09/0.7849  30.47/0.9077
    RFDB  637K  32.18/0.8950  28.61/0.7820  27.56/0.7356  26.10/0.7859  30.55/0.9082
    """,
    "table1-{}",
)

# Table 2: distillation rates, at x4.
TABLE_2 = _rows(
    """
    0.25  523K  32.18/0.8946  28.57/0.7811  27.53/0.7348  26.09/0.7851  30.44/0.9071
    0.5   544K  32.16/0.8945  28.60/0.7819  27.55/0.7351  26.10/0.7858  30.45/0.9074
    0.75  565K  32.15/0.8944  28.61/0.7816  27.54/0.7350  26.12/0.7853  30.46/0.9081
    """,
    "table2-{}",
)

ABLATIONS = {1: TABLE_1, 2: TABLE_2}  # by the paper's number of the table

# Table 3, by scale: RFDN among its peers.
TABLE_3 = {
    2: _rows(
        """
        Bicubic      -  33.66/0.9299  30.24/0.8688  29.56/0.8431  26.88/0.8403  30.80/0.9339
        SRCNN       8K  36.66/0.9542  32.45/0.9067  31.36/0.8879  29.50/0.8946  35.60/0.9663
        FSRCNN     13K  37.00/0.9558  32.63/0.9088  31.53/0.8920  29.88/0.9020  36.67/0.9710
        VDSR      666K  37.53/0.9587  33.03/0.9124  31.90/0.8960  30.76/0.9140  37.22/0.9750
        DRCN     1774K  37.63/0.9588  33.04/0.9118  31.85/0.8942  30.75/0.9133  37.55/0.9732
        LapSRN    251K  37.52/0.9591  32.99/0.9124  31.80/0.8952  30.41/0.9103  37.27/0.9740
        DRRN      298K  37.74/0.9591  33.23/0.9136  32.05/0.8973  31.23/0.9188  37.88/0.9749
        MemNet    678K  37.78/0.9597  33.28/0.9142  32.08/0.8978  31.31/0.9195  37.72/0.9740
        IDN       553K  37.83/0.9600  33.30/0.9148  32.08/0.8985  31.27/0.9196  38.01/0.9749
        SRMDNF   1511K  37.79/0.9601  33.32/0.9159  32.05/0.8985  31.33/0.9204  38.07/0.9761
        CARN     1592K  37.76/0.9590  33.52/0.9166  32.09/0.8978  31.92/0.9256  38.36/0.9765
        IMDN      694K  38.00/0.9605  33.63/0.9177  32.19/0.8996  32.17/0.9283  38.88/0.9774
        RFDN      534K  38.05/0.9606  33.68/0.9184  32.16/0.8994  32.12/0.9278  38.88/0.9773
        RFDN-L    626K  38.08/0.9606  33.67/0.9190  32.18/0.8996  32.24/0.9290  38.95/0.9773
        """,
        scale=2,
    ),
    3: _rows(
        """
        Bicubic      -  30.39/0.8682  27.55/0.7742  27.21/0.7385  24.46/0.7349  26.95/0.8556
        SRCNN       8K  32.75/0.9090  29.30/0.8215  28.41/0.7863  26.24/0.7989  30.48/0.9117
        FSRCNN     13K  33.18/0.9140  29.37/0.8240  28.53/0.7910  26.43/0.8080  31.10/0.9210
        VDSR      666K  33.66/0.9213  29.77/0.8314  28.82/0.7976  27.14/0.8279  32.01/0.9340
        DRCN     1774K  33.82/0.9226  29.76/0.8311  28.80/0.7963  27.15/0.8276  32.24/0.9343
        LapSRN    502K  33.81/0.9220  29.79/0.8325  28.82/0.7980  27.07/0.8275  32.21/0.9350
        DRRN      298K  34.03/0.9244  29.96/0.8349  28.95/0.8004  27.53/0.8378  32.71/0.9379
        MemNet    678K  34.09/0.9248  30.00/0.8350  28.96/0.8001  27.56/0.8376  32.51/0.9369
        IDN       553K  34.11/0.9253  29.99/0.8354  28.95/0.8013  27.42/0.8359  32.71/0.9381
        SRMDNF   1528K  34.12/0.9254  30.04/0.8382  28.97/0.8025  27.57/0.8398  33.00/0.9403
        CARN     1592K  34.29/0.9255  30.29/0.8407  29.06/0.8034  28.06/0.8493  33.50/0.9440
        IMDN      703K  34.36/0.9270  30.32/0.8417  29.09/0.8046  28.17/0.8519  33.61/0.9445
        RFDN      541K  34.41/0.9273  30.34/0.8420  29.09/0.8050  28.21/0.8525  33.67/0.9449
        RFDN-L    633K  34.47/0.9280  30.35/0.8421  29.11/0.8053  28.32/0.8547  33.78/0.9458
        """,
        scale=3,
    ),
    4: _rows(
        """
        Bicubic      -  28.42/0.8104  26.00/0.7027  25.96/0.6675  23.14/0.6577  24.89/0.7866
        SRCNN       8K  30.48/0.8626  27.50/0.7513  26.90/0.7101  24.52/0.7221  27.58/0.8555
        FSRCNN     13K  30.72/0.8660  27.61/0.7550  26.98/0.7150  24.62/0.7280  27.90/0.8610
        VDSR      666K  31.35/0.8838  28.01/0.7674  27.29/0.7251  25.18/0.7524  28.83/0.8870
        DRCN     1774K  31.53/0.8854  28.02/0.7670  27.23/0.7233  25.14/0.7510  28.93/0.8854
        LapSRN    502K  31.54/0.8852  28.09/0.7700  27.32/0.7275  25.21/0.7562  29.09/0.8900
        DRRN      298K  31.68/0.8888  28.21/0.7720  27.38/0.7284  25.44/0.7638  29.45/0.8946
        MemNet    678K  31.74/0.8893  28.26/0.7723  27.40/0.7281  25.50/0.7630  29.42/0.8942
        IDN       553K  31.82/0.8903  28.25/0.7730  27.41/0.7297  25.41/0.7632  29.41/0.8942
        SRMDNF   1552K  31.96/0.8925  28.35/0.7787  27.49/0.7337  25.68/0.7731  30.09/0.9024
        CARN     1592K  32.13/0.8937  28.60/0.7806  27.58/0.7349  26.07/0.7837  30.47/0.9084
        IMDN      715K  32.21/0.8948  28.58/0.7811  27.56/0.7353  26.04/0.7838  30.45/0.9075
        RFDN      550K  32.24/0.8952  28.61/0.7819  27.57/0.7360  26.11/0.7858  30.58/0.9089
        RFDN-L    643K  32.28/0.8957  28.61/0.7818  27.58/0.7363  26.20/0.7883  30.61/0.9096
        """,
        scale=4,
    ),
}

# Networks that came after RFDN, by scale: RLFN as in its paper's Table 1 (arXiv 2205.07514; without x3 and Manga109),
# BSRN and LKDN as LKDN's authors have them beside their code. What could not be read at its source is left out.
LATER = {
    2: _rows(
        """
        RLFN      527K  38.07/0.9607  33.72/0.9187  32.22/0.9000  32.33/0.9299        -
        """,
        scale=2,
    ),
    3: (),
    4: _rows(
        """
        RLFN      543K  32.24/0.8952  28.62/0.7813  27.60/0.7364  26.17/0.7877        -
        BSRN      352K  32.35/0.8966  28.73/0.7847  27.65/0.7387  26.27/0.7908  30.84/0.9123
        LKDN      322K  32.39/0.8979  28.79/0.7859  27.69/0.7402  26.42/0.7965  30.97/0.9140
        """,
        scale=4,
    ),
}


def rows(scale: int) -> tuple[Row, ...]:
    """All methods at a scale: Table 3, then what came later."""
    return TABLE_3[scale] + LATER[scale]


def row_of(variant: str, scale: int) -> Row | None:
    """The row that scores of a variant are compared with, or None."""
    variant = "lapsrn" if variant == "lapsrn-tf" else variant  # the paper's network as others trained it
    return next((row for row in rows(scale) if row.variant == variant), None)


# Table 4: IMDN and RFDN once more, at x4.
TABLE_4 = _rows(
    """
    IMDN  715K  32.16/0.8940  28.59/0.7812  27.54/0.7350  26.05/0.7841  30.42/0.9074
    RFDN  550K  32.24/0.8953  28.59/0.7814  27.54/0.7355  26.15/0.7868  30.48/0.9080
    """
)

# Table 5: E-RFDN, which is the first, among other entries of the challenge and its baseline.
TABLE_5 = (
    Entry("NJU MCG (ours)", "TinyJie", 28.75, 0.037, 0.433, 27.10, 112.03, True),
    Entry("AiriA GG", "Now", 28.70, 0.037, 0.687, 44.98, 118.49, True),
    Entry("UESTC-MediaLab", "Mulns", 28.70, 0.060, 0.461, 30.06, 219.61, True),
    Entry("XPixel", "zzzhy", 28.70, 0.066, 0.272, 32.19, 270.53, True),
    Entry("HaiYun", "Sudo", 28.78, 0.058, 0.777, 49.67, 132.31, True),
    Entry("IMDN", "zheng222", 28.78, 0.050, 0.893, 58.53, 154.14, True),
    Entry("Baseline", "MSRResNet", 28.70, 0.114, 1.517, 166.36, 292.55, True),
)
