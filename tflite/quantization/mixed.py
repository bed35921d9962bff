"""Int8 with a few operations in float: which, so that the fewest make good the most.

A tensor that stays in float makes float operations of the one that gives it and of all that take it, and their kernels
are not rounded either. LiteRT puts conversions at the edges. Tensors that share a range stay in float together.
"""

import dataclasses

from absl import logging

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import ResizeLike
from keras_rfdn.tflite.quantization import fakequant, graph, quantize, ranges
from keras_rfdn.tflite.sensitivity import Examination, large_enough

IMAGES = 8  # to measure on, a part of 64x64 LR pixels of each


@dataclasses.dataclass(frozen=True)
class Mixed:
    """What search found. operations: names of the layers that compute in float. Losses in dB, on search's images."""

    quantized: quantize.Quantized
    operations: tuple[str, ...]
    int8_loss_db: float
    loss_db: float


def search(quantized, pairs, *, float_ops=None, max_drop_db=None):
    """Quantized -> Mixed, whose Quantized lacks the ranges and steps of what stays in float.

    Tensors are taken by the loss that each makes good alone, for every operation more that becomes float, until the
    mean luma PSNR is at most max_drop_db below the float network's, or nothing more fits into float_ops operations.
    Just one of both is needed. pairs: (name, lr, hr) items to measure on; the first IMAGES that are large enough.
    Raises UserError when no image is, or when even the network in float, but for its pixels, loses more.
    """
    chosen = large_enough(pairs, IMAGES)
    _, lr, hr = chosen[0]
    trial = _Trial(quantized, Examination(quantized, chosen, hr.shape[0] // lr.shape[0]))
    kept, loss = frozenset(), trial.loss(frozenset())
    int8_loss = loss
    gains = {group: int8_loss - trial.loss(frozenset([group])) for group in trial.groups}
    while loss > (max_drop_db or 0):
        rest = [group for group in gains if group not in kept and _fits(trial, kept | {group}, float_ops)]
        if not rest:
            break
        kept |= {max(rest, key=lambda group: gains[group] / (trial.added(kept, group) + 0.1))}
        loss = trial.loss(kept)
        logging.info("%d operations in float: %.4f dB lost", len(trial.operations(kept)), loss)
    if max_drop_db is not None and loss > max_drop_db:
        raise UserError(
            f"--max_drop_db {max_drop_db} is out of reach: with all but its pixels in float the network still loses "
            f"{loss:.4f} dB on the calibration images"
        )
    return Mixed(trial.without(kept), tuple(sorted(trial.operations(kept))), int8_loss, loss)


def _fits(trial, kept, float_ops):
    return float_ops is None or len(trial.operations(kept)) <= float_ops


class _Trial:
    """A network with any groups of tensors in float. groups: {group's leader: names of its tensors}."""

    def __init__(self, quantized, examination):
        self.quantized, self.examination = quantized, examination
        leaders = fakequant.shared(quantized.model)
        ends = {leaders[layer.name] for layer in (quantized.model.layers[0], quantized.model.layers[-1])}
        found = ranges.groups(quantized.model, quantized.ranges)
        self.groups = {leader: names for leader, names in found.items() if leader not in ends}
        self._touched = {leader: _operations(quantized.model, names) for leader, names in self.groups.items()}
        self._float = examination.psnr_y(set())

    def loss(self, kept):
        """dB lost with the groups of kept in float."""
        tensors, operations = self._tensors(kept), self.operations(kept)
        out = {("tensor", name) for name in tensors} | {("kernel", name) for name in operations}
        return self._float - self.examination.psnr_y(set(self.examination.names) - out)

    def operations(self, kept):
        """Names of the layers that compute in float."""
        return set().union(*(self._touched[leader] for leader in kept))

    def added(self, kept, group):
        """How many operations become float when group joins kept."""
        return len(self._touched[group] - self.operations(kept))

    def without(self, kept):
        """The Quantized with kept in float."""
        tensors, operations = self._tensors(kept), self.operations(kept)
        return dataclasses.replace(
            self.quantized,
            ranges={name: x for name, x in self.quantized.ranges.items() if name not in tensors},
            steps={name: x for name, x in self.quantized.steps.items() if name not in operations},
        )

    def _tensors(self, kept):
        return {name for leader in kept for name in self.groups[leader]}


def _operations(model, tensors):
    """Names of the layers that give or take one of the tensors; a ReLU that is part of a convolution is that."""
    layers = {layer.name: layer for layer in model.layers}
    convs = [conv for conv in graph.convolutions(model) if fakequant.has_fused_relu(conv)]
    fused = {graph.children(conv)[0].name: conv for conv in convs}
    touched = set()
    for tensor in tensors:
        layer = layers.get(tensor) or layers[tensor.rsplit(".", 1)[0]]  # a piece of a Contrast layer
        touched.add(fused.get(layer.name, layer).name)
        touched.update(child.name for child in graph.children(layer) if not _takes_size_alone(child, layer))
    return touched


def _takes_size_alone(child, layer):
    return isinstance(child, ResizeLike) and graph.parents(child)[0] is not layer
