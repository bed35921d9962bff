"""Pictures of numbers, as PNG. No TensorFlow here.

PSNR over what it costs, Figures 4 and 5 of the paper with published points beside ours, and the curve of a training.
"""

import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import tables

COSTS = {"parameters": ("parameters, K", 1e3), "mult_adds": ("Mult-Adds for 1280x720, G", 1e9)}
COLOURS = {"published": "0.45", "here": "tab:red"}


def curve(records, path, *, baseline):
    """Validation PSNR and training loss over updates, from a run's metrics.jsonl, as PNG. baseline: bicubic's PSNR."""
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


def points(report, cost, name):
    """[(method, source, cost, PSNR)] of a report on a set, of those whose cost and PSNR are known."""
    values = [
        (line.method, line.source, getattr(line, cost), line.scores.get(name, (None, None))[0])
        for line in tables.lines(report)[1]
    ]
    return [value for value in values if tables.known(value[2]) and tables.known(value[3])]


def save(report, prefix):
    """Write PREFIX_parameters.png and PREFIX_mult_adds.png, a panel for each set, and return their paths.

    The costs' axis is logarithmic, for they span three powers of ten. Raises UserError when there is no point.
    """
    sets, _ = tables.lines(report)
    return [_save(report, sets, cost, pathlib.Path(f"{prefix}_{cost}.png")) for cost in COSTS]


def _save(report, sets, cost, path):
    label, unit = COSTS[cost]
    panels = {name: drawn for name in sets if (drawn := points(report, cost, name))}
    if not panels:
        raise UserError(f"no model whose {cost} are known, so nothing to plot; only a .tflite of 1280x720 tells them")
    figure = Figure(figsize=(6 * len(panels), 4.5), layout="constrained")
    for axes, (name, drawn) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for method, source, x, y in drawn:
            axes.plot(x / unit, y, "o", color=COLOURS[source])
            # Ours below, the published above: a network of the paper that we measure lies on its published point.
            offset, side = ((0, 5), "bottom") if source == "published" else ((0, -5), "top")
            style = {"textcoords": "offset points", "ha": "center", "va": side, "fontsize": 8}
            axes.annotate(method, (x / unit, y), offset, color=COLOURS[source], **style)
        axes.set_xscale("log")
        axes.set(title=f"{name} x{report['scale']}", xlabel=label, ylabel="PSNR, dB")
        axes.margins(0.15)
        axes.grid(alpha=0.3)
    write(figure, path)
    return path


def write(figure, path):
    """Write a matplotlib figure as PNG, whole or not at all."""
    with files.atomic_write(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
