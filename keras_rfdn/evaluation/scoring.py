"""Scoring: PSNR and SSIM of upscalers on images, by the protocol of papers or of challenges. No TensorFlow here."""

import dataclasses
import itertools
import statistics
from collections.abc import Iterable

import tqdm

from keras_rfdn.evaluation import metrics

PROTOCOLS = {"y": (metrics.psnr_y, metrics.ssim_y), "rgb": (metrics.psnr, metrics.ssim)}


@dataclasses.dataclass(frozen=True)
class Score:
    """psnr in dB and ssim of one image, or of several in the mean."""

    psnr: float
    ssim: float

    def __str__(self):
        return f"{self.psnr:.2f} / {self.ssim:.4f}"


def score(sr, hr, scale, protocol="y") -> Score:
    """PSNR and SSIM of one image by a protocol. sr, hr: uint8 RGB [h, w, 3]. protocol: key of PROTOCOLS."""
    return Score(*(metric(sr, hr, shave=scale) for metric in PROTOCOLS[protocol]))


def mean(scores: Iterable[Score]) -> Score:
    """Mean score of several images, as papers give it for a set: of dB, not of squared errors."""
    scores = list(scores)
    return Score(statistics.fmean(s.psnr for s in scores), statistics.fmean(s.ssim for s in scores))


def evaluate(upscale, pairs, scale, protocol="y") -> dict[str, Score]:
    """Scores of an upscaler on images: {name: Score}. pairs: (name, lr, hr) items, uint8 RGB."""
    return {name: score(upscale(lr), hr, scale, protocol) for name, lr, hr in pairs}


def first(pairs, limit, description):
    """Iterator with a progress bar over sized pairs: the first `limit` of them, or with None all."""
    total = len(pairs) if limit is None else min(len(pairs), limit)
    return tqdm.tqdm(itertools.islice(pairs, total), description, total, unit=" images", disable=None)
