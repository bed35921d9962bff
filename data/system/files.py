"""Atomic writes (a file has its name only when all of it is on the disk), locks, JSON, text and checksums."""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

from absl import logging

from keras_rfdn.data.system.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Atomic write of a file, as a context: gives a temporary path beside it, which takes its name when all went well.

    Makes the folder. After an error nothing is left behind, and a file that had the name keeps it. The content is on
    the disk before it gets the name, so that loss of power leaves the old file or the new one.
    """
    path = pathlib.Path(path)
    make_folder(path.parent)
    # Random, for hosts and containers that share a disk may share process numbers. The suffix stays at the end: Keras
    # and Pillow choose the format by it.
    ending = f".{secrets.token_hex(8)}.tmp{path.suffix}"
    most = max(40, len(os.fsencode(path.name))) - len(os.fsencode(ending))  # disks limit a name's bytes
    temporary = path.with_name(_shortened(path.stem, most) + ending)
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder and those that it lies in, where they are not there, with their names flushed to the disk."""
    path = pathlib.Path(path)
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in new:
        sync(folder.parent)


class WholeWrites(io.BufferedRandom):
    """A file to write that encoders of Pillow fill by Python's writes: `WholeWrites(path)`.

    Given the number of a file, they write by themselves, and take for all what a nearly full disk took of a part: a
    BMP or JPEG cut short, without an error.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__(io.FileIO(path, "w+"))

    def fileno(self):
        raise io.UnsupportedOperation("encoders get no number of a file")


@contextlib.contextmanager
def locked(path: str | os.PathLike, busy: str) -> Iterator[None]:
    """File lock for one process among all hosts that share a disk, as a context.

    Makes the file and its folder, and leaves them there.

    The operating system holds the lock (flock), and drops it with the process: a killed run leaves none behind, and
    neither a process number nor a clock says whose it is. Raises UserError, with busy as its message, when another
    process has it.
    """
    import fcntl  # where there is none, nothing that locks runs: here are Linux and macOS

    make_folder(pathlib.Path(path).parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(busy) from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
            logging.warning("%s can't be locked (%s): see that no other run works there", path, error.strerror)
        if os.fstat(handle).st_nlink == 0:  # its owner has just removed it, with the folder
            raise UserError(busy)
        yield
    finally:
        os.close(handle)


def _shortened(stem, size):
    """The first characters of a name, size bytes of them at most, but for one."""
    while len(os.fsencode(stem)) > max(1, size):
        stem = stem[:-1]
    return stem


def printable(path: str | os.PathLike) -> str:
    """Path for messages, one line that every terminal takes: "?" for undecodable bytes and control characters."""
    return "".join(c if c.isprintable() else "?" for c in os.fspath(path))


def is_temporary(path: str | os.PathLike) -> bool:
    """Whether a path is one that atomic_write gave: a killed process leaves it behind."""
    # Older versions put the process number where the random digits are.
    return re.search(r"\.(\d+|[0-9a-f]{16})\.tmp(\.[^.]*)?$", pathlib.Path(path).name) is not None


def sync(path: str | os.PathLike) -> None:
    """Flush a file, or a folder's list of names, from the system's memory to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network disks have no fsync of folders
            raise
    finally:
        os.close(handle)


def check_outside(target: str | os.PathLike, source: str | os.PathLike) -> None:
    """Raise UserError when a folder to write lies in the folder whose images are read."""
    if pathlib.Path(target).resolve().is_relative_to(pathlib.Path(source).resolve()):
        raise UserError(f"{target} lies in {source}, whose images are read; name a folder outside it")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file by atomic_write."""
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def write_json(path: str | os.PathLike, value) -> None:
    """Write JSON values to a file by atomic_write; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(value), indent=1) + "\n")


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 checksum of a file, in hexadecimal."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
