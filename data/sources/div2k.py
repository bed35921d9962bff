"""DIV2K (Agustsson, Timofte: NTIRE 2017) by tensorflow-datasets: `div2k/bicubic_x2`, `bicubic_x3`, `bicubic_x4`.

The first use downloads some 4 GB (HR and the LR images of one scale) into tensorflow-datasets' folder.
"""

import contextlib
import dataclasses
import os
import pathlib
import socket
import sys
import urllib.request
from collections.abc import Iterator

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import extractor
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources.pair_source import Pair
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import heartbeat

HOST = "data.vision.ee.ethz.ch"  # where tensorflow-datasets downloads DIV2K from
# Its folders and the numbers that name their images, 0001.png to 0900.png.
NUMBERS = {"DIV2K_train_HR": range(1, 801), "DIV2K_valid_HR": range(801, 901)}


@dataclasses.dataclass(frozen=True)
class Div2kPairs:
    """PairSource of one split."""

    builder: tfds.core.DatasetBuilder
    split: str
    scale: int

    def __len__(self) -> int:
        return self.builder.info.splits[self.split].num_examples

    def __iter__(self) -> Iterator[Pair]:
        # tfds's own order of files; a shuffled one would make two caches of the same data differ.
        dataset = self.builder.as_dataset(split=self.split, shuffle_files=False)
        for i, example in enumerate(tfds.as_numpy(dataset)):
            hr = bicubic.modcrop(example["hr"], self.scale)
            yield f"{self.split}_{i:04d}", example["lr"][: hr.shape[0] // self.scale, : hr.shape[1] // self.scale], hr

    def fingerprint(self) -> str:
        return f"{self.builder.info.full_name.replace('/', '-')}-{self.split}"


def load(scale: int, split: str, data_dir: str | os.PathLike | None = None) -> Div2kPairs:
    """DIV2K "train" (800 images) or "validation" (100), downloaded and unpacked on first use.

    data_dir: tensorflow-datasets' folder, by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
    Raises UserError with the ways out when the download fails, or data_dir holds DIV2K's unpacked images.
    """
    builder = tfds.builder(f"div2k/bicubic_x{scale}", data_dir=data_dir)
    folder = root(builder)
    for name in NUMBERS:
        if (folder / name).is_dir():
            raise UserError(f"{folder} holds {name}, images unpacked already; name that folder as the data")
    try:
        _look_up_host(builder)
        with _progress(builder):
            builder.download_and_prepare()
    except Exception as error:  # tfds lets through whatever its HTTP client, zip reader or file system raise
        raise UserError(
            f"DIV2K is not in {builder.data_dir} and could not be downloaded ({type(error).__name__}: {error}).\n"
            f"{_advice(error)} Otherwise: set the environment's TFDS_DATA_DIR to a tensorflow-datasets folder that has "
            f"div2k; or name as the data a folder with DIV2K_train_HR inside, a folder with images of yours, or "
            f'"sample", which needs no download'
        ) from error
    return Div2kPairs(builder, split, scale)


def root(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
    """Folder of all of tensorflow-datasets' data: DIV2K's records are in div2k/CONFIG/VERSION below."""
    return pathlib.Path(builder.data_dir).parents[2]


def _progress(builder):
    """Progress of download_and_prepare, as a context: bars of tensorflow-datasets' own on a terminal, else lines."""
    if sys.stderr.isatty() or builder.is_prepared():
        return contextlib.nullcontext()
    tfds.disable_progress_bar()

    def state():
        return f"{_size(root(builder)) / 1e9:.1f} GB of downloads, unpacked images and records"

    return heartbeat("DIV2K", state)


def _size(folder):
    """Bytes of the files below a folder, which may come and go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _advice(error):
    """What to try after an exception of download_and_prepare."""
    if isinstance(error, NonMatchingChecksumError):
        return (
            "The download was cut short or altered on its way, and nothing of it was kept: try again. If it comes the "
            "same every time, the publishers have replaced the file: unpack it yourself and name its folder as the "
            "data."
        )
    if isinstance(error, extractor.ExtractError):
        return "A zip file is broken or the disk is full: python -m keras_rfdn.prepare div2k says which file to delete."
    return "Try the same command again where there is a network; python -m keras_rfdn.prepare div2k says what is there."


def _look_up_host(builder):
    """Raise OSError at once without a network, where tfds would retry for minutes; not where it may need none."""
    needs_none = pathlib.Path(builder.data_dir).exists() or (root(builder) / "downloads").exists()
    if not (needs_none or urllib.request.getproxies()):
        socket.getaddrinfo(HOST, 443)
