"""Numbers that make no sense, to every numeric flag of every command: which are taken is written down here."""

import ast
import dataclasses
import importlib
import math
import pathlib
import typing

import pytest

from keras_rfdn.cli.fields import check_fields
from keras_rfdn.data.system.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
FOLDERS = {"keras_rfdn": "keras_rfdn", "tflite": "keras_rfdn.tflite", "tools": "tools", "benchmarks": "benchmarks"}
# Of the whole numbers 0, -1 and 10**18, and of these and NaN and infinity for the others. Any other flag takes none.
TAKEN = {
    "clip_norm": {0, 1e18}, "ema": {0}, "growth": {1e18}, "learning_rate": {1e18}, "max_drop_db": {0, -1, 1e18},
    "save_minutes": {0, 1e18}, "seconds": {0, 1e18}, "seed": {0}, "warmup": {0},
}  # fmt: skip


def _configs():
    """{command.field: (the field, its numeric type, whether it is a tuple)} of all commands."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).glob("*.py")):
            if "    command.run(" not in path.read_text():
                continue
            name = f"{package}.{path.stem}"
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
                    yield from _fields(getattr(importlib.import_module(name), node.name), name)


def _fields(config_class, name):
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        hint = hints[field.name]
        kinds = {hint, *typing.get_args(hint)} & {int, float}
        if kinds:
            yield f"{name}.{field.name}", (field, kinds.pop(), typing.get_origin(hint) is tuple)


FIELDS = dict(_configs())


def test_all_are_found():
    assert {"keras_rfdn.train.batch", "keras_rfdn.tflite.benchmark.threads", "tools.distill.largest"} < FIELDS.keys()
    assert len(FIELDS) > 60


def _is_taken(config):
    try:
        check_fields(config)
    except UserError:
        return False
    return True


@pytest.mark.parametrize("name", FIELDS)
def test_numbers_that_make_no_sense_are_refused(name):
    field, kind, several = FIELDS[name]
    numbers = [0, -1, 10**18] if kind is int else [0.0, -1.0, 1e18, math.nan, math.inf]
    one = dataclasses.make_dataclass("One", [(field.name, object, dataclasses.field(metadata=field.metadata))])
    taken = {number for number in numbers if _is_taken(one((number,) if several else number))}
    assert taken <= TAKEN.get(field.name, set())


@pytest.mark.parametrize("name", sorted({name.rpartition(".")[0] for name in FIELDS}))
def test_commands_check_their_fields(name):
    assert "    check_fields(config)\n" in pathlib.Path(importlib.import_module(name).__file__).read_text()
