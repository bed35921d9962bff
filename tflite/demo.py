"""The whole road in some ten minutes on two cores (make demo): train, convert, validate, benchmark, upscale.

    python tflite/demo.py

A short training on images that need no download shows that everything works and what int8 costs; it is far from what
the network can do. Stopped and started again, it goes on where it was.
"""

import dataclasses
import pathlib

import numpy as np
from PIL import Image

from keras_rfdn import train
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.tflite import benchmark, convert, validate

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.images import bicubic
    from keras_rfdn.data.sources import sample
    from keras_rfdn.evaluation import panels, scoring
    from keras_rfdn.upscaling import keras_upscalers

SCALE = 4
CROP = (100, 130, 150)  # top, left, side in HR pixels: what the demo's picture shows of each version


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Train E-RFDN x4 shortly, make TFLite files of it and compare them with bicubic and the original."""

    out: str = "demo"  # folder for all that is made
    steps: int = number(1000, above=0)  # updates, of 8 patches of 32x32 LR pixels each
    rounds: int = number(20, above=0)  # timed runs of each TFLite file


def main(config):
    """Prints one table and returns its rows; writes pictures, models and scores into config.out."""
    check_fields(config)
    out = pathlib.Path(config.out)
    photographs = _write_photographs(out / "photographs")
    _say(1, "train E-RFDN x4 on photographs of scikit-image and dead leaves")
    workdir = out / "run"
    train.main(
        train.TrainConfig(
            variant="e-rfdn",
            scale=SCALE,
            data="sample",
            workdir=str(workdir),
            steps=config.steps,
            batch=8,
            patch=32,
            learning_rate=2e-3,
            schedule="cosine",
            warmup=50,
            validate_every=max(1, config.steps // 4),
        )
    )
    _say(2, "convert to TFLite, float32 and fully integer")
    weights = str(workdir)
    float_file, int8_file = (
        convert.main(convert.ConvertConfig(weights=weights, int8=int8, out=str(out / name)))
        for int8, name in ((False, "float32.tflite"), (True, "int8.tflite"))
    )
    _say(3, "validate the int8 file against the float network")
    loss = validate.main(
        validate.ValidateConfig(
            str(int8_file), data=str(photographs), weights=weights, json=str(out / "int8_loss.json")
        )
    )
    _say(4, "benchmark float32 against int8, 320x180 -> 1280x720")
    latency = benchmark.main(
        benchmark.BenchmarkConfig(
            (str(float_file), str(int8_file)), rounds=config.rounds, json=str(out / "latency.json")
        )
    )
    _say(5, "upscale a photograph")
    pairs = list(sample.valid(SCALE))
    functions = {
        "bicubic": lambda lr: bicubic.upscale(lr, SCALE),
        "float": keras_upscalers.open_upscaler(checkpoint.resolve(weights))[0],
        "int8": keras_upscalers.open_upscaler(int8_file)[0],
    }
    picture = out / "bicubic_float_int8_original.png"
    _, lr, hr = pairs[0]
    draw({name: function(lr) for name, function in functions.items()} | {"original": hr}, picture, crop=CROP)

    facts = {"float": latency.models[0], "int8": latency.models[1]}
    rows = []
    for name, function in functions.items():
        score = scoring.mean(list(scoring.evaluate(function, pairs, SCALE).values()))
        fact = facts.get(name)
        cells = [f"{fact.latency.median_ms:.0f}", f"{fact.size_bytes / 1e6:.2f}"] if fact else ["", ""]
        rows.append([name, f"{score.psnr:.2f}", f"{score.ssim:.4f}", *cells])
    print(f"\nE-RFDN x4 after {config.steps} steps, on {len(pairs)} photographs that it was not trained on")
    print(text_table(["", "PSNR dB", "SSIM", "ms", "MB"], rows))
    print(f"int8 loses {loss.mean.loss_db:.3f} dB and takes {latency.models[1].latency.ratio:.2f} of the float time")
    print(f"picture: {picture}")
    return rows


def _say(number, what):
    print(f"\n== {number} of 5: {what}", flush=True)


def _write_photographs(folder):
    """The sample set's validation photographs as files, for the commands that read folders."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sample.VALID:
        Image.fromarray(sample.photograph(name)).save(folder / f"{name}.png")
    return folder


def draw(versions, path, *, crop):
    """{name: HR-sized image} -> a picture of the same crop of each, side by side, twice as large, named above.

    crop: top, left and side in HR pixels.
    """
    top, left, side = crop
    crop = slice(top, top + side), slice(left, left + side)
    versions = [panels.panel(image[crop], name, factor=2) for name, image in versions.items()]
    panels.write(np.concatenate(versions, axis=1), path)


if __name__ == "__main__":
    command.run(main, DemoConfig)
