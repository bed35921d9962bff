"""Pretrained weights that come with the package (keras_rfdn/weights/): found by name, and checked.

NAME is VARIANT-xSCALE. NAME.h5 are the float weights, NAME_int8.tflite the fully integer file for LR images of 320x180
(keras_rfdn.upscaling.reshaping gives it another size), NAME.md says how both were made and how they score. SHA256SUMS
is as sha256sum writes it.
"""

import functools
import pathlib

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "weights"
CHECKSUMS = "SHA256SUMS"
VARIANT, SCALE = "e-rfdn", 4  # what a user gets who names neither


def names() -> list[str]:
    """Names of all, VARIANT-xSCALE each."""
    return sorted(path.stem for path in FOLDER.glob("*.h5"))


def find(variant: str | None = None, scale: int | None = None) -> pathlib.Path:
    """Weight file of a variant and scale. Raises UserError when none is shipped, or the file is damaged."""
    return named(f"{variant or VARIANT}-x{scale or SCALE}")


def named(name: str) -> pathlib.Path:
    """Weight file called NAME. Raises UserError as find does."""
    return _file(name, f"{name}.h5")


def int8(name: str) -> pathlib.Path:
    """Int8 TFLite file of the weights called NAME. Raises UserError as find does."""
    return _file(name, f"{name}_int8.tflite")


def _file(name, file):
    if name not in names():
        raise UserError(f"no weights of {name} are shipped, only {', '.join(names()) or 'none at all'}")
    _check(FOLDER / file)
    return FOLDER / file


def checksums() -> dict[str, str]:
    """Checksums: {file name: SHA-256 in hexadecimal} as SHA256SUMS lists them."""
    lines = (FOLDER / CHECKSUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


@functools.cache
def _check(path):
    if not path.is_file() or files.sha256(path) != checksums().get(path.name):
        raise UserError(
            f"{path} is not the file that was shipped (its SHA-256 is not in {CHECKSUMS}): cut short, or an unfetched "
            f"or changed one? Install the package again, or check it out anew"
        )
