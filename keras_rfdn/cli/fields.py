"""Validation of a command's fields: limits and choices stand beside the fields, and one function checks them all.

    @dataclasses.dataclass(frozen=True)
    class FitConfig:
        steps: int = number(100, above=0)  # updates
        ema: float = number(0.0, least=0, below=1)
        height: int | None = number(None, least=15)  # a field that is None is not checked
        size: tuple[int, int] = number((320, 180), above=0)  # every item is
        loss: str = choice("l1", "l2", default="l1")

    def main(config):
        check_fields(config)  # UserError: --steps must be above 0, got 0

Every number must be finite, and a whole one fit into 32 bits, whether it has limits or not. The parser shows choices in
--help and refuses others itself; check_fields refuses them where main is called by Python code.
"""

import dataclasses
import math

import simple_parsing

from keras_rfdn.data.system.errors import UserError

LARGEST = 2**31 - 1  # of whole numbers: what native code takes
MOST_THREADS = 1024  # and processes; a system may refuse fewer
# What each limit asks of a value, and how a message says so.
LIMITS = {
    "above": (lambda value, limit: value > limit, "above {}"),
    "least": (lambda value, limit: value >= limit, "{} or above"),
    "below": (lambda value, limit: value < limit, "below {}"),
    "most": (lambda value, limit: value <= limit, "{} or below"),
}


def choice(*choices, default=dataclasses.MISSING):
    """Dataclass field whose value is one of choices, all of one type; the default may be None."""
    return simple_parsing.choice(*choices, default=default, type=type(choices[0]))


def number(default=dataclasses.MISSING, **limits: float):
    """Dataclass field of a number, or of a tuple of numbers, with limits.

    limits: above and below, which the number must not reach; least and most, which it may.
    """
    if unknown := limits.keys() - LIMITS.keys():
        raise TypeError(f"a limit is one of {', '.join(LIMITS)}, not {', '.join(sorted(unknown))}")
    return dataclasses.field(default=default, metadata={"limits": limits})


def check_fields(config, *, prefix: str = "--"):
    """Raise UserError that names the first field of a dataclass whose value is not finite, within limits or a choice.

    prefix: what a message puts before a field's name; "" where it is an argument and not a flag.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for item in value if isinstance(value, tuple | list) else [value]:
            if item is not None and (needed := _broken_rule(item, field)):
                name = field.name if field.metadata.get("positional") else f"{prefix}{field.name}"
                raise UserError(f"{name} must be {needed}, got {item}")


def _broken_rule(value, field):
    """What a field's value must be and is not, in words; None for a good one."""
    choices = field.metadata.get("custom_args", {}).get("choices")
    limits = field.metadata.get("limits", {})
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of at most {LARGEST:,}"
    if choices is not None and value not in choices:
        return f"one of {', '.join(map(str, choices))}"
    if not all(LIMITS[name][0](value, limit) for name, limit in limits.items()):
        return " and ".join(LIMITS[name][1].format(limit) for name, limit in limits.items())
    return None
