import dataclasses
import math
import re

import pytest
import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.data.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Fields of every kind."""

    count: int = number(3, above=0)  # how many
    rate: float = number(0.5, above=0)
    ema: float = number(0.0, least=0, below=1)
    share: float | None = number(None, above=0, most=1)
    size: tuple[int, int] | None = number((320, 180), least=15)
    free: float = 0.0
    name: str = ""
    loss: str = choice("l1", "l2", default="l1")
    scale: int = choice(2, 3, 4, default=4)
    losses: tuple[str, ...] = choice("l1", "l2", default=("l1",))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"count": 1, "rate": 1e-9, "ema": 0.999, "share": 1.0, "size": None, "free": -7.0},
        {"losses": ("l1", "l2"), "loss": "l2", "size": (15, 15)},
    ],
)
def test_what_can_be_is_taken(fields):
    check_fields(Config(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "--count must be above 0, got 0"),
        ({"count": -1}, "--count must be above 0, got -1"),
        ({"rate": 0.0}, "--rate must be above 0, got 0.0"),
        ({"rate": math.nan}, "--rate must be a finite number, got nan"),
        ({"rate": math.inf}, "--rate must be a finite number, got inf"),
        ({"free": -math.inf}, "--free must be a finite number, got -inf"),
        ({"ema": 1.0}, "--ema must be 0 or above and below 1, got 1.0"),
        ({"ema": -0.1}, "--ema must be 0 or above and below 1, got -0.1"),
        ({"share": 1.5}, "--share must be above 0 and 1 or below, got 1.5"),
        ({"size": (320, 14)}, "--size must be 15 or above, got 14"),
        ({"loss": "l3"}, "--loss must be one of l1, l2, got l3"),
        ({"count": 10**18}, "--count must be a whole number of at most 2,147,483,647, got 1000000000000000000"),
        ({"scale": 5}, "--scale must be one of 2, 3, 4, got 5"),
        ({"losses": ("l1", "l3")}, "--losses must be one of l1, l2, got l3"),
    ],
)
def test_what_cannot_be_is_named_with_what_was_needed(fields, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        check_fields(Config(**fields))
    with pytest.raises(UserError, match=f"^{re.escape(message.removeprefix('--'))}$"):
        check_fields(Config(**fields), prefix="")


def test_a_positional_field_has_no_dashes():
    @dataclasses.dataclass
    class Positional:
        runs: int = simple_parsing.field(default=1, positional=True, metadata={"limits": {"above": 0}})

    with pytest.raises(UserError, match=r"^runs must be above 0, got 0"):
        check_fields(Positional(0))


def test_a_misspelt_limit_is_no_limit():
    with pytest.raises(TypeError, match="a limit is one of above, least, below, most, not over"):
        number(1, over=0)


def test_limits_leave_flags_and_their_help_as_they_are():
    parser = simple_parsing.ArgumentParser()
    parser.add_arguments(Config, "config")
    assert parser.parse_args(["--count", "7", "--size", "20", "30"]).config == Config(count=7, size=(20, 30))
    assert "how many (default: 3)" in parser.format_help()
    with pytest.raises(SystemExit):
        parser.parse_args(["--scale", "5"])


def test_choices_of_numbers_are_parsed():
    @dataclasses.dataclass(frozen=True)
    class Config:
        """A command."""

        scale: int = choice(2, 3, 4, default=4)

    assert command._parse(Config, ["command", "--scale", "2"]).scale == 2
    assert command._parse(Config, ["command"]).scale == 4
    with pytest.raises(SystemExit):
        command._parse(Config, ["command", "--scale", "5"])
