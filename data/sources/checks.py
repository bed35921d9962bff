"""Checks of training images in a folder: what is missing, unreadable, of a wrong size or too small."""

import concurrent.futures
import functools
import os
import pathlib
import zipfile

from keras_rfdn.data.images import image_files
from keras_rfdn.data.sources import div2k, downloads, folders, layouts
from keras_rfdn.data.sources.downloads import Findings
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.data.system.progress import track

FOLDER_HEADER = ["set", "images", "expected", "LR images", "unreadable", "wrong size", "below a patch"]
MOST_NAMES = 20  # that one line lists


def check_folder(folder: str | os.PathLike, scale: int, patch: int) -> Findings:
    """Findings on a folder of images, every file of which is read. rows: as FOLDER_HEADER. patch: LR pixels."""
    folder, findings = pathlib.Path(folder), Findings()
    if not folder.is_dir():
        raise UserError(f"{folder} is neither div2k nor a folder")
    for path in sorted(folder.glob("*.zip")):
        _check_zip(path, findings)
    try:
        layout = layouts.find(folder, scale)
    except UserError as error:
        findings.problems.append(str(error))
        return findings
    for image_set in layout.sets:
        _check_set(image_set, scale, patch, findings)
    findings.notes += layout.notes
    return findings


def _check_zip(path, findings):
    fault = downloads.archive_fault(path, downloads.known_archives().get(path.name))
    if fault:
        findings.problems.append(f"{path} {fault}. Delete it or get it again")
        return
    with zipfile.ZipFile(path) as archive:
        packed = [name for name in archive.namelist() if pathlib.Path(name).suffix.lower() in image_files.EXTENSIONS]
    absent = [name for name in packed if not (path.parent / name).exists()]
    if absent:
        findings.problems.append(
            f"{path}: {len(absent)} of {len(packed)} images are not unpacked: unzip it in {path.parent}"
        )
    elif packed:
        findings.notes.append(f"{path} is undamaged and unpacked; it may be deleted")


def _check_set(image_set, scale, patch, findings):
    """Adds a row, and a problem for each thing that training would stumble on."""
    name = image_set.hr_folder.name
    _check_numbers(image_set, findings)
    missing = image_set.missing_lr()
    if missing:
        findings.problems.append(
            f"{image_set.lr_folder} lacks the LR images of {_some(p.stem for p in missing)}: add them, or move that "
            f"folder away to have all LR images made"
        )
    unreadable, wrong, small = _read_all(image_set.files, scale, patch)
    findings.problems += unreadable + wrong
    if unreadable:
        findings.notes.append(f"{name}: with skip_broken training leaves out what is unreadable")
    if small:
        findings.notes.append(
            f"{name}: training leaves out {_some(small)}: an LR side is below a patch of {patch} pixels"
        )
    findings.rows.append(
        [
            name,
            len(image_set.files),
            len(div2k.NUMBERS.get(name, ())) or "",
            len(image_set.files) - len(missing) if image_set.lr_folder else "made by bicubic",
            len(unreadable),
            len(wrong),
            len(small),
        ]
    )


def _check_numbers(image_set, findings):
    """A problem where a folder has DIV2K's name, but not all of its images."""
    wanted = {f"{number:04d}" for number in div2k.NUMBERS.get(image_set.hr_folder.name, ())}
    absent = sorted(wanted - {hr_path.stem for hr_path, _ in image_set.files})
    if absent:
        findings.problems.append(
            f"{image_set.hr_folder} has {len(wanted) - len(absent)} of {len(wanted)} images: {_some(absent)} missing"
        )


def _read_all(pairs, scale, patch):
    """(what is unreadable, what has a wrong size, names of images below a patch), by reading every file."""
    unreadable, wrong, small = [], [], []
    read = functools.partial(_read_pair, scale=scale)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = track(pool.map(read, pairs), "reading", total=len(pairs))
        for (hr_path, _), (broken, mismatch, lr_side) in zip(pairs, results, strict=True):
            unreadable += broken
            wrong += mismatch
            if not broken and not mismatch and lr_side < patch:
                small.append(hr_path.name)
    return unreadable, wrong, small


def _read_pair(paths, scale):
    """([what is unreadable], [what has a wrong size], the smaller LR side or None) of (HR file, LR file or None)."""
    decoded, broken = [], []
    for path in paths:
        try:
            decoded.append(None if path is None else image_files.read(path))
        except UserError as error:
            broken.append(str(error))
    if broken:
        return broken, [], None
    hr, lr = decoded
    try:
        folders.check_sizes(lr, hr, *paths[::-1], scale)
    except UserError as error:
        return [], [str(error)], None
    return [], [], min(hr.shape[:2]) // scale


def _some(names):
    names = list(names)
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
