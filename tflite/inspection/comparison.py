"""Comparison of a .tflite file with the float Keras model that it was made from."""

import dataclasses
import math
import statistics

import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import metrics, scoring


@dataclasses.dataclass(frozen=True)
class ImageComparison:
    """What conversion changed on one image, or in the mean.

    PSNR (dB) and SSIM are on luma against HR, `scale` pixels shaved; differences are TFLite to Keras in grey levels, of
    all channels, nothing shaved.
    """

    name: str
    tflite_psnr_y: float
    tflite_ssim_y: float
    keras_psnr_y: float
    keras_ssim_y: float
    loss_db: float  # Keras' PSNR less TFLite's
    max_difference: int
    mean_difference: float
    agreement_db: float | None  # PSNR of TFLite against Keras; None when they are equal


def validate(tflite, keras, pairs, *, scale, limit=None) -> tuple[list[ImageComparison], dict[str, str]]:
    """Compare two upscalers on the first `limit` (name, lr, hr) of pairs -> (comparisons, {name: why} left out).

    Left out is what would spoil a mean, as scoring.evaluate_all does. Shows its progress. Raises UserError when nothing
    is left.
    """
    results, left_out = [], {}
    for name, lr, hr in scoring.first(pairs, limit, "validating"):
        why = scoring.unmeasurable(hr, scale)
        if not why:
            found = compare(tflite(lr), keras(lr), hr, scale=scale, name=name)
            if math.isfinite(found.tflite_psnr_y) and math.isfinite(found.keras_psnr_y):
                results.append(found)
                continue
            why = "a result equals the HR image: its PSNR is infinite"
        left_out[name] = why
    if not results:
        raise UserError("no image to measure on; " + "; ".join(f"{name}: {why}" for name, why in left_out.items()))
    return results, left_out


def compare(tflite_sr, keras_sr, hr, *, scale, name="") -> ImageComparison:
    """Compare three uint8 RGB images of one shape [h, w, 3]."""
    difference = np.abs(tflite_sr.astype(int) - keras_sr)
    tflite, keras = (scoring.score(sr, hr, scale) for sr in (tflite_sr, keras_sr))
    return ImageComparison(
        name=name,
        tflite_psnr_y=tflite.psnr,
        tflite_ssim_y=tflite.ssim,
        keras_psnr_y=keras.psnr,
        keras_ssim_y=keras.ssim,
        # Equal scores may be infinite.
        loss_db=0.0 if keras.psnr == tflite.psnr else keras.psnr - tflite.psnr,
        max_difference=int(difference.max()),
        mean_difference=float(difference.mean()),
        agreement_db=metrics.psnr(tflite_sr, keras_sr, shave=0) if difference.any() else None,
    )


def mean(images) -> ImageComparison:
    """Means over images, but the largest max_difference; agreement_db over those that differ."""
    fields = [field.name for field in dataclasses.fields(ImageComparison) if field.name != "name"]
    values = {key: [x for image in images if (x := getattr(image, key)) is not None] for key in fields}
    means = {key: statistics.fmean(numbers) if numbers else None for key, numbers in values.items()}
    return ImageComparison("mean", **{**means, "max_difference": max(values["max_difference"])})
