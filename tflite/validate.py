"""What conversion costs: a .tflite file against the float Keras model that it was made from, and both against HR:

    python tflite/validate.py MODEL.tflite --data FOLDER --max_drop_db 0.2

Exit status 1 when the TFLite model loses more than --max_drop_db.

Both sides get the same calls: where the TFLite model has a fixed size, images are padded or cut into tiles of that
size for Keras too, so that only the conversion is measured. With whole images Keras may score otherwise (its
attention then sees all of an image); keras_rfdn.evaluate tells how it scores.
"""

import dataclasses
import sys

import numpy as np
import simple_parsing

from data import folders
from keras_rfdn import checkpoint, command, evaluate, metrics, report, upscale
from keras_rfdn.tiling import fitted
from tflite import runtime


@dataclasses.dataclass(frozen=True)
class ValidateConfig:
    """Compare a TFLite file with its float Keras model on images, in dB."""

    model: str = simple_parsing.field(positional=True, metavar="MODEL.tflite")
    data: str  # folder of HR images, with or without their LR (data/folders.py says in which layouts)
    weights: str | None = None  # weight file, workdir or released .pth; default: newest run or shipped, same scale
    max_drop_db: float | None = None  # exit status 1 when the mean loss in dB is above
    images: int | None = None  # the first of them only
    threads: int | None = None  # of LiteRT; by default one per core
    xnnpack: bool = True  # --noxnnpack leaves LiteRT's own kernels
    json: str | None = None  # file for all that was measured


def main(config):
    """Prints a table and returns what --json writes.

    A dictionary of model, weights, data, scale, lr (height and width of the calls, None where open), images (what
    compare returns for each, and name), mean (see mean), max_drop_db and passed. Raises ValueError when a file is
    missing or the scales differ.
    """
    if config.images is not None and config.images < 1:
        raise ValueError(f"--images must be 1 or more, got {config.images}")
    model = runtime.Model(config.model, threads=config.threads, xnnpack=config.xnnpack)
    weights = checkpoint.resolve(config.weights, scale=None if config.weights else model.scale)
    keras_model, keras_config = checkpoint.load(weights)
    if model.scale != keras_config.scale:
        raise ValueError(
            f"{config.model} enlarges {model.scale} times and {weights} {keras_config.scale} times; "
            f"name the --weights that it was made from"
        )
    upscalers = (
        fitted(function, model.smallest, model.largest) for function in (model.upscale, upscale.from_model(keras_model))
    )
    pairs = folders.find_pairs(config.data, model.scale)
    images = validate(*upscalers, pairs, scale=model.scale, limit=config.images)
    result = {
        "model": config.model,
        "weights": str(weights),
        "data": config.data,
        "scale": model.scale,
        "lr": (model.height, model.width),
        "images": images,
        "mean": mean(images),
        "max_drop_db": config.max_drop_db,
    }
    result["passed"] = config.max_drop_db is None or result["mean"]["loss_db"] <= config.max_drop_db
    print(table(result))
    if config.json:
        report.write_json(config.json, result)
    return result


def validate(tflite, keras, pairs, *, scale, limit=None):
    """Two upscalers on the first `limit` (name, lr, hr) of pairs -> compare's dictionaries, with each image's name.

    Shows its progress. Raises ValueError that names the image when one is too small to measure.
    """
    results = []
    for name, lr, hr in evaluate.first(pairs, limit, "validating"):
        try:
            results.append({"name": name, **compare(tflite(lr), keras(lr), hr, scale=scale)})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return results


def compare(tflite_sr, keras_sr, hr, *, scale):
    """Three uint8 RGB images of one shape [h, w, 3] -> dictionary of what conversion changed.

    tflite_psnr_y, tflite_ssim_y, keras_psnr_y, keras_ssim_y: against HR, `scale` pixels shaved. loss_db: Keras' PSNR
    less TFLite's. max_difference, mean_difference: TFLite to Keras in grey levels, all channels, nothing shaved.
    agreement_db: PSNR of TFLite against Keras, likewise; None when they are equal.
    """
    difference = np.abs(tflite_sr.astype(int) - keras_sr)
    tflite, keras = (evaluate.score(sr, hr, scale) for sr in (tflite_sr, keras_sr))
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


def table(result):
    """Result of main -> text."""
    header = ["", "TFLite dB", "SSIM", "Keras dB", "SSIM", "loss dB", "max diff", "mean diff", "agree dB"]
    formats = {
        "tflite_psnr_y": ".3f",
        "tflite_ssim_y": ".4f",
        "keras_psnr_y": ".3f",
        "keras_ssim_y": ".4f",
        "loss_db": ".3f",
        "max_difference": "d",
        "mean_difference": ".3f",
        "agreement_db": ".2f",
    }
    rows = [
        [image["name"], *("equal" if image[key] is None else format(image[key], f) for key, f in formats.items())]
        for image in [*result["images"], {"name": "mean", **result["mean"]}]
    ]
    lines = [
        f"{result['model']} against {result['weights']}, x{result['scale']}, {result['data']}",
        report.table(header, rows),
        f"PSNR and SSIM on luma against HR, {result['scale']} pixels shaved; differences to Keras in grey levels",
    ]
    height, width = result["lr"]
    if height or width:
        lines.append(f"both in pieces of {width or 'any'}x{height or 'any'} LR pixels, the size of the TFLite model")
    if result["max_drop_db"] is not None:
        verdict = "within" if result["passed"] else "ABOVE"
        lines.append(f"loss of {result['mean']['loss_db']:.3f} dB: {verdict} the {result['max_drop_db']} dB allowed")
    return "\n".join(lines)


def checked(config):
    """main, and exit status 1 when the loss is above what is allowed."""
    if not main(config)["passed"]:
        sys.exit(1)


if __name__ == "__main__":
    command.run(checked, ValidateConfig)
