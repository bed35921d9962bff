"""Tables of scores: the paper's rows beside ours, for the terminal, as Markdown and as CSV. No TensorFlow here."""

import csv
import dataclasses
import io
import itertools
import math

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
    latency_ms: float | None = None
    size_bytes: int | None = None  # of the .tflite file


def lines(report: Report) -> tuple[list[str], list[Line]]:
    """Report -> (names of the sets, Lines: the papers' first, then ours).

    The papers' rows are those of Table 3 and of later networks, or of Tables 1 and 2 beside the networks of these
    ablations. They are on luma and on complete sets: a report by another protocol, or on a part of a set, does not show
    them.
    """
    sets, complete = _sets(report)
    papers = []
    if complete:
        papers = [
            Line(
                method,
                "published",
                row.thousand_parameters and 1000 * row.thousand_parameters,
                row.giga_mult_adds and 1e9 * row.giga_mult_adds,
                {name: row.scores[name] for name in complete if name in row.scores},
            )
            for method, row in _published_rows({result.model for result in report.results}, report.scale)
        ]
    return sets, papers + _our_lines(report)


def _sets(report):
    """(names of a report's sets, those of them on which papers' scores compare with ours)."""
    sizes = {name: len(scores.images) for result in report.results for name, scores in result.sets.items()}
    complete = [name for name, size in sizes.items() if published.SETS.get(name) == size and report.protocol == "y"]
    return list(sizes), complete


def _published_rows(models: set[str], scale: int):
    """[(name in the table, published.Row)] that stand beside these networks."""
    models = models - {"bicubic"}
    ablations, ablated = [], set()
    for number, table in published.ABLATIONS.items() if scale == 4 else ():
        if here := models & {row.variant for row in table}:
            ablated |= here
            ablations += [(f"{row.method}, Table {number}", row) for row in table]
    peers = [] if ablated and ablated == models else [(row.method, row) for row in published.rows(scale)]
    return peers + ablations


def _our_lines(report):
    labels = [result.label for result in report.results]
    return [
        Line(
            f"{result.label} ({(result.sha256 or '')[:8]})" if labels.count(result.label) > 1 else result.label,
            "here",
            result.parameters,
            result.mult_adds,
            {name: scores.score for name, scores in result.sets.items()},
            result.timing and result.timing.median_ms,
            result.timing and result.timing.size_bytes,
        )
        for result in report.results
    ]


def cells(report: Report):
    """Report -> (header, rows) of text. The time of .tflite files stands there when it is known, and a star marks the
    scores of those that are on the Pareto front.
    """
    sets, table = lines(report)
    columns = COLUMNS if any(line.latency_ms for line in table) else COLUMNS[:2]
    fronts = {name: [method for method, *_ in pareto_front(points(report, "latency_ms", name))] for name in sets}
    rows = [
        [
            line.method,
            line.source,
            *(EMPTY if (value := getattr(line, name)) is None else f"{value / unit:,.{digits}f}"
              for name, _, unit, digits in columns),
            *(f"{line.scores.get(name, EMPTY)}{' *' * (line.method in fronts[name])}" for name in sets),
        ]
        for line in table
    ]  # fmt: skip
    return ["method", "from", *(label for _, label, _, _ in columns), *sets], rows


def points(report: Report, cost: str, name: str):
    """[(method, source, cost, PSNR)] of a report on a set, of those whose cost is known and whose PSNR is finite.

    cost: a field of Line.
    """
    return [
        (line.method, line.source, getattr(line, cost), line.scores[name].psnr)
        for line in lines(report)[1]
        if getattr(line, cost) is not None and name in line.scores and math.isfinite(line.scores[name].psnr)
    ]


def pareto_front(points):
    """Pareto front of (method, source, cost, PSNR) points, by cost: no other equals or beats one in both."""
    front = []
    for point in sorted(points, key=lambda point: (point[2], -point[3])):
        if not front or point[3] > front[-1][3]:
            front.append(point)
    return front


# Fields of Line, their headers, units and digits.
COLUMNS = (
    ("parameters", "parameters, K", 1e3, 0),
    ("mult_adds", "Mult-Adds, G", 1e9, 1),
    ("latency_ms", "latency, ms", 1, 1),
    ("size_bytes", "file, KB", 1e3, 0),
)


def comparison_cells(report: Report):
    """Report -> (header, rows) of text: each network of ours that a paper has, its published PSNR, ours, and the
    difference, on the sets where they compare. No rows where nothing does.
    """
    _, complete = _sets(report)
    header = ["network", *(f"{name}{part}" for name in complete for part in (", published", ", here", ", dB"))]
    rows = []
    for result, line in zip(report.results, _our_lines(report), strict=True):
        row = published.row_of(result.model, report.scale)
        if row and not result.ensemble and line.scores.keys() & set(complete):
            compared = (_compared(row.scores.get(name), line.scores.get(name)) for name in complete)
            rows.append([line.method, *itertools.chain.from_iterable(compared)])
    return header, rows


def _compared(paper, here):
    """Two Scores, or None -> text of their PSNR, and of the difference."""
    texts = [EMPTY if score is None else f"{score.psnr:.2f}" for score in (paper, here)]
    return [*texts, EMPTY if EMPTY in texts else f"{round(here.psnr - paper.psnr, 2) + 0:+.2f}"]  # + 0: no -0.00


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
    if timing := next((result.timing for result in report.results if result.timing), None):
        height, width = timing.lr
        text += f" Latency: median for LR of {width}x{height}, {timing.threads} threads; *: on its Pareto front."
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
    compared_header, compared = comparison_cells(report)
    papers = ["PSNR beside the papers'", "", markdown_table(compared_header, compared), ""] if compared else []
    return "\n".join([caption(report), "", markdown_table(header, rows, left=2), "", *papers, *weights, *notes, ""])


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
