"""What conversion costs: a .tflite file against the float Keras model that it was made from, and both against HR:

    python tflite/validate.py MODEL.tflite --data FOLDER --max_drop_db 0.2

Exit status 1 when the TFLite model loses more than --max_drop_db.

Both sides get the same calls: where the TFLite model has a fixed size, images are padded or cut into tiles of that
size for Keras too, so that only the conversion is measured. With whole images Keras may score otherwise (its
attention then sees all of an image); keras_rfdn.evaluate tells how it scores.
"""

import dataclasses
import sys

import simple_parsing
from absl import logging

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

with lazy_imports():
    from keras_rfdn.data.sources import folders
    from keras_rfdn.tflite.conversion import source
    from keras_rfdn.tflite.inspection import comparison
    from keras_rfdn.upscaling import keras_upscalers, litert, tiling


@dataclasses.dataclass(frozen=True)
class ValidateConfig:
    """Compare a TFLite file with its float Keras model on images, in dB."""

    model: str = simple_parsing.field(positional=True, metavar="MODEL.tflite")
    data: str  # folder of HR images, with or without their LR (data/sources/folders.py says in which layouts)
    weights: str | None = None  # weight file, workdir or released .pth; default: newest run or pretrained, same scale
    max_drop_db: float | None = None  # exit status 1 when the mean loss in dB is above
    images: int | None = number(None, least=1)  # the first of them only
    threads: int | None = number(None, least=1, most=MOST_THREADS)  # of LiteRT; by default one per core
    xnnpack: bool = True  # --noxnnpack leaves LiteRT's own kernels
    json: str | None = None  # file for all that was measured


@dataclasses.dataclass(frozen=True)
class Validation:
    """What was measured. lr: height and width of the calls in LR pixels, None where open."""

    model: str
    weights: str
    data: str
    scale: int
    lr: tuple[int | None, int | None]
    images: "tuple[comparison.ImageComparison, ...]"
    mean: "comparison.ImageComparison"
    max_drop_db: float | None
    passed: bool
    left_out: dict[str, str]  # {image: why}


def main(config):
    """Prints a table and returns the Validation that --json writes.

    Raises UserError when a file is missing or the scales differ.
    """
    check_fields(config)
    model = litert.Model(config.model, threads=config.threads, xnnpack=config.xnnpack)
    loaded = source.load(config.weights, scale=None if config.weights else model.scale)
    keras_model, weights = loaded.model, loaded.path
    if model.scale != loaded.scale:
        raise UserError(
            f"{config.model} enlarges {model.scale} times and {weights} {loaded.scale} times; "
            f"name the --weights that it was made from"
        )
    functions = (
        tiling.tiled(function, model.scale, model.tile)
        for function in (model.upscale, keras_upscalers.from_model(keras_model))
    )
    pairs = folders.find_pairs(config.data, model.scale)
    for note in folders.reading_notes(pairs.files[: config.images]):
        logging.warning("%s: %s", config.data, note)
    images, left_out = comparison.validate(*functions, pairs, scale=model.scale, limit=config.images)
    means = comparison.mean(images)
    result = Validation(
        model=config.model,
        weights=str(weights),
        data=config.data,
        scale=model.scale,
        lr=(model.height, model.width),
        images=tuple(images),
        mean=means,
        max_drop_db=config.max_drop_db,
        passed=config.max_drop_db is None or means.loss_db <= config.max_drop_db,
        left_out=left_out,
    )
    print(table(result))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(result))
    return result


FORMATS = {
    "tflite_psnr_y": ".3f",
    "tflite_ssim_y": ".4f",
    "keras_psnr_y": ".3f",
    "keras_ssim_y": ".4f",
    "loss_db": ".3f",
    "max_difference": "d",
    "mean_difference": ".3f",
    "agreement_db": ".2f",
}


def table(result):
    """Validation -> text."""
    header = ["", "TFLite dB", "SSIM", "Keras dB", "SSIM", "loss dB", "max diff", "mean diff", "agree dB"]
    rows = [
        [image.name, *("equal" if (x := getattr(image, key)) is None else format(x, f) for key, f in FORMATS.items())]
        for image in (*result.images, result.mean)
    ]
    lines = [
        f"{result.model} against {result.weights}, x{result.scale}, {result.data}",
        text_table(header, rows),
        f"PSNR and SSIM on luma against HR, {result.scale} pixels shaved; differences to Keras in grey levels",
    ]
    lines += [f"left out: {name}: {why}" for name, why in result.left_out.items()]
    height, width = result.lr
    if height or width:
        lines.append(f"both in pieces of {width or 'any'}x{height or 'any'} LR pixels, the size of the TFLite model")
    if result.max_drop_db is not None:
        verdict = "within" if result.passed else "ABOVE"
        lines.append(f"loss of {result.mean.loss_db:.3f} dB: {verdict} the {result.max_drop_db} dB allowed")
    return "\n".join(lines)


def exit_with_verdict(config):
    """Run main, and exit with status 1 when the loss is above what is allowed."""
    if not main(config).passed:
        sys.exit(1)


if __name__ == "__main__":
    command.run(exit_with_verdict, ValidateConfig)
