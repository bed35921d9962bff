"""Bar chart of the costliest roundings of an int8 network."""

from matplotlib.figure import Figure

from keras_rfdn.evaluation import plots

COLOURS = {"tensor": "tab:blue", "kernel": "tab:orange"}


def draw(roundings, title, path):
    """Write a PNG of quantization.sensitivity.Rounding items, the first on top."""
    shown = roundings[::-1]
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(shown)), [r.only_this_db for r in shown], color=[COLOURS[r.kind] for r in shown])
    axes.set_yticks(range(len(shown)), [r.name for r in shown], fontsize=8)
    axes.set(xlabel="PSNR lost with only this rounding in int8, dB (tensors blue, kernels orange)", title=title)
    plots.write(figure, path)
