"""Where int8 loses its decibels: each tensor's and each kernel's rounding on its own, and everything but it:

    python tflite/sensitivity.py --weights RFDN_AIM.pth --data VALIDATION --calibration TRAINING --plot loss.png

The network is simulated as int8 kernels compute it with each rounding switched on or off. --plain
examines what TensorFlow's converter does by default instead of what tflite/convert.py --int8 does.
"""

import collections
import dataclasses
import itertools
import re

import numpy as np
import tensorflow as tf
import tqdm

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.sources import folders
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import scoring
from keras_rfdn.networks.config import name_of
from keras_rfdn.tflite.quantization import calibration, fakequant, graph, quantize, rewrite

SIDE = 64  # LR pixels of the parts of images that are measured
SHOWN = 30  # rows of the table
KERAS_NAMES = {"leaky_re_lu", "re_lu", "add", "concatenate", "multiply", "activation", "max_pooling2d"}


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Rank the roundings of an int8 network by the loss in dB that each causes."""

    data: str  # folder of HR images to measure on
    calibration: str  # folder of other HR images, to learn ranges from
    weights: str | None = None  # weight file, workdir or released .pth; by default the newest run or shipped
    plain: bool = False  # examine the converter's default instead
    exact_skip: bool = False  # examine convert.py --int8 --exact_skip
    twice: tuple[str, ...] = ()  # examine convert.py --int8 --twice
    images: int = 6  # of data, the first that are large enough, a part of 64x64 LR pixels of each
    calibration_frames: int = 16  # patches of 64x64 LR pixels
    json: str | None = None  # file for all that was measured
    plot: str | None = None  # PNG of the ranking


def main(config):
    """Prints tables and returns what --json writes.

    A dictionary of weights, variant, data, plain, exact_skip, twice, images (names), psnr_y (float, int8, tensors and
    kernels: the last two with these alone in int8), parts ({part: dB lost by its roundings alone}) and roundings, worst
    first: name, kind (tensor or kernel), alone_db (lost with nothing but it in int8), without_db (won by it alone
    in float); for a tensor low, high, step, snr_db (with all in int8) and saturated (share of values outside its
    range).
    """
    if config.plain and (config.exact_skip or config.twice):
        raise UserError("--plain examines the converter's default, which knows no --exact_skip and no --twice")
    weights = checkpoint.resolve(config.weights)
    model, model_config = checkpoint.load(weights)
    pairs = list(itertools.islice(folders.find_pairs(config.calibration, model_config.scale), 200))
    frames = list(calibration.patches(pairs, count=config.calibration_frames))
    folded = rewrite.fold_value_range(model, model_config)
    if config.plain:
        quantized = quantize.plain(folded, frames)
    else:
        quantized = quantize.quantize(folded, frames, exact_skip=config.exact_skip, twice=config.twice)
    images = large_enough(folders.find_pairs(config.data, model_config.scale), config.images)
    examination = Examination(quantized, images, model_config.scale)
    roundings = examination.roundings()
    result = {
        "weights": str(weights),
        "variant": name_of(model_config),
        "data": config.data,
        "plain": config.plain,
        "exact_skip": config.exact_skip,
        "twice": config.twice,
        "images": [name for name, *_ in images],
        "psnr_y": examination.totals(),
        "parts": examination.parts(),
        "roundings": sorted(roundings, key=lambda r: -r["alone_db"]),
    }
    print(text(result))
    if config.json:
        files.write_json(config.json, result)
    if config.plot:
        draw(result, config.plot)
    return result


class Examination:
    """A quantized network on parts of images, with any set of its roundings.

    names: (kind, name) of the roundings in a fixed order. Tensors whose values are only moved (a concatenation's) are
    left out: rounded again they stay what they are.
    """

    def __init__(self, quantized, pairs, scale):
        self.quantized, self.scale = quantized, scale
        lrs, self.hrs = zip(*(_part(lr, hr, scale) for _, lr, hr in pairs), strict=True)
        self.lr = tf.constant(np.stack(lrs), tf.float32)
        exact = fakequant.moved(quantized.model) | {quantized.model.layers[0].name}
        tensors = [("tensor", name) for name in quantized.ranges if name not in exact]
        self.names = [*tensors, *(("kernel", name) for name in quantized.steps)]
        self.labels = labels(quantized.model)
        self._forward = tf.function(self._network, autograph=False)

    def psnr_y(self, chosen):
        """Mean luma PSNR with the chosen of names in int8."""
        switches = tf.constant([name in chosen for name in self.names])
        srs = self._forward(self.lr, switches)[0].numpy().round().clip(0, 255).astype(np.uint8)
        return scoring.mean(scoring.score(sr, hr, self.scale) for sr, hr in zip(srs, self.hrs, strict=True)).psnr

    def totals(self):
        """PSNR of float, of int8, and with tensors or kernels alone in int8."""
        kinds = {kind: {name for name in self.names if name[0] == kind} for kind in ("tensor", "kernel")}
        return {
            "float": self.psnr_y(set()),
            "int8": self.psnr_y(set(self.names)),
            "tensors": self.psnr_y(kinds["tensor"]),
            "kernels": self.psnr_y(kinds["kernel"]),
        }

    def parts(self):
        """{part of the network: dB lost by the roundings in it alone}: a block, or a layer outside."""
        members = collections.defaultdict(set)
        for kind, name in self.names:
            members[self.labels[name].split(".")[0].split("/")[0]].add((kind, name))
        exact = self.psnr_y(set())
        return {part: exact - self.psnr_y(names) for part, names in members.items()}

    def roundings(self):
        """A dictionary for each of names, as main gives them."""
        everything = set(self.names)
        exact, worst = self.psnr_y(set()), self.psnr_y(everything)
        facts = self._tensor_facts()
        return [
            {
                "name": self.labels[name[1]],
                "kind": name[0],
                "alone_db": exact - self.psnr_y({name}),
                "without_db": self.psnr_y(everything - {name}) - worst,
                **(facts[name[1]] if name[0] == "tensor" else {}),
            }
            for name in tqdm.tqdm(self.names, "roundings", disable=None)
        ]

    def _network(self, x, switches):
        """(output, {tensor: its value})."""
        quantized, index, tensors = self.quantized, {name: i for i, name in enumerate(self.names)}, {}

        def quantize_(name, x):
            i = index.get(("tensor", name))
            if i is not None:
                rounded = tf.quantization.fake_quant_with_min_max_args(x, *quantized.ranges[name])
                x = tf.where(switches[i], rounded, x)
            tensors[name] = x
            return x

        def convolve(layer, x):
            kernel = fakequant.int8_kernel(layer, quantized.steps[layer.name])
            return fakequant.convolved(layer, x, tf.where(switches[index["kernel", layer.name]], kernel, layer.kernel))

        return fakequant.forward(quantized.model, x, quantize_, convolve), tensors

    def _tensor_facts(self):
        exact, rounded = (self._forward(self.lr, tf.fill([len(self.names)], on))[1] for on in (False, True))
        facts = {}
        for kind, name in self.names:
            if kind == "tensor":
                low, high = self.quantized.ranges[name]
                x = exact[name].numpy()
                facts[name] = {
                    "low": low,
                    "high": high,
                    "step": (high - low) / 255,
                    "snr_db": float(10 * np.log10(np.mean(x**2) / max(np.mean((rounded[name] - x) ** 2), 1e-20))),
                    "saturated": float(np.mean((x < low) | (x > high))),
                }
        return facts


def labels(model):
    """{tensor: what to call it}: of layers that Keras numbers, their first input's name and their kind."""
    names = {}
    for layer in model.layers:
        unnamed = re.sub(r"_\d+$", "", layer.name) in KERAS_NAMES
        names[layer.name] = f"{names[graph.parents(layer)[0].name]}/{type(layer).__name__}" if unnamed else layer.name
    pieces = (f"{layer.name}.{piece}" for layer in model.layers for piece in fakequant.PIECES)
    return {**names, **{piece: piece for piece in pieces}}


def large_enough(pairs, count):
    """The first `count` (name, lr, hr) items of pairs with SIDE LR pixels a side; ValueError when there is none."""
    found = list(itertools.islice((pair for pair in pairs if min(pair[1].shape[:2]) >= SIDE), count))
    if not found:
        raise UserError(f"no image to measure on: none of {len(pairs)} has {SIDE} LR pixels a side; name larger ones")
    return found


def _part(lr, hr, scale):
    """The middle of an image, SIDE LR pixels a side."""
    top, left = ((size - SIDE) // 2 for size in lr.shape[:2])
    crop = (slice(top, top + SIDE), slice(left, left + SIDE))
    return lr[crop], hr[tuple(slice(s.start * scale, s.stop * scale) for s in crop)]


def text(result):
    """Result of main -> text."""
    psnr, how = result["psnr_y"], "converter's default" if result["plain"] else "convert.py --int8"
    how += " --exact_skip" if result["exact_skip"] else ""
    how += f" --twice {' '.join(result['twice'])}" if result["twice"] else ""
    loss = {key: psnr["float"] - psnr[key] for key in ("int8", "tensors", "kernels")}
    alone = sum(r["alone_db"] for r in result["roundings"])
    header = ["rounding", "kind", "alone dB", "without dB", "SNR dB", "saturated", "step", "low", "high"]
    rows = [
        [
            r["name"],
            r["kind"],
            f"{r['alone_db']:.4f}",
            f"{r['without_db']:.4f}",
            *((f"{r['snr_db']:.1f}", f"{r['saturated']:.3%}") if "step" in r else ("", "")),
            *(f"{r[key]:.4g}" if key in r else "" for key in ("step", "low", "high")),
        ]
        for r in result["roundings"][:SHOWN]
    ]
    parts = [[part, f"{lost:.4f}"] for part, lost in sorted(result["parts"].items(), key=lambda item: -item[1])]
    return "\n".join(
        [
            f"{result['variant']} of {result['weights']}, {how}",
            f"float {psnr['float']:.3f} dB, int8 {psnr['int8']:.3f}: {loss['int8']:.3f} lost; "
            f"tensors alone {loss['tensors']:.3f}, kernels alone {loss['kernels']:.3f}; "
            f"the sum over single roundings {alone:.3f}, over parts {sum(result['parts'].values()):.3f}",
            text_table(["part", "alone dB"], parts),
            text_table(header, rows),
            "alone: lost with only it in int8; without: won with only it in float; SNR: with all in int8",
        ]
    )


def draw(result, path):
    """Write a PNG of the costliest roundings."""
    from matplotlib.figure import Figure

    from keras_rfdn.evaluation import plots

    shown = result["roundings"][:SHOWN][::-1]
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    colours = {"tensor": "tab:blue", "kernel": "tab:orange"}
    axes.barh(range(len(shown)), [r["alone_db"] for r in shown], color=[colours[r["kind"]] for r in shown])
    axes.set_yticks(range(len(shown)), [r["name"] for r in shown], fontsize=8)
    axes.set(
        xlabel="PSNR lost with only this rounding in int8, dB (tensors blue, kernels orange)", title=result["variant"]
    )
    plots.write(figure, path)


if __name__ == "__main__":
    command.run(main, DoctorConfig)
