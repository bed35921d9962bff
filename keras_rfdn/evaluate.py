"""PSNR and SSIM on sets of HR images: bicubic, networks, and the paper's numbers beside ours.

    python -m keras_rfdn.evaluate FOLDER                     the newest run: each image, and the mean
    python -m keras_rfdn.evaluate SET SET --weights A B      several sets and networks: the paper's Table 3 beside ours
    python -m keras_rfdn.evaluate SET --weights A.tflite B.tflite --latency TIMES.json --out PREFIX
                                                             and PSNR over latency, as benchmark.py --json measured it

A set is a folder of HR images, with or without their LR (data/sources/folders.py says in which layouts); weights are a
weight file, a workdir, a .tflite or a released .pth. The papers' protocol is y: PSNR and SSIM on luma, `scale` pixels
shaved; rgb is that of the challenges: all three channels, `scale` pixels shaved.
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation.scoring import PROTOCOLS
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from keras_rfdn.evaluation import measurement, plots, reports, tables


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure PSNR and SSIM against HR images, bicubic beside the networks and the paper's numbers beside ours."""

    sets: tuple[str, ...] = simple_parsing.field(
        default=(), positional=True, nargs="*", metavar="SET", help="folders of HR images, or of HR and LR images"
    )
    weights: tuple[str, ...] = simple_parsing.field(default=(), nargs="*")  # by default the newest run or pretrained
    variant: str | None = None  # by default that of the weights
    scale: int | None = choice(*SCALES, default=None)  # by default that of the weights
    protocol: str = choice(*PROTOCOLS, default="y")  # y: luma, as papers; rgb: as NTIRE and AIM
    ensemble: bool = False  # mean over the eight flips and quarter turns of each image, eight times as slow
    images: int | None = number(None, least=1)  # measure the first of each set only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    # The flag is --with, which Python keeps for itself.
    earlier: tuple[str, ...] = simple_parsing.field(
        default=(), alias="with", nargs="*", help="PREFIX.json of earlier evaluations, to stand beside or alone"
    )
    # JSON file that tflite/benchmark.py --json wrote: the time of the .tflite files among the weights
    latency: str | None = simple_parsing.field(default=None, metavar="FILE.json")
    # Write PREFIX.json (all that was measured), PREFIX.md and PREFIX.csv (the table), and PSNR over cost as
    # PREFIX_parameters.png, PREFIX_mult_adds.png and with --latency PREFIX_latency_ms.png.
    out: str | None = simple_parsing.field(default=None, metavar="PREFIX")


def main(config):
    """Prints a table and returns the evaluation.reports.Report, which --out writes."""
    check_fields(config)
    if not config.sets and not config.earlier:
        raise UserError("name folders of HR images, or earlier results by --with")
    earlier = [reports.read(path) for path in config.earlier]
    if config.sets:
        report = measurement.measure(
            config.sets, config.weights, variant=config.variant, scale=config.scale, protocol=config.protocol,
            ensemble=config.ensemble, images=config.images, skip_broken=config.skip_broken, earlier=earlier,
        )  # fmt: skip
    else:
        report = reports.merge(earlier)
    if config.latency:
        report = reports.with_timings(report, config.latency)
    if len(config.sets) == 1 and len(config.weights) < 2 and not earlier:
        print(f"{report.results[-1].weights} on {config.sets[0]}")
        print(tables.caption(report))
        print(text_table(*tables.image_cells(report)))
    else:
        print(tables.caption(report))
        print(text_table(*tables.cells(report)))
        header, compared = tables.comparison_cells(report)
        if compared:
            print(text_table(header, compared))
    for line in tables.left_out(report):
        print(line)
    if config.out:
        files.write_json(f"{config.out}.json", report.to_json())
        files.write_text(f"{config.out}.md", tables.markdown(report))
        files.write_text(f"{config.out}.csv", tables.as_csv(report))
        plots.save(report, config.out)
        print(f"written to {config.out}.json, .md, .csv and .png of what it costs")
    return report


if __name__ == "__main__":
    command.run(main, EvaluateConfig)
