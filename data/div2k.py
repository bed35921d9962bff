"""DIV2K (Agustsson, Timofte: NTIRE 2017) by tensorflow-datasets: `div2k/bicubic_x2`, `bicubic_x3`, `bicubic_x4`.

The first use downloads some 4 GB (HR and the LR images of one scale) into tensorflow-datasets' folder.
"""

import dataclasses
import pathlib
import socket
import urllib.request

import tensorflow_datasets as tfds

from data import bicubic

HOST = "data.vision.ee.ethz.ch"  # where tensorflow-datasets downloads DIV2K from


@dataclasses.dataclass(frozen=True)
class Div2kPairs:
    """A sized iterable of (name, lr, hr), as data.folders.FolderPairs, of one split."""

    builder: tfds.core.DatasetBuilder
    split: str
    scale: int

    def __len__(self):
        return self.builder.info.splits[self.split].num_examples

    def __iter__(self):
        # tfds's own order of files; a shuffled one would make two caches of the same data differ.
        dataset = self.builder.as_dataset(split=self.split, shuffle_files=False)
        for i, example in enumerate(tfds.as_numpy(dataset)):
            hr = bicubic.modcrop(example["hr"], self.scale)
            yield f"{self.split}_{i:04d}", example["lr"][: hr.shape[0] // self.scale, : hr.shape[1] // self.scale], hr

    def fingerprint(self):
        return f"{self.builder.info.full_name.replace('/', '-')}-{self.split}"


def load(scale, split, data_dir=None):
    """DIV2K "train" (800 images) or "validation" (100), downloaded and unpacked on first use.

    data_dir: tensorflow-datasets' folder, by default ~/tensorflow_datasets or $TFDS_DATA_DIR.
    Raises ValueError with the ways out when the download fails.
    """
    builder = tfds.builder(f"div2k/bicubic_x{scale}", data_dir=data_dir)
    try:
        _look_up_host(builder)
        builder.download_and_prepare()
    except Exception as error:  # tfds lets through whatever its HTTP client, zip reader or file system raise
        raise ValueError(
            f"DIV2K is not in {builder.data_dir} and could not be downloaded ({type(error).__name__}: {error}).\n"
            f"Try one of: the same command again where there is a network; --data_dir with a tensorflow-datasets "
            f"folder that has div2k; --data FOLDER with DIV2K_train_HR inside, or with any images of yours; "
            f"--data sample, a small set that needs no download"
        ) from error
    return Div2kPairs(builder, split, scale)


def _look_up_host(builder):
    """Raise OSError at once without a network, where tfds would retry for minutes; not where it may need none."""
    prepared = pathlib.Path(builder.data_dir)
    downloaded = prepared.parents[2] / "downloads"
    if not (prepared.exists() or downloaded.exists() or urllib.request.getproxies()):
        socket.getaddrinfo(HOST, 443)
