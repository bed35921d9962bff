"""Check of training data before an hour of training finds it out: what is missing or broken, file by file.

    python -m keras_rfdn.prepare FOLDER --scale 4        a folder of images, laid out as data/sources/folders.py says
    python -m keras_rfdn.prepare div2k                   what tensorflow-datasets has of DIV2K ($TFDS_DATA_DIR)
    python -m keras_rfdn.prepare div2k --download        download and unpack it first

Exit status 2 when something is missing or broken.
"""

import dataclasses

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import heartbeat
from keras_rfdn.networks.config import SCALES

with lazy_imports():
    from keras_rfdn.data.sources import checks, div2k, downloads


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Check training data: say what is missing or broken, and what would be left out."""

    data: str = simple_parsing.field(positional=True, metavar="DATA")  # div2k, or a folder of images
    scale: int = choice(*SCALES, default=4)  # 2, 3 or 4
    patch: int = number(64, above=0)  # LR pixels; training leaves smaller images out
    download: bool = False  # div2k only: download and unpack what is missing first


def main(config):
    """Prints a table, problems and notes and returns Findings. Raises UserError when there is a problem."""
    check_fields(config)
    if config.data == "div2k":
        if config.download:
            div2k.load(config.scale, "train")
        with heartbeat("checking DIV2K"):
            header, findings = ["DIV2K", "state"], downloads.check(config.scale)
    elif config.download:
        raise UserError("--download is for div2k; a folder is only looked at")
    else:
        header, findings = checks.FOLDER_HEADER, checks.check_folder(config.data, config.scale, config.patch)
    print(text_table(header, findings.rows))
    for kind, lines in (("problem", findings.problems), ("note", findings.notes)):
        for line in lines:
            print(f"{kind}: {line}")
    if findings.problems:
        raise UserError(f"{config.data} is not ready for training; problems named above: {len(findings.problems)}")
    return findings


if __name__ == "__main__":
    command.run(main, PrepareConfig)
