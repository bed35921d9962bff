"""Tables of scores: the paper's rows beside ours, for the terminal, as Markdown and as CSV. No TensorFlow here."""

import csv
import dataclasses
import io

from keras_rfdn.evaluation import published
from keras_rfdn.evaluation.reports import Report
from keras_rfdn.evaluation.scoring import Score

EMPTY = "–"


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of the table. None: not known."""

    method: str
    source: str  # "published" or "here"
    parameters: int | None
    mult_adds: float | None  # of convolutions, for a 1280x720 output
    scores: dict[str, Score]  # of the sets that it was measured on


def lines(report: Report) -> tuple[list[str], list[Line]]:
    """Report -> (names of the sets, Lines: the paper's first, then ours).

    The paper's rows are those of Table 3, or of Tables 1 and 2 beside the networks of these ablations. They are on luma
    and on complete sets: a report by another protocol, or on a part of a set, does not show them.
    """
    sizes = {name: len(scores.images) for result in report.results for name, scores in result.sets.items()}
    complete = [name for name, size in sizes.items() if published.SETS.get(name) == size]
    papers = []
    if report.protocol == "y" and complete:
        papers = [
            Line(
                method,
                "published",
                row.thousand_parameters and 1000 * row.thousand_parameters,
                row.giga_mult_adds and 1e9 * row.giga_mult_adds,
                {name: row.scores[name] for name in complete},
            )
            for method, row in _published_rows({result.model for result in report.results}, report.scale)
        ]
    return list(sizes), papers + _our_lines(report)


def _published_rows(models: set[str], scale: int):
    """[(name in the table, published.Row)] that stand beside these networks."""
    models = models - {"bicubic"}
    ablations, ablated = [], set()
    for number, table in published.ABLATIONS.items() if scale == 4 else ():
        if here := models & {row.variant for row in table}:
            ablated |= here
            ablations += [(f"{row.method}, Table {number}", row) for row in table]
    table_3 = [] if ablated and ablated == models else [(row.method, row) for row in published.TABLE_3[scale]]
    return table_3 + ablations


def _our_lines(report):
    labels = [result.label for result in report.results]
    return [
        Line(
            f"{result.label} ({(result.sha256 or '')[:8]})" if labels.count(result.label) > 1 else result.label,
            "here",
            result.parameters,
            result.mult_adds,
            {name: scores.score for name, scores in result.sets.items()},
        )
        for result in report.results
    ]


def cells(report: Report):
    """Report -> (header, rows) of text."""
    sets, table = lines(report)
    rows = [
        [
            line.method,
            line.source,
            EMPTY if line.parameters is None else f"{line.parameters / 1e3:,.0f}",
            EMPTY if line.mult_adds is None else f"{line.mult_adds / 1e9:,.1f}",
            *(str(line.scores.get(name, EMPTY)) for name in sets),
        ]
        for line in table
    ]
    return ["method", "from", "parameters, K", "Mult-Adds, G", *sets], rows


def image_cells(report: Report):
    """Report on one set -> (header, rows) of text: each image, and the mean."""
    (name,) = report.results[0].sets
    sets = [result.sets[name] for result in report.results]
    rows = [[image, *(scores.images[image] for scores in sets)] for image in sets[0].images]
    means = ["mean", *(scores.score for scores in sets)]
    return ["image", *(result.label for result in report.results)], [*rows, means]


def left_out(report: Report) -> list[str]:
    """A line for each image that is in no mean: which, and why."""
    sets = [item for result in report.results for item in result.sets.items()]
    found = {(name, image): why for name, scores in sets for image, why in scores.left_out.items()}
    return [f"left out of {name}: {image}: {why}" for (name, image), why in found.items()]


def caption(report: Report) -> str:
    """What the numbers are, in a sentence or two."""
    kind = {"y": "BT.601 luma", "rgb": "RGB"}[report.protocol]
    text = f"x{report.scale}: PSNR in dB / SSIM on {kind}, {report.shave} pixels shaved; Mult-Adds for 1280x720."
    if any(result.ensemble for result in report.results):
        text += " +: mean over the eight flips and quarter turns."
    if report.protocol != "y":
        text += " Published rows are on luma and left out."
    return text


def markdown(report: Report) -> str:
    """Report -> text of a Markdown file: the table, and which weights and versions the rows are of."""
    header, rows = cells(report)
    weights = [
        f"- {line.method}: `{result.weights}`, sha256 `{result.sha256}`, "
        + ", ".join(f"{package} {version}" for package, version in result.versions.items())
        for line, result in zip(_our_lines(report), report.results, strict=True)
        if result.weights
    ]
    notes = [f"- {line}" for line in left_out(report)]
    return "\n".join([caption(report), "", markdown_table(header, rows, left=2), "", *weights, *notes, ""])


def markdown_table(header, rows, *, left=1) -> str:
    """Header and rows of cells -> a Markdown table, its first columns aligned left and the others right."""
    body = [header, ["---"] * left + ["--:"] * (len(header) - left), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in body)


def as_csv(report: Report) -> str:
    """Report -> text of a CSV file: a row for each method and set, numbers not rounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "from", "protocol", "scale", "parameters", "mult_adds", "set", "psnr", "ssim"])
    for line in lines(report)[1]:
        for name, score in line.scores.items():
            common = [report.protocol, report.scale, line.parameters, line.mult_adds]
            writer.writerow([line.method, line.source, *common, name, score.psnr, score.ssim])
    return text.getvalue()
