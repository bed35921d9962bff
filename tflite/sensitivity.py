"""Sensitivity analysis: where int8 loses its decibels, rounding by rounding:

    python tflite/sensitivity.py --data VALIDATION --calibration TRAINING --weights RFDN_AIM.pth --plot loss.png

The int8 network that tflite/convert.py --int8 makes is simulated with each rounding, of a tensor or of a kernel, on its
own, and with all but it.
"""

import dataclasses

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files

with lazy_imports():
    from keras_rfdn.data.sources import folders
    from keras_rfdn.tflite.conversion import converter, source
    from keras_rfdn.tflite.inspection import sensitivity_plot
    from keras_rfdn.tflite.quantization import calibration, folding, post_training, sensitivity

SHOWN = 30  # rows of the table


@dataclasses.dataclass(frozen=True)
class SensitivityConfig:
    """Rank the roundings of an int8 network by the loss in dB that each causes."""

    data: str  # folder of HR images to measure on
    calibration: str  # folder of other HR images, to learn ranges from
    weights: str | None = None  # weight file, workdir or released .pth; by default the newest run or pretrained
    accurate: bool = False  # examine what convert.py --int8 --accurate makes
    images: int = number(6, above=0)  # of data, the first that are large enough, a part of 64x64 LR pixels of each
    json: str | None = None  # file for all that was measured
    plot: str | None = None  # PNG of the ranking


@dataclasses.dataclass(frozen=True)
class SensitivityReport:
    """What was measured. psnr_y: dB of float, int8, tensors and kernels (these alone in int8)."""

    weights: str
    variant: str
    data: str
    accurate: bool
    images: tuple[str, ...]  # their names
    psnr_y: dict[str, float]
    parts: dict[str, float]  # part of the network: dB lost by its roundings alone
    roundings: "tuple[sensitivity.Rounding, ...]"  # the costliest first


def main(config):
    """Prints tables and returns the SensitivityReport that --json writes."""
    check_fields(config)
    loaded = source.load(config.weights)
    pairs = calibration.source(config.calibration, loaded.scale)
    images = converter.calibration_images(pairs, "int8", None, None)
    network = folding.fold_value_range(loaded.model, batch=None)
    quantized = post_training.quantize(network, images, accurate=config.accurate)
    data = folders.find_pairs(config.data, loaded.scale)
    analysis = sensitivity.SensitivityAnalysis(quantized, data, images=config.images)
    report = SensitivityReport(
        weights=str(loaded.path),
        variant=loaded.name,
        data=config.data,
        accurate=config.accurate,
        images=tuple(analysis.measured),
        psnr_y=analysis.totals(),
        parts=analysis.parts(),
        roundings=tuple(sorted(analysis.roundings(), key=lambda rounding: -rounding.only_this_db)),
    )
    print(text(report))
    if config.json:
        files.write_json(config.json, dataclasses.asdict(report))
    if config.plot:
        sensitivity_plot.draw(report.roundings[:SHOWN], report.variant, config.plot)
    return report


def text(report):
    """SensitivityReport -> tables for the terminal."""
    psnr = report.psnr_y
    loss = {key: psnr["float"] - psnr[key] for key in ("int8", "tensors", "kernels")}
    single = sum(rounding.only_this_db for rounding in report.roundings)
    parts = [[part, f"{lost:.4f}"] for part, lost in sorted(report.parts.items(), key=lambda item: -item[1])]
    header = ["rounding", "kind", "only this, dB", "all but this, dB", "SNR dB", "saturated", "step", "low", "high"]
    rows = []
    for rounding in report.roundings[:SHOWN]:
        facts = rounding.facts
        cells = (
            [f"{facts.snr_db:.1f}", f"{facts.saturated:.3%}"]
            + [f"{value:.4g}" for value in (facts.step_size, facts.low, facts.high)]
            if facts
            else [""] * 5
        )
        losses = (f"{value:.4f}" for value in (rounding.only_this_db, rounding.all_but_this_db))
        rows.append([rounding.name, rounding.kind, *losses, *cells])
    return "\n".join(
        [
            f"{report.variant} of {report.weights}, convert.py --int8{' --accurate' if report.accurate else ''}",
            f"float {psnr['float']:.3f} dB, int8 {psnr['int8']:.3f}: {loss['int8']:.3f} lost; "
            f"tensors alone {loss['tensors']:.3f}, kernels alone {loss['kernels']:.3f}; "
            f"the sum over single roundings {single:.3f}, over parts {sum(report.parts.values()):.3f}",
            text_table(["part", "only this, dB"], parts),
            text_table(header, rows),
            "only this: lost with nothing else in int8; all but this: won with only it in float; SNR: with all in int8",
        ]
    )


if __name__ == "__main__":
    command.run(main, SensitivityConfig)
