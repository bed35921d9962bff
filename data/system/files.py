"""Atomic writes: a file has its name only when all of it is written. JSON, text and checksums besides."""

import contextlib
import hashlib
import json
import math
import os
import pathlib
import re

from keras_rfdn.data.system.errors import UserError


@contextlib.contextmanager
def atomic_write(path):
    """Context for writing a file: gives a temporary path beside it, which takes its name when all went well.

    Makes the folder. After an error nothing is left behind, and a file that had the name keeps it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays at the end: Keras and Pillow choose the format by it.
    partial = path.with_name(f"{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def is_temporary(path):
    """Whether a path is one that atomic_write gave: a killed process leaves it behind."""
    return re.search(r"\.\d+\.tmp$", pathlib.Path(path).stem) is not None


def check_outside(target, source):
    """Raise UserError when a folder to write lies in the folder whose images are read."""
    if pathlib.Path(target).resolve().is_relative_to(pathlib.Path(source).resolve()):
        raise UserError(f"{target} lies in {source}, whose images are read; name a folder outside it")


def write_text(path, text):
    """Write a text file by atomic_write."""
    with atomic_write(path) as partial:
        partial.write_text(text)


def write_json(path, value):
    """Write JSON values to a file by atomic_write; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(value), indent=1) + "\n")


def sha256(path):
    """SHA-256 checksum of a file, in hexadecimal."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
