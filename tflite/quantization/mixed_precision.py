"""Mixed precision: int8 with a few operations in float; which, so that the fewest make good the most.

A tensor that stays in float makes float operations of the one that gives it and of all that take it, and their kernels
are not rounded either. LiteRT puts conversions at the edges. Tensors that share a range stay in float together.
"""

import dataclasses

from absl import logging

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track
from keras_rfdn.networks.layers import ResizeLike
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.int8_ops import PIXELS, Requantize
from keras_rfdn.tflite.quantization.scheme import output_tensor
from keras_rfdn.tflite.quantization.sensitivity import SensitivityAnalysis
from keras_rfdn.tflite.quantization.simulator import Quantized

IMAGES = 8  # to measure on, a part of 64x64 LR pixels of each


@dataclasses.dataclass(frozen=True)
class MixedPrecision:
    """What search found. operations: names of the layers that compute in float. Losses in dB, on search's images."""

    quantized: Quantized
    operations: tuple[str, ...]
    int8_loss_db: float
    loss_db: float


def search(quantized: Quantized, pairs, *, max_drop_db: float) -> MixedPrecision:
    """Find the fewest operations in float with which an int8 network loses at most max_drop_db (mean luma PSNR).

    The result's Quantized lacks the ranges and kernels of what stays in float. Groups of tensors are taken by the loss
    that each makes good alone, for every operation more that becomes float. pairs: (name, lr, hr) items to measure on,
    of which the first IMAGES that are large enough count.
    Raises UserError when no image is, or when even the network in float, but for its pixels, loses more.
    """
    candidates = _Candidates(quantized, SensitivityAnalysis(quantized, pairs, images=IMAGES))
    floats, int8_loss = frozenset(), candidates.loss(frozenset())
    loss = int8_loss
    gains = {
        group: int8_loss - candidates.loss(frozenset([group]))
        for group in track(candidates.groups, "measuring", unit="groups")
    }
    while loss > max_drop_db and floats < gains.keys():
        rest = [group for group in gains if group not in floats]
        floats |= {max(rest, key=lambda group: gains[group] / (candidates.added(floats, group) + 0.1))}
        loss = candidates.loss(floats)
        logging.info("%d operations in float: %.4f dB lost", len(candidates.operations(floats)), loss)
    if loss > max_drop_db:
        raise UserError(
            f"max_drop_db {max_drop_db} is out of reach: with all but its pixels in float the network still loses "
            f"{loss:.4f} dB on the calibration images"
        )
    return MixedPrecision(candidates.quantized(floats), tuple(sorted(candidates.operations(floats))), int8_loss, loss)


class _Candidates:
    """A network with any groups of tensors in float. groups: {group's leader: names of its tensors}."""

    def __init__(self, quantized, analysis):
        self._int8, self._analysis = quantized, analysis
        scheme = quantized.scheme
        ends = {scheme.leaders[name] for name in (PIXELS, quantized.model.layers[-1].name)}
        self.groups = {leader: names for leader, names in scheme.groups().items() if leader not in ends}
        self._touched = {leader: touched_operations(quantized.model, names) for leader, names in self.groups.items()}
        self._float = analysis.psnr_y(())

    def loss(self, floats):
        """dB lost with the groups of floats in float."""
        out = {("tensor", name) for name in self._tensors(floats)}
        out |= {("kernel", name) for name in self.operations(floats)}
        return self._float - self._analysis.psnr_y(set(self._analysis.names) - out)

    def operations(self, floats):
        """Names of the layers that compute in float."""
        return set().union(*(self._touched[leader] for leader in floats))

    def added(self, floats, group):
        """How many operations become float when group joins floats."""
        return len(self._touched[group] - self.operations(floats))

    def quantized(self, floats):
        """The Quantized with the groups of floats in float."""
        tensors, operations = self._tensors(floats), self.operations(floats)
        return dataclasses.replace(
            self._int8,
            ranges={name: bounds for name, bounds in self._int8.ranges.items() if name not in tensors},
            absmax={name: value for name, value in self._int8.absmax.items() if name not in operations},
        )

    def _tensors(self, floats):
        return {name for leader in floats for name in self.groups[leader]}


def touched_operations(model, tensors) -> set[str]:
    """Names of the layers of a lowered network that give or take one of the tensors.

    A ReLU that is fused with a convolution is that convolution; requantizations are no operations in float.
    """
    makers, touched = {}, set()
    for layer in model.layers[1:]:
        makers.setdefault(output_tensor(layer), layer)  # a convolution comes before the ReLU that is fused with it
    for tensor in tensors:
        readers = [child for child in graph.children(model.get_layer(tensor)) if _reads_values(child, tensor)]
        touched |= {layer.name for layer in (makers[tensor], *readers) if not isinstance(layer, Requantize)}
    return touched


def _reads_values(child, tensor):
    """Whether a layer reads a tensor's values, not its size alone."""
    return not isinstance(child, ResizeLike) or graph.parents(child)[0].name == tensor
