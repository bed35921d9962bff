"""Scoring: PSNR and SSIM of upscalers on images, by the protocol of papers or of challenges. No TensorFlow here."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Iterable

import numpy as np
from absl import logging

from keras_rfdn.data.sources.pair_source import Pair
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track
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
    """Mean score of several images, as papers give it for a set: of dB, not of squared errors.

    Raises UserError when there is none, or one is infinite.
    """
    scores = list(scores)
    if not all(math.isfinite(s.psnr) for s in scores):
        raise UserError("a result equals its HR image, and its infinite PSNR has no mean with others; leave it out")
    if not scores:
        raise UserError("no image that PSNR and SSIM can be measured on")
    return Score(statistics.fmean(s.psnr for s in scores), statistics.fmean(s.ssim for s in scores))


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of several upscalers on the same images.

    images: {name: Score} of each upscaler, in their order. left_out: {name: why} of images that are in none of them.
    """

    images: tuple[dict[str, Score], ...]
    left_out: dict[str, str]


def evaluate_all(upscalers: list[Callable], pairs: Iterable[Pair], scale: int, protocol="y") -> Scores:
    """Scores of several upscalers, each a function, on images. pairs: (name, lr, hr) items, uint8 RGB.

    What would spoil a mean is left out for all of them: HR images that tell nothing (see unmeasurable), and images
    that an upscaler gives exactly, whose PSNR is infinite.
    """
    images, left_out = tuple({} for _ in upscalers), {}
    for name, lr, hr in pairs:
        if why := unmeasurable(hr, scale):
            left_out[name] = why
            continue
        scores = [score(upscale(lr), hr, scale, protocol) for upscale in upscalers]
        if not all(math.isfinite(s.psnr) for s in scores):
            left_out[name] = "a result equals the HR image: its PSNR is infinite"
            continue
        for of_upscaler, s in zip(images, scores, strict=True):
            of_upscaler[name] = s
    return Scores(images, left_out)


def evaluate(upscale, pairs, scale, protocol="y") -> dict[str, Score]:
    """Scores of an upscaler on images: {name: Score}. What evaluate_all leaves out is named in the log."""
    scores = evaluate_all([upscale], pairs, scale, protocol)
    for name, why in scores.left_out.items():
        logging.warning("%s is left out: %s", name, why)
    return scores.images[0]


def unmeasurable(hr: np.ndarray, scale: int, window: int = metrics.WINDOW) -> str | None:
    """Why an HR image tells nothing about upscalers, in words, or None: it is too small, or of one colour.

    window: pixels a side that must be left after `scale` pixels are shaved; SSIM's by default.
    """
    height, width = hr.shape[:2]
    if min(height, width) < 2 * scale + window:
        return f"HR image of {width}x{height} pixels, and {2 * scale + window} a side are needed to measure on"
    inside = hr[scale:-scale, scale:-scale]
    return "HR image of one colour" if (inside == inside[0, 0]).all() else None


def measurable(pairs: Iterable[Pair], scale: int) -> list[Pair]:
    """Pairs that PSNR can be measured on; the others are named in the log. Raises UserError when there is none."""
    found = []
    for name, lr, hr in pairs:
        if why := unmeasurable(hr, scale, window=1):
            logging.warning("%s is left out of validation: %s", name, why)
        else:
            found.append((name, lr, hr))
    if not found:
        raise UserError("no validation image that PSNR can be measured on: all are of one colour or too small")
    return found


def first(pairs, limit, description):
    """Iterator with a progress bar over sized pairs: the first `limit` of them, or with None all."""
    total = len(pairs) if limit is None else min(len(pairs), limit)
    return track(itertools.islice(pairs, total), description, total=total)
