"""Accelerators of TFLite models: which operators of a model each takes, by published lists.

The lists are data, targets.json: one object for each accelerator with the source and its date (of the commit or
release, or of the day it was read), operators that it "accepts" or "refuses", types of activations that it takes (null:
not restricted by the list), the names of CONSTRAINTS that matter here, and a note.
"""

import collections
import dataclasses
import functools
import importlib.resources
import json

from keras_rfdn.cli.text_table import text_table
from keras_rfdn.tflite.inspection import description
from keras_rfdn.upscaling.litert import read_bytes, told_as_user_error

FIRST = 3  # kinds of refusals shown of each target


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An operator that an accelerator leaves to the CPU. result: name of the tensor that it computes."""

    operator: str
    result: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What an accelerator takes of a model. total: operators of the model."""

    target: str
    total: int
    refusals: tuple[Refusal, ...]
    ended: bool = False  # no new devices have it

    @property
    def accepted(self):
        return self.total - len(self.refusals)


@dataclasses.dataclass(frozen=True)
class Target:
    """A row of targets.json. vela: the configurations that Arm's compiler knows it by."""

    name: str
    source: str
    date: str
    activations: tuple[str, ...] | None
    constraints: tuple[str, ...]
    note: str
    accepts: tuple[str, ...] | None = None
    refuses: tuple[str, ...] | None = None
    vela: tuple[str, ...] = ()
    ended: bool = False  # no new devices have it


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of a model as the lists see it. Shapes: -1 where open; constants and absent inputs are left out."""

    name: str
    version: int
    options: object  # flatbuffer's, or None
    inputs: tuple[description.Tensor, ...]
    outputs: tuple[description.Tensor, ...]

    @property
    def result(self):
        return self.outputs[0].name


@functools.cache
def load() -> tuple[Target, ...]:
    """The accelerators of targets.json, in its order."""
    text = importlib.resources.files(__package__).joinpath("targets.json").read_text()
    return tuple(
        Target(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
        for row in json.loads(text)
    )


def verdicts(model) -> list[Verdict]:
    """Path or bytes of a TFLite model -> a Verdict for each target of load(). Raises UserError as describe does."""
    found = operators(model)
    return [verdict(target, found) for target in load()]


def verdict(target: Target, found) -> Verdict:
    """What a target takes of a list of Operator."""
    reasons = ((operator, _reason(target, operator)) for operator in found)
    refusals = (Refusal(operator.name, operator.result, reason) for operator, reason in reasons if reason)
    return Verdict(target.name, len(found), tuple(refusals), target.ended)


def operators(model) -> list[Operator]:
    """Path or bytes of a TFLite model -> its operators, in their order, of all subgraphs."""
    parsed = description.parse(read_bytes(model), model)
    with told_as_user_error(model):
        return _operators(parsed)


def _operators(parsed):
    return [
        Operator(
            name=description.operator_name(parsed, operator),
            version=parsed.operatorCodes[operator.opcodeIndex].version,
            options=operator.builtinOptions,
            inputs=_computed(parsed, graph, operator.inputs),
            outputs=_computed(parsed, graph, operator.outputs),
        )
        for graph in parsed.subgraphs
        for operator in graph.operators
    ]


def table(names, models) -> str:
    """Text of a table, a row for each target and a column for each model, then the first refusals of each.

    models: for each name a list of Verdict, all of the same targets.
    """
    rows = [[row[0].target, *map(_cell, row)] for row in zip(*models, strict=True)]
    lines = [text_table(["operators accepted", *names], rows)]
    for name, of_model in zip(names, models, strict=True):
        same = collections.defaultdict(list)  # refusals that several targets share are told once
        for found in of_model:
            if found.refusals and not found.ended:
                same[tuple(_groups(found.refusals))].append(found.target)
        for groups, of_targets in same.items():
            lines += ["", f"{name}, left to the CPU: {'; '.join(of_targets)}", *groups]
    return "\n".join(lines)


def sources() -> str:
    """Text: where each list is from, its date, and what it does not say."""
    return "\n".join(f"{target.name}: {target.note}. {target.date}, {target.source}" for target in load())


def _cell(found):
    return "ended" if found.ended else f"{found.accepted} of {found.total}"


def _groups(refusals):
    """Lines, one for each kind, the most frequent first."""
    groups = collections.Counter((refusal.operator, refusal.reason) for refusal in refusals)
    lines = [f"  {count} {operator}: {reason}" for (operator, reason), count in groups.most_common(FIRST)]
    more = len(groups) - FIRST
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _reason(target, operator):
    """Why a target refuses an operator, or None."""
    if target.ended:
        return target.note
    if (target.accepts is not None and operator.name not in target.accepts) or operator.name in (target.refuses or ()):
        return "not in the list" if target.refuses is None else "in the list of what is refused"
    tensors = operator.inputs + operator.outputs
    if any(-1 in tensor.shape for tensor in tensors):
        return "open size; tflite/reshape.py gives a fixed one"
    for tensor in tensors:
        if target.activations is not None and tensor.dtype not in target.activations:
            return f"{tensor.dtype}, takes {', '.join(target.activations)}"
    return next(filter(None, (CONSTRAINTS[name](operator) for name in target.constraints)), None)


def _resize_factors(operator):
    """Height and width of the result over those of the input, or None for another operator."""
    if operator.name != "RESIZE_BILINEAR":
        return None
    (_, *small, _), (_, *large, _) = operator.inputs[0].shape, operator.outputs[0].shape
    corner = int(operator.options.alignCorners)
    return [(new - corner) / max(old - corner, 1) for old, new in zip(small, large, strict=True)]


def _resize_by_two(operator):
    factors = _resize_factors(operator)
    if factors is None or operator.inputs[0].shape == operator.outputs[0].shape:
        return None
    if operator.inputs[0].shape[1:3] == (1, 1):
        return None
    wanted = (2,) if operator.options.halfPixelCenters else (2, 4, 8)
    one_sided = 1 in factors and 1 in operator.outputs[0].shape[1:3]
    if (len(set(factors)) == 1 or one_sided) and max(factors) in wanted:
        return None
    return f"by {_text(factors)}, takes {' or '.join(map(str, wanted))} on both sides"


def _resize_by_powers_of_two(operator):
    factors = _resize_factors(operator)
    if factors is None or all(factor in {2**i for i in range(11)} for factor in factors):
        return None
    return f"by {_text(factors)}, takes powers of two"


def _text(factors):
    return " x ".join(f"{factor:.4g}" for factor in factors)


def _transpose_stride_two(operator):
    if operator.name != "TRANSPOSE_CONV":
        return None
    stride = operator.options.strideH, operator.options.strideW
    return None if max(stride) <= 2 else f"stride {stride[0]} x {stride[1]}, takes 2 at most"


def _first_version(operator):
    newest = {"DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 6}.get(operator.name, 1)
    return None if operator.version <= newest else f"version {operator.version} of the operator, takes {newest}"


CONSTRAINTS = {
    "resize_by_two": _resize_by_two,
    "resize_by_powers_of_two": _resize_by_powers_of_two,
    "transpose_stride_two": _transpose_stride_two,
    "first_version": _first_version,
}


def _computed(model, graph, indices):
    """Tensors that are not stored in the file."""
    tensors = (graph.tensors[index] for index in indices if index >= 0)
    return tuple(description.parse_tensor(tensor) for tensor in tensors if not description.stored_bytes(model, tensor))
