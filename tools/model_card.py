"""Model cards: the page of Markdown that comes with weights, with Hugging Face's metadata on top."""

import dataclasses
import json
import pathlib
import re
import textwrap

from keras_rfdn import train
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import published, tables
from keras_rfdn.tflite import qat
from keras_rfdn.training import recipes, workdir

QAT = "qat"  # folder in a run: the workdir of its fine-tuning for int8
# Settings that say where and how fast a run was made, not what it made.
INCIDENTAL = {"workdir", "out", "cache", "save_minutes", "strategy"}

MOST_LINES = 60  # of a card
NO_BREAK = "\xa0"  # a space at which textwrap does not break

CARD = """---
license: mit
library_name: keras-rfdn
pipeline_tag: image-to-image
tags: [super-resolution, rfdn, tensorflow, tflite, int8]
metrics: [psnr, ssim]
model-index:
- name: {name}
  results:
{results}
---
# {title}: super-resolution, {scale} times larger

{parameters:,} parameters; images of any size by `rfdn`. The int8 file takes uint8 RGB `[1, 180, 320, 3]`, pixels as
they are, by its signature `upscale` from `lr` to `sr`. It comes with the package keras-rfdn:

    rfdn in.png out.png --weights {name}
    python tflite/reshape.py {name}_int8.tflite 1,360,640,3 OUT.tflite

- `{name}.h5`: float32, SHA-256 `{sha256}`
- `{name}_int8.tflite`: int8, SHA-256 `{int8_sha256}`

## Data
{about}

## How it was made
{stages} by this project's trainer, in {hours:.1f} hours:

    {command}

{choice}

## Scores
PSNR in dB / SSIM on luma, {scale} pixels shaved. int8 loses {losses}.

{table}

## Limits
It undoes MATLAB's bicubic reduction of clean images and nothing else: noise and JPEG blocks are enlarged, and a
photograph that is soft at full size stays soft. Letters below some six LR pixels come out as others or none, fine
regular texture (brick, cloth, gratings) as stripes of the wrong direction, hair as strands that were not there.

![validation over updates]({name}.png) {picture}
"""


def card(name, run, report, about, *, picture=None):
    """Model card: Markdown from a run's workdir, fine-tuning for int8 included, and the scores of both files.

    run: folder. report: evaluation.reports.Report of bicubic, NAME.h5 and NAME_int8.tflite. about: text on the training
    images. picture: path or address of what the network makes of photographs, as the card shall name it.
    """
    summary, settings, tuning = (read(run / file) for file in ("summary.json", "config.json", f"{QAT}/config.json"))
    by_bicubic, by_float, by_int8 = report.results
    losses = ", ".join(f"{by_float.sets[s].psnr - by_int8.sets[s].psnr:.3f} dB on {s}" for s in by_float.sets)
    row = recipes.recipe(settings["recipe"]) if settings["recipe"] else None
    first, *others = row.stages if row else (recipes.Stage(**{f: settings[f] for f in recipes.STAGE_FIELDS}),)
    stages = f"{first.steps:,} updates of {first.batch} patches of {first.patch}x{first.patch} LR pixels"
    stages += "".join(f", then {stage.steps:,} of {stage.batch} of {stage.patch}x{stage.patch}" for stage in others)
    best = (
        f"The weights are those of update {summary['best_step']:,} of {summary['steps']:,}, the best on validation"
        if summary["best_step"]
        else "No update was better on validation, and so the weights are those that it starts from"
    )
    choice = _origin(row) + (
        f"{best}: {summary['best_psnr_y']:.2f} dB on luma (bicubic {summary['bicubic_psnr_y']:.2f})."
    )
    validation = f"Validation: {settings['valid_images']} images of {_basename(settings['valid'] or settings['data'])}."
    text = CARD.format(
        **{key: summary[key] for key in ("scale", "parameters", "hours")},
        name=name,
        title=f"{summary['variant']} x{summary['scale']}",
        results=model_index(by_float, by_int8),
        sha256=by_float.sha256,
        int8_sha256=by_int8.sha256,
        about=_paragraph(f"{about.strip()} {validation}"),
        stages=stages,
        command=" \\\n        ".join(textwrap.wrap(_command(row, settings), 110)),
        choice=_paragraph(f"{choice} {_int8(name, tuning, workdir.records(run / QAT))}"),
        losses=losses,
        table=scores_table(by_bicubic, by_float, by_int8, report.scale),
        picture=f"![bicubic, float32, int8 and original]({picture})" if picture else "",
    )
    if len(text.splitlines()) > MOST_LINES:
        raise UserError(f"the card of {name} has {len(text.splitlines())} lines, {MOST_LINES} at most; shorten about")
    return text


def _int8(name, settings, records):
    """How the int8 file was made: what settings and records of its fine-tuning say."""
    command = f"`{command_line('tflite/qat.py', qat.QatConfig(), {**settings, 'weights': name})}`"
    best = max(records, key=lambda record: record["psnr_y"])["step"]
    if best == 0:
        return f"The int8 file is calibrated by {command}; its training did not improve on that (update 0)."
    return (
        f"The int8 file is made by quantization-aware training, {command}: update {best:,} of {settings['steps']:,}, "
        f"the best on validation."
    )


def model_index(by_float, by_int8):
    """Hugging Face's model-index: the lines under results, PSNR of both files on each set."""
    lines = []
    for name in by_float.sets:
        metrics = ", ".join(
            f"{{type: psnr, name: PSNR {precision}, value: {result.sets[name].psnr:.2f}}}"
            for precision, result in (("float32", by_float), ("int8", by_int8))
        )
        lines += [
            f"  - {{task: {{type: image-to-image}}, dataset: {{name: {name}, type: {name.lower()}}},",
            f"     metrics: [{metrics}]}}",
        ]
    return "\n".join(lines)


def scores_table(by_bicubic, by_float, by_int8, scale):
    """Markdown table: bicubic, both files, and the paper's RFDN where it was measured on these sets."""
    sets = list(by_float.sets)
    rows = [
        [label, *(result.sets[name].score for name in sets)]
        for label, result in (("bicubic", by_bicubic), ("float32", by_float), ("int8", by_int8))
    ]
    (paper,) = (row for row in published.TABLE_3[scale] if row.variant == "rfdn")
    if paper.scores.keys() & set(sets):
        label = f"the paper's RFDN, {paper.thousand_parameters}K"
        rows.append([label, *(paper.scores.get(name, tables.EMPTY) for name in sets)])
    return tables.markdown_table(["", *sets], rows)


def command_line(program, defaults, settings):
    """The command that a run's config.json tells: what differs from the defaults, folders by their names alone.

    defaults: the command's dataclass. settings: what config.json holds.
    """
    decided = set(INCIDENTAL)
    if settings.get("recipe"):
        decided |= recipes.recipe(settings["recipe"]).settings().keys()
    words = ["python", program]
    for field in dataclasses.fields(defaults):
        value = settings.get(field.name, getattr(defaults, field.name))
        if field.name in decided or value == getattr(defaults, field.name):
            continue
        words += [f"--{field.name}"] if value is True else [f"--{field.name}", _basename(value)]
    return " ".join(words)


def read(path):
    """JSON file of a run -> its values. Raises UserError where there is none."""
    if not path.is_file():
        raise UserError(f"no {path.name} in {path.parent}; need the workdir of a finished run")
    return json.loads(path.read_text())


def _command(row, settings):
    """The command that makes these weights again: all of it where a recipe pins what they start from."""
    if row and row.init_sha256:
        return f"python -m tools.reproduce SHARED --only {settings['recipe']}"
    return command_line("-m keras_rfdn.train", train.TrainConfig(), settings)


def _origin(row):
    """What a recipe starts from, in a sentence; empty where it pins nothing."""
    if not row or not row.init_sha256:
        return ""
    file = f"the release of `{row.init_from}.h5`"
    if row.init_from == recipes.AUTHORS:
        file = f"the authors' `{row.init_from}`, their E-RFDN x4, trained on DIV2K and Flickr2K (njulj/RFDN, MIT),"
    return f"It starts from {file} with SHA-256 `{row.init_sha256}`. "


def _paragraph(text):
    """Text in lines; commands, in backticks, stay whole."""
    whole = re.sub("`[^`]*`", lambda code: code[0].replace(" ", NO_BREAK), text)
    return textwrap.fill(whole, 118, break_long_words=False, break_on_hyphens=False).replace(NO_BREAK, " ")


def _basename(value):
    """The last part of a path: a card is read on other machines. Other values as text."""
    return pathlib.Path(value).name if isinstance(value, str) else str(value)
