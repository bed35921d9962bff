"""The weights that come with the package (keras_rfdn/weights/): found by name, and whole.

NAME is VARIANT-xSCALE. NAME.h5 are the float weights, NAME_int8.tflite the fully integer file for LR images of any
size, NAME.md says how both were made and how they score. SHA256SUMS is as sha256sum writes it.
"""

import functools
import pathlib

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "weights"
CHECKSUMS = "SHA256SUMS"
VARIANT, SCALE = "e-rfdn", 4  # what a user gets who names neither


def names():
    """All of them, VARIANT-xSCALE each."""
    return sorted(path.stem for path in FOLDER.glob("*.h5"))


def find(variant=None, scale=None):
    """The weight file of a variant and scale. Raises UserError when none is shipped, or the file is not whole."""
    return named(f"{variant or VARIANT}-x{scale or SCALE}")


def named(name):
    """The weight file called NAME. Raises UserError as find does."""
    path = FOLDER / f"{name}.h5"
    if name not in names():
        raise UserError(f"no weights of {name} are shipped, only {', '.join(names()) or 'none at all'}")
    _check(path)
    return path


def checksums():
    """{file name: SHA-256 in hexadecimal} as SHA256SUMS lists them."""
    lines = (FOLDER / CHECKSUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


@functools.cache
def _check(path):
    if files.sha256(path) != checksums().get(path.name):
        raise UserError(
            f"{path} is not the file that was shipped (its SHA-256 is not in {CHECKSUMS}): cut short, or an unfetched "
            f"or changed one? Install the package again, or check it out anew"
        )
