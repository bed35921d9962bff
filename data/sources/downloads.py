"""Downloads of DIV2K by tensorflow-datasets: zip files, unpacked images, records, and what stopped runs left.

As tensorflow-datasets 4.9 keeps them, in $TFDS_DATA_DIR (by default ~/tensorflow_datasets):

    downloads/div2k/NAMEhash.zip and .zip.INFO   a download, named by its checksum. With both files there it is trusted
                                                 and never looked at again; without .INFO it is downloaded anew
    downloads/div2k/*.tmp.*                      a stopped download: neither gone on with nor deleted
    downloads/manual/DIV2K_train_HR.zip          put there by hand, under its own name: taken if its checksum fits
    downloads/extracted/ZIP.NAMEhash.zip         its images, unpacked: taken as they are
    downloads/extracted/incomplete.*             a stopped unpacking
    div2k/bicubic_x4/2.0.0                       the records that training reads; nothing else is needed then
"""

import dataclasses
import os
import pathlib
import zipfile

import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, resource

from keras_rfdn.data.sources import div2k


@dataclasses.dataclass
class Findings:
    """Findings of a check. rows: cells of a table. problems: what must be mended. notes: what is good to know."""

    rows: list[list] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def check(scale: int, data_dir: str | os.PathLike | None = None) -> Findings:
    """Findings on DIV2K of one scale; rows are [what, state]. data_dir: as for div2k.load."""
    builder = tfds.builder(f"div2k/bicubic_x{scale}", data_dir=data_dir)
    folder, root = pathlib.Path(builder.data_dir), div2k.root(builder)
    downloads = root / "downloads"
    findings = Findings()
    if builder.is_prepared():
        _check_records(builder, findings)
    else:
        findings.rows.append([str(folder), "not there yet"])
        absent = [_check_archive(url, info, downloads, findings) for url, info in archives(scale).items()]
        disk = 3 * sum(int(info.size) for info in archives(scale).values())  # the same PNG files three times
        findings.notes.append(
            f"{sum(absent) / 1e9:.1f} GB to download, by training or by python -m keras_rfdn.prepare div2k --download; "
            f"with what is unpacked and the records, DIV2K takes some {disk / 1e9:.0f} GB of disk"
        )
    for pattern in ("downloads/div2k/*.tmp.*", "downloads/extracted/incomplete.*", "div2k/*/incomplete.*"):
        for path in sorted(root.glob(pattern)):
            try:
                size = sum(p.stat().st_size for p in (path, *path.rglob("*")) if p.is_file())
            except FileNotFoundError:  # a run that goes on beside this check has moved it
                continue
            findings.notes.append(f"{path} ({size / 1e9:.1f} GB): left by a run that was stopped; may be deleted")
    return findings


def archives(scale: int) -> dict[str, checksums.UrlInfo]:
    """{URL: what tensorflow-datasets knows of the file: size, checksum, filename} of the four zip files of a scale."""
    builder_class = tfds.builder_cls("div2k")
    config = builder_class.builder_configs[f"bicubic_x{scale}"]
    return {url: builder_class.url_infos[url] for url in config.download_urls.values()}


def known_archives() -> dict[str, checksums.UrlInfo]:
    """{file name: its size, checksum and file name} of all of DIV2K's zip files."""
    return {info.filename: info for info in tfds.builder_cls("div2k").url_infos.values()}


def archive_fault(path: pathlib.Path, info: checksums.UrlInfo | None = None) -> str | None:
    """Why a zip file can't be used, in words, or None. info: size and checksum that it should have, or None."""
    size = path.stat().st_size
    if info is not None and size != info.size:
        return f"has {size:,} bytes of {int(info.size):,}: cut short, or another file"
    if info is not None and checksums.compute_url_info(path).checksum != info.checksum:
        return "has its size but not its checksum: altered"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except zipfile.BadZipFile as error:
        return f"is no whole zip file ({error}): cut short, or something else under that name"
    return None if broken is None else f"is broken at {broken}"


def _check_archive(url, info, downloads, findings):
    """Adds a row on a zip file and what is unpacked of it; returns the bytes that are to be downloaded."""
    by_hand = downloads / "manual" / info.filename
    name = resource.get_dl_fname(url, info.checksum)
    cached = next((p for p in (downloads / "div2k" / name, downloads / name) if p.exists()), None)
    path = by_hand if by_hand.exists() else cached
    if path is None:
        findings.rows.append([info.filename, "not there yet"])
        return int(info.size)
    marker = resource.get_info_path(path)
    if path != by_hand and not marker.exists():
        findings.rows.append([info.filename, "without .INFO"])
        findings.notes.append(
            f"{path} would be downloaded again, for its .INFO is missing; rename it to {by_hand} to have it taken"
        )
        return int(info.size)
    fault = archive_fault(path, info)
    if fault:
        files = path if path == by_hand else f"it and {marker.name}"
        findings.problems.append(f"{path} {fault}. Delete {files}; the next run downloads it again")
    findings.rows.append([info.filename, "broken" if fault else "undamaged"])
    _check_unpacked(downloads / "extracted" / f"ZIP.{path.name}", info.filename, findings)
    return 0


def _check_unpacked(folder, filename, findings):
    if not folder.exists():
        return
    wanted = len(div2k.NUMBERS["DIV2K_train_HR" if "train" in filename else "DIV2K_valid_HR"])
    count = sum(1 for path in folder.rglob("*.png"))
    findings.rows.append([f"{filename}, unpacked", f"{count} of {wanted} images"])
    if count != wanted:
        findings.problems.append(f"{folder} holds {count} images of {wanted}. Delete it; the next run unpacks it again")


def _check_records(builder, findings):
    """Adds a row for each split, whose records are read whole."""
    for name, split in builder.info.splits.items():
        count, fault = 0, ""
        try:
            for _ in tf.data.TFRecordDataset([str(path) for path in split.filepaths]):
                count += 1
        except tf.errors.OpError as error:
            fault = f" ({type(error).__name__})"
        findings.rows.append([f"{name} records", f"{count} of {split.num_examples}"])
        if fault or count != split.num_examples:
            findings.problems.append(
                f"{builder.data_dir}: {count} of {split.num_examples} {name} images can be read{fault}. Delete that "
                f"folder; the next run makes it again from the downloads"
            )
