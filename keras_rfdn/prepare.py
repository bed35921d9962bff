"""Is the training data whole? What is missing or broken, file by file, before an hour of training finds out:

    python -m keras_rfdn.prepare FOLDER --scale 4        a folder of images, laid out as data/sources/folders.py says
    python -m keras_rfdn.prepare div2k                   what tensorflow-datasets has of DIV2K
    python -m keras_rfdn.prepare div2k --download        download and unpack it first

Exit status 2 when something is missing or broken.
"""

import dataclasses
import pathlib

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.sources import div2k, downloads
from keras_rfdn.data.sources.checks import FOLDER_HEADER, check_folder
from keras_rfdn.data.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Check training data: say what is missing or broken, and what would be left out."""

    data: str = simple_parsing.field(positional=True, metavar="DATA")  # div2k, or a folder of images
    scale: int = 4  # 2, 3 or 4
    patch: int = 64  # LR pixels; training leaves smaller images out
    data_dir: str | None = None  # tensorflow-datasets' folder for div2k
    download: bool = False  # div2k only: download and unpack what is missing first


def main(config):
    """Prints a table, problems and notes and returns Findings. Raises UserError when there is a problem."""
    if config.scale not in (2, 3, 4):
        raise UserError(f"--scale must be 2, 3 or 4, got {config.scale}")
    if config.data == "div2k":
        if config.download:
            div2k.load(config.scale, "train", config.data_dir)
        header, found = ["DIV2K", "state"], downloads.check(config.scale, config.data_dir)
    elif config.download:
        raise UserError("--download is for div2k; a folder is only looked at")
    else:
        header, found = FOLDER_HEADER, check_folder(pathlib.Path(config.data), config.scale, config.patch)
    print(text_table(header, found.rows))
    for kind, lines in (("problem", found.problems), ("note", found.notes)):
        for line in lines:
            print(f"{kind}: {line}")
    if found.problems:
        raise UserError(f"{config.data} is not whole; problems named above: {len(found.problems)}")
    return found


if __name__ == "__main__":
    command.run(main, PrepareConfig)
