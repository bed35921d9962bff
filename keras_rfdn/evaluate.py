"""Scores on a folder of HR images by the papers' protocol: PSNR and SSIM on luma, `scale` pixels shaved, bicubic LR.

python -m keras_rfdn.evaluate FOLDER                             the newest run
python -m keras_rfdn.evaluate FOLDER --weights FILE_OR_WORKDIR   also a .tflite
"""

import dataclasses
import itertools
import statistics

import simple_parsing
import tqdm

from data import bicubic, folders
from keras_rfdn import command, metrics, report, upscale


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure PSNR and SSIM against HR images, bicubic beside the network."""

    data: str = simple_parsing.field(positional=True, metavar="FOLDER")  # HR, or HR and LR_bicubic (data/folders.py)
    weights: str | None = None  # weight file, workdir, .tflite or released .pth; by default the newest run
    variant: str | None = None  # by default that of the weights
    scale: int | None = None  # by default that of the weights
    images: int | None = None  # measure the first of them only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    json: str | None = None  # write the scores to this file too


@dataclasses.dataclass(frozen=True)
class Score:
    """psnr_y in dB and ssim_y of one image, or of several in the mean."""

    psnr_y: float
    ssim_y: float

    def __str__(self):
        return f"{self.psnr_y:.2f} / {self.ssim_y:.4f}"


def score(sr, hr, scale):
    """Both numbers of the papers' protocol for one image. sr, hr: uint8 RGB [h, w, 3]."""
    return Score(metrics.psnr_y(sr, hr, shave=scale), metrics.ssim_y(sr, hr, shave=scale))


def mean(scores):
    """Mean of the images' scores, as papers give it for a set."""
    return Score(*(statistics.fmean(getattr(s, field) for s in scores) for field in ("psnr_y", "ssim_y")))


def evaluate(upscale, pairs, scale):
    """{image: Score} of an upscaler. pairs: (name, lr, hr) items, uint8 RGB."""
    return {name: score(upscale(lr), hr, scale) for name, lr, hr in pairs}


def main(config):
    """Prints a table and returns what --json writes: settings, and under images and mean the scores of each method."""
    upscaler, scale, source = upscale.open_upscaler(config.weights, variant=config.variant, scale=config.scale)
    pairs = folders.find_pairs(config.data, scale, skip_broken=config.skip_broken)
    total = min(len(pairs), config.images or len(pairs))
    methods = {"bicubic": lambda lr: bicubic.upscale(lr, scale), "network": upscaler}
    scores = {method: {} for method in methods}
    for name, lr, hr in tqdm.tqdm(itertools.islice(pairs, total), total=total, unit=" images", disable=None):
        for method, function in methods.items():
            scores[method][name] = score(function(lr), hr, scale)
    means = {method: mean(scores[method].values()) for method in methods}
    rows = [[name, *(scores[method][name] for method in methods)] for name in scores["network"]]
    print(f"{source}, x{scale}, on {config.data}: PSNR in dB / SSIM on luma, {scale} pixels shaved")
    print(report.table(["image", *methods], [*rows, ["mean", *means.values()]]))
    result = {
        "data": str(config.data),
        "weights": source,
        "scale": scale,
        "protocol": f"BT.601 luma, {scale} pixels shaved",
        "images": {method: {n: dataclasses.asdict(s) for n, s in of.items()} for method, of in scores.items()},
        "mean": {method: dataclasses.asdict(s) for method, s in means.items()},
    }
    if config.json:
        report.write_json(config.json, result)
    return result


if __name__ == "__main__":
    command.run(main, EvaluateConfig)
