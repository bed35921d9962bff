"""Calibration check: whether the images that an int8 file was calibrated on showed its network what photographs do.

Where they were dark, flat, noise or few, ranges cut off what photographs hold, and the file's loss on such images tells
nothing of that. So the file is compared with the float network on sample photographs too.
"""

import dataclasses

import numpy as np
from absl import logging

from keras_rfdn.data.images import patches
from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import metrics
from keras_rfdn.tflite.quantization import calibration
from keras_rfdn.upscaling import resizable, tiling

# A file is warned of that is farther from the float network on photographs than on calibration images by more than
# LARGEST_GAP_DB, and no longer NEAR_DB (two squared grey levels). Bad sets gave gaps of 10 dB and more, good ones of 2
# at most (docs/int8.md); rounding noise is 5 dB less on large, smooth images than on small, sharp ones.
LARGEST_GAP_DB, NEAR_DB = 6.0, 45.0


@dataclasses.dataclass(frozen=True)
class CalibrationCheck:
    """What was measured. Agreements: PSNR of the file's results against the float network's; infinite where equal."""

    photographs_db: float  # agreement on sample photographs
    calibration_db: float  # agreement on calibration images
    loss_db: float  # luma PSNR against the originals that the file loses on sample photographs

    @property
    def is_passed(self) -> bool:
        gap = self.calibration_db - self.photographs_db
        return not (gap > LARGEST_GAP_DB and self.photographs_db < NEAR_DB)

    def __str__(self):
        return (
            f"int8 loses {self.loss_db:.2f} dB on sample photographs: it is {self.photographs_db:.1f} dB near to the "
            f"float network there, and {self.calibration_db:.1f} dB on the calibration images"
        )


def check_file(content: bytes, upscale, pairs, *, scale: int, strict: bool = False) -> CalibrationCheck:
    """As check, of a .tflite file's bytes."""
    file = resizable.ResizableModel(content)
    # A file that can't be reshaped pads images to its own size; then both sides get that.
    tile = file.tile_for(calibration.PATCH, calibration.PATCH)
    return check(file, tiling.tiled(upscale, scale, tile), pairs, scale=scale, strict=strict)


def check(file, upscale, pairs, *, scale: int, strict: bool = False) -> CalibrationCheck:
    """Compare an int8 network with its float network on sample photographs and on calibration images.

    file, upscale: upscalers, uint8 RGB [h, w, 3] -> uint8 RGB, of the int8 network and of the float one. pairs: the
    (name, lr, hr) items that it was calibrated on. Says in the log when photographs lose clearly more, or with strict
    raises UserError.
    """
    photographs = [
        (name, *patches.center_crop_pair(lr, hr, lr_patch=calibration.PATCH, scale=scale))
        for name, lr, hr in sample.SamplePairs(sample.PHOTOGRAPHS, 0, scale)
    ]
    _, lrs, hrs = zip(*photographs, strict=True)
    calibrated_on = list(calibration.patches(pairs, count=len(lrs)))
    # Side by side, so that squared errors have a mean: a flat image by itself may have no PSNR.
    (ours, wanted), (on_patches, wanted_on_patches) = (
        [np.concatenate([function(image) for image in images]) for function in (file, upscale)]
        for images in (lrs, calibrated_on)
    )
    exact, lossy = (metrics.psnr_y(sr, np.concatenate(hrs), shave=0) for sr in (wanted, ours))
    found = CalibrationCheck(
        photographs_db=metrics.psnr(ours, wanted, shave=0),
        calibration_db=metrics.psnr(on_patches, wanted_on_patches, shave=0),
        loss_db=exact - lossy,
    )
    if not found.is_passed:
        words = f"{found}. Those have {_facts(pairs)}; the photographs {_facts(photographs)}"
        advice = "calibrate on images like those to upscale, or on sample photographs"
        if strict:
            raise UserError(f"calibration images must span what photographs hold, and {words}; {advice}")
        logging.warning("%s; unless only such images are to be upscaled, %s", words, advice)
    return found


def _facts(pairs):
    """How many pixels images have, how far their grey levels reach, and how much they vary, in words."""
    pixels = sum(lr.shape[0] * lr.shape[1] for _, lr, _ in pairs)
    values = np.stack(list(calibration.patches(pairs, count=calibration.IMAGES)))  # a training set may be large
    low, high = np.percentile(values, (1, 99))
    steps = np.abs(np.diff(values.astype(np.int16), axis=2)).mean()
    return (
        f"{pixels:,} LR pixels, grey levels from {low:.0f} to {high:.0f}, a standard deviation of {values.std():.1f}, "
        f"and {steps:.1f} levels between neighbours"
    )
