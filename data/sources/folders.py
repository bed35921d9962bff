"""Image folders of the user: LR/HR pairs from one of three layouts.

FOLDER/*.png                                                     HR only, in any subfolder; LR is made by bicubic
FOLDER/HR/*.png          FOLDER/LR_bicubic/X4/*x4.png            as the benchmark sets come
FOLDER/*_HR/*.png        FOLDER/*_LR_bicubic/X4/*x4.png          as DIV2K unpacks
"""

import concurrent.futures
import dataclasses
import glob
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources.pair_source import Pair
from keras_rfdn.data.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class FolderPairs:
    """PairSource of files.

    files: (HR file, LR file or None) each; without an LR file the LR image is made by MATLAB's bicubic. HR images are
    cropped to a multiple of scale. skip_broken: name unreadable files in the log and go on instead of raising.
    """

    files: tuple[tuple[pathlib.Path, pathlib.Path | None], ...]
    scale: int
    skip_broken: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Pair]:
        workers = os.cpu_count() or 1
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            files = iter(self.files)
            waiting = [pool.submit(self._load, *file) for file in itertools.islice(files, 2 * workers)]
            while waiting:  # a window, so that a slow reader is not handed all images at once
                pair = waiting.pop(0).result()
                waiting.extend(pool.submit(self._load, *file) for file in itertools.islice(files, 1))
                if pair is not None:
                    yield pair

    def fingerprint(self) -> str:
        """Key for caches: changes when a file or the scale does."""
        key = hashlib.sha256(f"x{self.scale} {self.skip_broken}".encode())
        for path in (p for pair in self.files for p in pair if p is not None):
            stat = path.stat()
            key.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return f"folder-{key.hexdigest()[:16]}"

    def split(self, valid_count: int) -> tuple["FolderPairs", "FolderPairs"]:
        """(training pairs, validation pairs): every k-th file is for validation, valid_count of them, at most half."""
        if valid_count < 1:
            raise UserError(f"valid_count must be 1 or above, got {valid_count}")
        every = max(2, len(self) // valid_count)
        chosen = range(every - 1, len(self), every)[:valid_count]
        return self._split(i in chosen for i in range(len(self)))

    def split_published(self) -> tuple["FolderPairs", "FolderPairs"]:
        """(training pairs, validation pairs) as the folders' names say: DIV2K_valid_HR is not for training."""
        return self._split(path.parent.name.endswith("_valid_HR") for path, _ in self.files)

    def _split(self, is_valid):
        parts = [], []
        for file, valid in zip(self.files, is_valid, strict=True):
            parts[valid].append(file)
        return tuple(dataclasses.replace(self, files=tuple(part)) for part in parts)

    def _load(self, hr_path, lr_path):
        try:
            return load_pair(hr_path, lr_path, self.scale)
        except UserError as error:
            if not self.skip_broken:
                raise
            logging.warning("skipped: %s", error)
            return None


def find_pairs(folder: str | os.PathLike, scale: int, *, skip_broken: bool = False) -> FolderPairs:
    """Image pairs of a folder in one of the three layouts.

    Raises UserError when there is no image or an LR image is missing.
    """
    files = []
    for image_set in image_sets(folder, scale):
        for hr_path in image_set.missing_lr():
            raise UserError(
                f"{hr_path.name} has no LR image {hr_path.stem}x{scale}.* in {image_set.lr_folder}; "
                f"add it, or move that folder away to have the LR images made"
            )
        files += image_set.files
    return FolderPairs(tuple(files), scale, skip_broken)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """HR folder with its files.

    lr_folder: None where LR images are to be made. files: (HR file, LR file or None) each.
    """

    hr_folder: pathlib.Path
    lr_folder: pathlib.Path | None
    files: tuple[tuple[pathlib.Path, pathlib.Path | None], ...]

    def missing_lr(self) -> list[pathlib.Path]:
        """HR files without their LR file, where there is a folder of LR files."""
        return [hr_path for hr_path, lr_path in self.files if self.lr_folder and lr_path is None]


def image_sets(folder: str | os.PathLike, scale: int) -> list[ImageSet]:
    """HR folders of a folder in one of the three layouts. Raises UserError when one holds no image."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one that holds HR images")
    hr_folders = [f for f in sorted(folder.iterdir()) if f.is_dir() and (f.name == "HR" or f.name.endswith("_HR"))]
    if not hr_folders:
        return [ImageSet(folder, None, tuple((path, None) for path in image_files.find(folder)))]
    return [_image_set(hr_folder, scale) for hr_folder in hr_folders]


def _image_set(hr_folder, scale):
    lr_folder = hr_folder.parent / f"{hr_folder.name[:-2]}LR_bicubic" / f"X{scale}"
    if not lr_folder.is_dir():
        return ImageSet(hr_folder, None, tuple((path, None) for path in image_files.find(hr_folder)))
    files = tuple((path, _lr_partner(path, lr_folder, scale)) for path in image_files.find(hr_folder))
    return ImageSet(hr_folder, lr_folder, files)


def _lr_partner(hr_path, lr_folder, scale):
    for stem in (f"{hr_path.stem}x{scale}", hr_path.stem):
        candidates = lr_folder.glob(f"{glob.escape(stem)}.*")
        images = sorted(p for p in candidates if p.suffix.lower() in image_files.EXTENSIONS)
        if images:
            return images[0]
    return None


def load_pair(hr_path: pathlib.Path, lr_path: pathlib.Path | None, scale: int) -> Pair:
    """Image pair (name, lr, hr) of files, HR cropped to a multiple of scale; LR is made where lr_path is None."""
    hr = image_files.read(hr_path)
    lr = None if lr_path is None else image_files.read(lr_path)
    check_sizes(lr, hr, lr_path, hr_path, scale)
    hr = bicubic.modcrop(hr, scale)
    return hr_path.stem, bicubic.downscale(hr, scale) if lr is None else lr, hr


def check_sizes(
    lr: np.ndarray | None, hr: np.ndarray, lr_path: pathlib.Path | None, hr_path: pathlib.Path, scale: int
) -> None:
    """Raise UserError when HR is smaller than one LR pixel, or lr (None: to be made) has not the size that hr needs."""
    height, width = hr.shape[0] // scale, hr.shape[1] // scale
    if 0 in (height, width):
        raise UserError(f"{hr_path} is smaller than {scale} pixels; remove it")
    if lr is not None and lr.shape[:2] != (height, width):
        raise UserError(
            f"{lr_path} is {lr.shape[0]}x{lr.shape[1]}, but x{scale} of {hr_path.name} needs {height}x{width}; "
            f"is this the LR image of another scale?"
        )
