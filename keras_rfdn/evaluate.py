"""Scores on sets of HR images, bicubic beside the network.

    python -m keras_rfdn.evaluate FOLDER                     the newest run: each image, and the mean
    python -m keras_rfdn.evaluate SET SET --weights A B      several sets and models: the paper's Table 3 beside ours

A set is a folder of HR images, with or without their LR (data/sources/folders.py says in which layouts); weights are a
weight file, a workdir, a .tflite or a released .pth. The papers' protocol is y: PSNR and SSIM on luma, `scale` pixels
shaved; rgb is that of the challenges: all three channels, `scale` pixels shaved.
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import tables
from keras_rfdn.evaluation.measurement import measure, set_name
from keras_rfdn.evaluation.scoring import PROTOCOLS, Score


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure PSNR and SSIM against HR images, bicubic beside the networks and the paper's numbers beside ours."""

    sets: tuple[str, ...] = simple_parsing.field(
        default=(), positional=True, nargs="*", metavar="SET", help="folders of HR images, or of HR and LR_bicubic"
    )
    weights: tuple[str, ...] = simple_parsing.field(default=(), nargs="*")  # by default the newest run or shipped
    variant: str | None = None  # by default that of the weights
    scale: int | None = None  # by default that of the weights
    protocol: str = simple_parsing.choice(*PROTOCOLS, default="y")  # y: luma, as papers; rgb: as NTIRE and AIM
    ensemble: bool = False  # mean over the eight flips and quarter turns of each image, eight times as slow
    images: int | None = None  # measure the first of each set only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    earlier: tuple[str, ...] = simple_parsing.field(
        default=(), alias="with", nargs="*", help="JSON files of earlier evaluations, to stand beside or alone"
    )
    json: str | None = None  # write all that was measured to this file
    markdown: str | None = None  # write the table of sets to this file
    csv: str | None = None  # write it to this file, a row for each method and set
    plot: str | None = None  # write PSNR over cost to this prefix and _parameters.png, _mult_adds.png


def main(config):
    """Prints a table and returns the report (evaluation/tables.py says what that is), which --json writes."""
    _check(config)
    reports = [tables.read(path) for path in config.earlier]
    result = measure(config, reports) if config.sets else tables.merge(reports)
    if len(config.sets) == 1 and len(config.weights) < 2 and not config.earlier:
        print(_images_table(result))
    else:
        print(tables.caption(result))
        print(text_table(*tables.cells(result)))
    if config.json:
        files.write_json(config.json, result)
    if config.markdown:
        files.write_text(config.markdown, tables.markdown(result))
    if config.csv:
        files.write_text(config.csv, tables.as_csv(result))
    if config.plot:
        from keras_rfdn.evaluation import plots

        print("\n".join(map(str, plots.save(result, config.plot))))
    return result


def _check(config):
    if not config.sets and not config.earlier:
        raise UserError("name folders of HR images, or earlier results by --with")
    if config.protocol not in PROTOCOLS:
        raise UserError(f"--protocol must be one of {', '.join(PROTOCOLS)}, got {config.protocol}")
    if config.images is not None and config.images < 1:
        raise UserError(f"--images must be 1 or more, got {config.images}")
    names = [set_name(folder) for folder in config.sets]
    if len(set(names)) < len(names):
        raise UserError(f"the sets must have different names, got {', '.join(names)}")


def _images_table(result):
    """Each image of the only set, bicubic beside the network."""
    (name,) = result["results"][0]["sets"]
    sets = [of["sets"][name] for of in result["results"]]
    network = result["results"][-1]
    labels = ["bicubic", network["model"] + ("+" if network["ensemble"] else "")]
    rows = [[image, *(Score(**of["images"][image]) for of in sets)] for image in sets[0]["images"]]
    means = ["mean", *(Score(of["psnr"], of["ssim"]) for of in sets)]
    lines = [f"{network['weights']} on {sets[0]['folder']}", tables.caption(result)]
    return "\n".join([*lines, text_table(["image", *labels], [*rows, means])])


if __name__ == "__main__":
    command.run(main, EvaluateConfig)
