"""Comparison of a .tflite file with the float Keras model that it was made from."""

import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import metrics, scoring


def validate(tflite, keras, pairs, *, scale, limit=None):
    """Two upscalers on the first `limit` (name, lr, hr) of pairs -> compare's dictionaries, with each image's name.

    Shows its progress. Raises UserError that names the image when one is too small to measure.
    """
    results = []
    for name, lr, hr in scoring.first(pairs, limit, "validating"):
        try:
            results.append({"name": name, **compare(tflite(lr), keras(lr), hr, scale=scale)})
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    return results


def compare(tflite_sr, keras_sr, hr, *, scale):
    """Three uint8 RGB images of one shape [h, w, 3] -> dictionary of what conversion changed.

    tflite_psnr_y, tflite_ssim_y, keras_psnr_y, keras_ssim_y: against HR, `scale` pixels shaved. loss_db: Keras' PSNR
    less TFLite's. max_difference, mean_difference: TFLite to Keras in grey levels, all channels, nothing shaved.
    agreement_db: PSNR of TFLite against Keras, likewise; None when they are equal.
    """
    difference = np.abs(tflite_sr.astype(int) - keras_sr)
    tflite, keras = (scoring.score(sr, hr, scale) for sr in (tflite_sr, keras_sr))
    return {
        "tflite_psnr_y": tflite.psnr,
        "tflite_ssim_y": tflite.ssim,
        "keras_psnr_y": keras.psnr,
        "keras_ssim_y": keras.ssim,
        # Equal scores may be infinite.
        "loss_db": 0.0 if keras.psnr == tflite.psnr else keras.psnr - tflite.psnr,
        "max_difference": int(difference.max()),
        "mean_difference": float(difference.mean()),
        "agreement_db": metrics.psnr(tflite_sr, keras_sr, shave=0) if difference.any() else None,
    }


def mean(images):
    """compare's dictionaries -> one: means, but the largest max_difference; agreement over those that differ."""
    values = {key: [image[key] for image in images if image[key] is not None] for key in images[0] if key != "name"}
    result = {key: float(np.mean(numbers)) if numbers else None for key, numbers in values.items()}
    return {**result, "max_difference": max(values["max_difference"])}
