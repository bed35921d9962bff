"""Writing files whole or not at all."""

import contextlib
import os
import pathlib
import re


@contextlib.contextmanager
def whole(path):
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


def is_partial(path):
    """Whether a path is one that whole gave: a killed process leaves it behind."""
    return re.search(r"\.\d+\.tmp$", pathlib.Path(path).stem) is not None


def check_outside(target, source):
    """Raise ValueError when a folder to write lies in the folder whose images are read."""
    if pathlib.Path(target).resolve().is_relative_to(pathlib.Path(source).resolve()):
        raise ValueError(f"{target} lies in {source}, whose images are read; name a folder outside it")
