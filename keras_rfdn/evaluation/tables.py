"""Results of evaluate as tables: earlier results beside new ones, the paper's Table 3 beside ours, Markdown, CSV, JSON.

A report is a dictionary of JSON values: protocol, shave, scale, and under results one dictionary for each model with
model, weights, sha256 (of the weight file), ensemble, parameters, mult_adds (for a 1280x720 output), versions, protocol
and scale once more, and sets: {name: {folder, psnr, ssim, images: {name: {psnr, ssim}}}}. No TensorFlow here.
"""

import collections
import csv
import dataclasses
import io
import json
import math
import pathlib

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import published

COMMON = ("protocol", "shave", "scale")  # what reports must share to stand side by side
IDENTITY = ("model", "sha256", "ensemble", "versions")  # what makes two results one model's
EMPTY = "–"


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of the table. source: published or here. scores: (PSNR, SSIM) of each set, None where not known."""

    method: str
    source: str
    parameters: int | None
    mult_adds: float | None
    scores: dict[str, tuple[float | None, float | None]]


def read(path):
    """JSON file that evaluate wrote -> report. Raises UserError when it is none."""
    try:
        report = json.loads(pathlib.Path(path).read_text())
        if not all(key in report for key in COMMON) or not isinstance(report["results"], list):
            raise KeyError("results")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no JSON file that keras_rfdn.evaluate wrote ({error})") from error
    return report


def merge(reports):
    """Reports -> one, a model's sets together; where several have a set of a model, the last one's.

    Raises UserError when they are of different protocols or scales, or their sets of one name are different images.
    """
    first = {key: reports[0][key] for key in COMMON}
    for report in reports[1:]:
        differ = [f"{key} {first[key]} and {report[key]}" for key in COMMON if first[key] != report[key]]
        if differ:
            raise UserError(f"results of {', '.join(differ)} cannot stand side by side; evaluate them alike")
    results = {}
    for result in (result for report in reports for result in report["results"]):
        key = json.dumps([result[part] for part in IDENTITY], sort_keys=True)
        before = results.get(key, {"sets": {}})
        results[key] = {**result, "sets": {**before["sets"], **result["sets"]}}
    images = collections.defaultdict(set)
    for result in results.values():
        for name, scores in result["sets"].items():
            images[name].add(frozenset(scores["images"]))
    for name, different in images.items():
        if len(different) > 1:
            raise UserError(
                f"results on {name} are of different images ({', '.join(str(len(i)) for i in different)} of them) and "
                f"cannot stand side by side; evaluate them on the same"
            )
    return {**first, "results": list(results.values())}


def lines(report):
    """Report -> (names of the sets, Lines: the published first, then ours).

    The published have no scores on sets that are not whole, and stay away from other protocols than theirs.
    """
    sizes = {name: len(scores["images"]) for result in report["results"] for name, scores in result["sets"].items()}
    whole = [name for name, size in sizes.items() if published.SETS.get(name) == size]
    rows = published.TABLE_3[report["scale"]] if report["protocol"] == "y" and whole else ()
    papers = [
        Line(
            row.method,
            "published",
            row.thousand_parameters and 1000 * row.thousand_parameters,
            row.giga_mult_adds and 1e9 * row.giga_mult_adds,
            {name: row.score(name) for name in whole},
        )
        for row in rows
    ]
    return list(sizes), papers + _ours(report["results"])


def _ours(results):
    labels = [result["model"] + ("+" if result["ensemble"] else "") for result in results]
    return [
        Line(
            f"{label} ({(result['sha256'] or '')[:8]})" if labels.count(label) > 1 else label,
            "here",
            result["parameters"],
            result["mult_adds"],
            {name: (scores["psnr"], scores["ssim"]) for name, scores in result["sets"].items()},
        )
        for label, result in zip(labels, results, strict=True)
    ]


def cells(report):
    """Report -> (header, rows) of text."""
    sets, table = lines(report)
    rows = [
        [
            line.method,
            line.source,
            _number(line.parameters and line.parameters / 1e3, ",.0f"),
            _number(line.mult_adds and line.mult_adds / 1e9, ",.1f"),
            *(_score(*line.scores.get(name, (None, None))) for name in sets),
        ]
        for line in table
    ]
    return ["method", "from", "parameters, K", "Mult-Adds, G", *sets], rows


def caption(report):
    """What the numbers are, in a sentence or two."""
    kind = {"y": "BT.601 luma", "rgb": "RGB"}[report["protocol"]]
    text = f"x{report['scale']}: PSNR in dB / SSIM on {kind}, {report['shave']} pixels shaved; Mult-Adds for 1280x720."
    if any(result["ensemble"] for result in report["results"]):
        text += " +: mean over the eight flips and quarter turns."
    if report["protocol"] != "y":
        text += " Published rows are on luma and left out."
    return text


def markdown(report):
    """Report -> text of a Markdown file."""
    header, rows = cells(report)
    body = [header, ["---", "---", *["--:"] * (len(header) - 2)], *rows]
    weights = [
        f"- {line.method}: `{result['weights']}`, sha256 `{result['sha256']}`, "
        + ", ".join(f"{package} {version}" for package, version in result["versions"].items())
        for line, result in zip(_ours(report["results"]), report["results"], strict=True)
        if result["weights"]
    ]
    table = ["| " + " | ".join(map(str, row)) + " |" for row in body]
    return "\n".join([caption(report), "", *table, "", *weights, ""])


def as_csv(report):
    """Report -> text of a CSV file: a row for each method and set, numbers not rounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "from", "protocol", "scale", "parameters", "mult_adds", "set", "psnr", "ssim"])
    for line in lines(report)[1]:
        for name, score in line.scores.items():
            common = [report["protocol"], report["scale"], line.parameters, line.mult_adds]
            writer.writerow([line.method, line.source, *common, name, *score])
    return text.getvalue()


def _number(value, form):
    return EMPTY if value is None else format(value, form)


def _score(psnr, ssim):
    if psnr is None and ssim is None:
        return EMPTY
    return f"{_number(psnr, '.2f')} / {_number(ssim, '.4f')}"


def known(value):
    """Whether a number can be plotted."""
    return value is not None and math.isfinite(value)
