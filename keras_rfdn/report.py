"""What commands report: a table on the terminal, and files. No TensorFlow here."""

import hashlib
import json
import math
import pathlib

from data import files


def table(header, rows):
    """Rows under a header, cells printed by str -> text in columns, the first aligned left and the others right."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def write_json(path, result):
    """Write JSON values to a file as write_text does; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(result), indent=1) + "\n")


def write_text(path, text):
    """Write a file, which has its name only when all is written."""
    with files.whole(path) as partial:
        partial.write_text(text)


def sha256(path):
    """Checksum of a file, in hexadecimal."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
