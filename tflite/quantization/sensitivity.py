"""Sensitivity analysis: what each single rounding of an int8 network costs in dB, and what is won without it."""

import collections
import dataclasses
import itertools
from collections.abc import Collection

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images import patches
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track
from keras_rfdn.evaluation import scoring
from keras_rfdn.tflite.quantization.int8_ops import PIXELS
from keras_rfdn.tflite.quantization.simulator import Quantized, simulate_switched

SIDE = 64  # LR pixels of the parts of images that are measured


@dataclasses.dataclass(frozen=True)
class TensorFacts:
    """A tensor of an int8 network. snr_db: with all in int8. saturated: share of values outside its range."""

    low: float
    high: float
    step_size: float
    snr_db: float
    saturated: float


@dataclasses.dataclass(frozen=True)
class Rounding:
    """A rounding of an int8 network: of a tensor, or of a convolution's kernel.

    only_this_db: lost with nothing but it in int8. all_but_this_db: won with it alone in float. facts: of a tensor.
    """

    name: str
    kind: str  # "tensor" or "kernel"
    only_this_db: float
    all_but_this_db: float
    facts: TensorFacts | None = None


class SensitivityAnalysis:
    """An int8 network on the middle of images, with any set of its roundings.

    pairs: (name, lr, hr) items, uint8 RGB. images: how many of them to measure on, the first that have SIDE LR pixels a
    side. names: ("tensor" or "kernel", name) of each rounding, in a fixed order; tensors whose values are only moved (a
    concatenation's) are left out, for rounded again they stay what they are. measured: names of the images.
    Raises UserError when no image is large enough.
    """

    def __init__(self, quantized: Quantized, pairs, *, images: int):
        found = list(itertools.islice(filter(_is_measurable, pairs), images))
        if not found:
            raise UserError(
                f"no image to measure on: none of {len(pairs)} has {SIDE} LR pixels a side and more than one colour "
                f"in its middle; name larger ones"
            )
        self.quantized = quantized
        self.measured = [name for name, *_ in found]
        self._scale = found[0][2].shape[0] // found[0][1].shape[0]
        lrs, self._hrs = zip(*(_middle(lr, hr, self._scale) for _, lr, hr in found), strict=True)
        self._lr = tf.constant(np.stack(lrs), tf.float32)
        tensors = [name for name in quantized.ranges if quantized.scheme.is_rounded(name) and name != PIXELS]
        self.names = [*(("tensor", name) for name in tensors), *(("kernel", name) for name in quantized.absmax)]
        self._model, self._switches = simulate_switched(quantized, self.names)
        self._forward = tf.function(self._model, autograph=False)

    def psnr_y(self, chosen: Collection[tuple[str, str]]) -> float:
        """Mean luma PSNR in dB with the chosen of names in int8."""
        self._switches.assign([name in chosen for name in self.names])
        srs = self._forward(self._lr).numpy().round().clip(0, 255).astype(np.uint8)
        return scoring.mean(scoring.score(sr, hr, self._scale) for sr, hr in zip(srs, self._hrs, strict=True)).psnr

    def totals(self) -> dict[str, float]:
        """PSNR of float, of int8, and with tensors or kernels alone in int8."""
        kinds = {kind: {name for name in self.names if name[0] == kind} for kind in ("tensor", "kernel")}
        return {
            "float": self.psnr_y(()),
            "int8": self.psnr_y(self.names),
            "tensors": self.psnr_y(kinds["tensor"]),
            "kernels": self.psnr_y(kinds["kernel"]),
        }

    def parts(self) -> dict[str, float]:
        """{part of the network: dB lost by the roundings in it alone}: a block, or a layer outside."""
        members = collections.defaultdict(set)
        for kind, name in self.names:
            members[name.split(".")[0]].add((kind, name))
        exact = self.psnr_y(())
        return {part: exact - self.psnr_y(names) for part, names in members.items()}

    def roundings(self) -> list[Rounding]:
        """Each of names, in their order."""
        everything = set(self.names)
        exact, worst = self.psnr_y(()), self.psnr_y(everything)
        facts = self._tensor_facts()
        return [
            Rounding(
                name=name,
                kind=kind,
                only_this_db=exact - self.psnr_y({(kind, name)}),
                all_but_this_db=self.psnr_y(everything - {(kind, name)}) - worst,
                facts=facts.get(name) if kind == "tensor" else None,
            )
            for kind, name in track(self.names, "measuring", unit="roundings")
        ]

    def _tensor_facts(self):
        tensors = [name for kind, name in self.names if kind == "tensor"]
        outputs = keras.Model(self._model.input, {name: self._model.get_layer(name).output for name in tensors})
        values = []
        for on in (False, True):
            self._switches.assign([on] * len(self.names))
            values.append({name: x.numpy() for name, x in outputs(self._lr).items()})
        return {name: _facts(values[0][name], values[1][name], self.quantized.ranges[name]) for name in tensors}


def _facts(exact, rounded, bounds):
    low, high = bounds
    return TensorFacts(
        low=low,
        high=high,
        step_size=(high - low) / 255,
        snr_db=float(10 * np.log10(np.mean(exact**2) / max(np.mean((rounded - exact) ** 2), 1e-20))),
        saturated=float(np.mean((exact < low) | (exact > high))),
    )


def _is_measurable(pair):
    """Whether an image is large enough, and its middle is of more than one colour."""
    _, lr, hr = pair
    scale = hr.shape[0] // lr.shape[0]
    return min(lr.shape[:2]) >= SIDE and not scoring.unmeasurable(_middle(lr, hr, scale)[1], scale)


def _middle(lr, hr, scale):
    """The middle of an image, SIDE LR pixels a side."""
    return patches.center_crop_pair(lr, hr, lr_patch=SIDE, scale=scale)
