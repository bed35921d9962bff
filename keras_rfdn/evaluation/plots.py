"""Plots as PNG: PSNR over cost, as the paper's Figures 4 and 5 and over latency, and the curve of a training.

No TensorFlow here.
"""

import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from keras_rfdn.data.system import files
from keras_rfdn.evaluation import tables
from keras_rfdn.evaluation.reports import Report

COSTS = {
    "parameters": ("parameters, K", 1e3),
    "mult_adds": ("Mult-Adds for 1280x720, G", 1e9),
    "latency_ms": ("latency of the .tflite file, ms", 1),
}
COLOURS = {"published": "0.45", "here": "tab:red"}


def curve(records, path, *, baseline):
    """Training curve, as PNG: validation PSNR and training loss over updates.

    records: of a run's metrics.jsonl. baseline: bicubic's PSNR in dB.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps = [record["step"] for record in records]
    axes.plot(steps, [record["psnr_y"] for record in records], ".-", color=COLOURS["here"], label="network")
    axes.axhline(baseline, color=COLOURS["published"], linestyle="--", label="bicubic")
    axes.set(xlabel="updates", ylabel="PSNR on validation, dB")
    axes.grid(alpha=0.3)
    losses = axes.twinx()
    losses.plot(
        steps, [record["loss"] for record in records], color="tab:blue", alpha=0.4, label="training loss, right"
    )
    losses.set_ylabel("training loss")
    figure.legend(loc="outside upper center", ncols=3)
    write(figure, path)


def save(report: Report, prefix) -> list[pathlib.Path]:
    """Write PREFIX_parameters.png, PREFIX_mult_adds.png and PREFIX_latency_ms.png, a panel for each set, and return
    their paths.

    A line joins the Pareto front. The costs' axis is logarithmic, for they span three powers of ten. Without any point
    there is no file.
    """
    sets, _ = tables.lines(report)
    paths = []
    for cost, (label, unit) in COSTS.items():
        by_set = {name: drawn for name in sets if (drawn := tables.points(report, cost, name))}
        if by_set:
            paths.append(pathlib.Path(f"{prefix}_{cost}.png"))
            write(_figure(by_set, unit, xlabel=label, title=f"{{}} x{report.scale}"), paths[-1])
    return paths


def _figure(by_set, unit, *, xlabel, title):
    """Figure of {set: points}, costs divided by unit. title: format of a set's name."""
    figure = Figure(figsize=(7 * len(by_set), 5.5), layout="constrained")
    for axes, (name, drawn) in zip(figure.subplots(1, len(by_set), squeeze=False)[0], by_set.items(), strict=True):
        front = [(x / unit, y) for _, _, x, y in tables.pareto_front(drawn)]
        axes.plot(*zip(*front, strict=True), color="tab:blue", alpha=0.4, drawstyle="steps-post", label="Pareto front")
        axes.legend(loc="lower right")
        for _, source, x, y in drawn:
            axes.plot(x / unit, y, "o", color=COLOURS[source])
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter())
        axes.set(title=title.format(name), xlabel=xlabel, ylabel="PSNR, dB")
        axes.margins(0.15)
        axes.grid(alpha=0.3)
    FigureCanvasAgg(figure).draw()  # the layout, which labels depend on
    for axes, drawn in zip(figure.axes, by_set.values(), strict=True):
        _label(axes, [(method, COLOURS[source], (x / unit, y)) for method, source, x, y in drawn])
    return figure


SIDES = ((0, 1, "center", "bottom"), (0, -1, "center", "top"), (1, 0, "left", "center"), (-1, 0, "right", "center"))
PLACES = [(distance, side) for distance in (5, 12, 19, 26, 40) for side in SIDES]  # of a label, from its point


def _label(axes, points):
    """Label (text, colour, position) points, each at the first of PLACES where it covers no label before it.

    A point for which no place is left stays without one.
    """
    boxes = []
    for text, colour, position in points:
        for distance, (x, y, ha, va) in PLACES:
            style = {"textcoords": "offset points", "ha": ha, "va": va, "color": colour, "fontsize": 8}
            label = axes.annotate(text, position, (distance * x, distance * y), **style)
            box = label.get_window_extent()
            if not any(map(box.overlaps, boxes)):
                boxes.append(box)
                break
            label.remove()


def write(figure, path):
    """Write a matplotlib figure as PNG, by atomic_write."""
    with files.atomic_write(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
