"""PSNR and SSIM of upscalers on sets of images, by the protocol of papers or of challenges."""

import dataclasses
import itertools
import statistics

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


def score(sr, hr, scale, protocol="y"):
    """Both numbers of a protocol for one image. sr, hr: uint8 RGB [h, w, 3]. protocol: key of PROTOCOLS."""
    return Score(*(metric(sr, hr, shave=scale) for metric in PROTOCOLS[protocol]))


def mean(scores):
    """Mean of the images' scores, as papers give it for a set."""
    scores = list(scores)
    return Score(statistics.fmean(s.psnr for s in scores), statistics.fmean(s.ssim for s in scores))


def evaluate(upscale, pairs, scale, protocol="y"):
    """{image: Score} of an upscaler. pairs: (name, lr, hr) items, uint8 RGB."""
    return {name: score(upscale(lr), hr, scale, protocol) for name, lr, hr in pairs}


def first(pairs, limit, description):
    """Iterator over the first `limit` of sized pairs, or with None all, with a progress bar."""
    total = min(len(pairs), limit or len(pairs))
    return tqdm.tqdm(itertools.islice(pairs, total), description, total, unit=" images", disable=None)
