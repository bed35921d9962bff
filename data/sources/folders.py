"""Image folders of the user: LR/HR pairs.

FOLDER/*.png                                                     HR only, in any subfolder; LR is made by bicubic
FOLDER/HR/*.png          FOLDER/LR_bicubic/X4/*x4.png            as the benchmark sets come
FOLDER/*_HR/*.png        FOLDER/*_LR_bicubic/X4/*x4.png          as DIV2K unpacks

data/sources/image_names.py says by which other names HR and LR images are known.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from absl import logging
from PIL import Image

from keras_rfdn.data.images import bicubic, image_files, image_modes
from keras_rfdn.data.sources import layouts
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
            files = ((*file, name) for file, name in zip(self.files, unique_names(self.files), strict=True))
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
        return self._split(
            any(part.endswith(("_valid_HR", "_valid_HR_sub")) for part in path.parent.parts) for path, _ in self.files
        )

    def _split(self, is_valid):
        parts = [], []
        for file, valid in zip(self.files, is_valid, strict=True):
            parts[valid].append(file)
        return tuple(dataclasses.replace(self, files=tuple(part)) for part in parts)

    def _load(self, hr_path, lr_path, name):
        try:
            return load_pair(hr_path, lr_path, self.scale, name)
        except UserError as error:
            if not self.skip_broken:
                raise
            logging.warning("skipped: %s", error)
            return None


def find_pairs(folder: str | os.PathLike, scale: int, *, skip_broken: bool = False) -> FolderPairs:
    """Image pairs of a folder, laid out as data.sources.layouts finds out; what is not obvious goes to the log.

    Raises UserError when there is no image, an LR image is missing, or it is not clear which images belong together.
    """
    layout = layouts.find(folder, scale)
    for note in layout.notes:
        logging.warning("%s", note)
    for image_set in layout.sets:
        for hr_path in image_set.missing_lr():
            raise UserError(
                f"{hr_path} has no LR image {hr_path.stem}x{scale}.* in {image_set.lr_folder}; "
                f"add it, or move that folder away to have the LR images made"
            )
    return FolderPairs(tuple(pair for image_set in layout.sets for pair in image_set.files), scale, skip_broken)


def unique_names(files: Sequence[tuple[pathlib.Path, pathlib.Path | None]]) -> list[str]:
    """Names of (HR file, LR file) pairs, no two the same: file names without suffix, or else paths within the set.

    The suffix stays where a folder has a.png and a.jpg; of an HR file with several LR files theirs are the names.
    """
    hr_paths = collections.Counter(hr for hr, _ in files)
    paths = [lr if lr and hr_paths[hr] > 1 else hr for hr, lr in files]
    common = os.path.commonpath([path.parent for path in paths]) if paths else ""
    within = [path.relative_to(common) for path in paths]
    for names in ([p.stem for p in within], [p.with_suffix("").as_posix() for p in within]):
        if len({name.lower() for name in names}) == len(names):
            return names
    return [p.as_posix() for p in within]


def reading_notes(files: Iterable[tuple[pathlib.Path, pathlib.Path | None]]) -> list[str]:
    """What reading makes of HR images that are not RGB of 8 bits a channel: a line for each kind, with their names."""
    names = collections.defaultdict(list)
    for hr_path, _ in files:
        for change in _changes(hr_path):
            names[change].append(hr_path.name)
    some = {change: ", ".join(found[:3]) + (" ..." if len(found) > 3 else "") for change, found in names.items()}
    return [f"{len(found)} HR images {change} ({some[change]})" for change, found in names.items()]


def _changes(path):
    try:
        with Image.open(path) as image:
            if image_modes.is_high_range(image) or ";16" in str(image.tile):
                yield "have 16 bits or more a channel and are rounded to 8"
            if image.has_transparency_data:
                yield "have transparency, which is laid on white"
            if image.mode[0] in "1LIF":
                yield "are grey and measured as three equal channels"
            if getattr(image, "n_frames", 1) > 1:
                yield "have several pictures, of which the first is taken"
    except Exception:  # what can't be read is told when it is
        return


def load_pair(hr_path: pathlib.Path, lr_path: pathlib.Path | None, scale: int, name: str | None = None) -> Pair:
    """Image pair (name, lr, hr) of files, HR cropped to a multiple of scale; LR is made where lr_path is None.

    name: by default the HR file's, without suffix.
    """
    hr = image_files.read(hr_path)
    lr = None if lr_path is None else image_files.read(lr_path)
    check_sizes(lr, hr, lr_path, hr_path, scale)
    hr = bicubic.modcrop(hr, scale)
    return name or hr_path.stem, bicubic.downscale(hr, scale) if lr is None else lr, hr


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
