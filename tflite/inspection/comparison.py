"""Comparison of a .tflite file with the float Keras model that it was made from."""

import dataclasses
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


def validate(tflite, keras, pairs, *, scale, limit=None) -> list[ImageComparison]:
    """Compare two upscalers on the first `limit` (name, lr, hr) of pairs.

    Shows its progress. Raises UserError that names the image when one is too small to measure.
    """
    results = []
    for name, lr, hr in scoring.first(pairs, limit, "validating"):
        try:
            results.append(compare(tflite(lr), keras(lr), hr, scale=scale, name=name))
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    return results


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
