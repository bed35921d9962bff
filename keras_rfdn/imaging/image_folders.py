"""Folders of images: which file becomes which, and their upscaling with decoder, network and encoder side by side."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import logging

from keras_rfdn.data.images import image_files
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.imaging import image_formats
from keras_rfdn.imaging.image_jobs import Job, Upscale

AHEAD = 2  # files decoded before the network wants them, and results that wait for the encoder
LARGE_BYTES = 300_000_000  # a result that others don't wait beside

Pair = tuple[pathlib.Path, pathlib.Path]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a folder becomes.

    pairs: (image to read, image to write) each. done: how many more are written already. passed_over: what is no image,
    in words, "" for nothing. renamed: how many results get another suffix, for a format that is not written.
    """

    pairs: tuple[Pair, ...]
    done: int
    passed_over: str
    renamed: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One file, done or failed. notes: what was lost or changed. error: None, or one line that names the file."""

    source: pathlib.Path
    target: pathlib.Path
    notes: tuple[str, ...] = ()
    error: str | None = None


def plan(source: str | os.PathLike, target: str | os.PathLike, *, overwrite: bool = False) -> Plan:
    """Plan for the images of a folder and its subfolders, in the same subfolders of target, without those done.

    A result has its source's name, but for .png in place of the suffix of a format that is not written. No two sources
    get one target, on disks that take "A.png" and "a.png" for one file neither: a later one keeps its whole name before
    the new suffix ("a.psd.png").
    Raises UserError when source is missing or holds no image, or target is a file or lies in source.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    if target.exists() and not target.is_dir():
        raise UserError(f"{files.printable(target)} is a file, but {files.printable(source)} a folder; name a folder")
    files.check_outside(target, source)
    found = image_files.find_all(source)
    pairs = _targets(found.images, source, target)
    todo = tuple(pair for pair in pairs if overwrite or not os.path.lexists(pair[1]))
    renamed = sum(a.suffix != b.suffix for a, b in pairs)
    return Plan(todo, len(pairs) - len(todo), found.passed_over_in_words(), renamed)


def _targets(images, source, target):
    named = result_names([path.relative_to(source) for path in images], lambda: is_case_insensitive(target))
    return sorted((source / path, target / name) for path, name in named.items())


def result_names(
    images: Sequence[pathlib.PurePath], one_case: Callable[[], bool]
) -> dict[pathlib.PurePath, pathlib.PurePath]:
    """{image: its result} of paths within a folder, as plan gives them.

    one_case: whether the disk takes names that differ in case for one; asked where there are such.
    """
    names, keys, results, same = set(), set(), {}, None
    # Those that keep their names choose first, whatever the others are called.
    keeps = {path: image_formats.of_suffix(path) is not None for path in images}
    for relative in sorted(images, key=lambda path: not keeps[path]):
        wanted = relative if keeps[relative] else relative.with_suffix(".png")
        for number in range(len(images) + 1):
            key = unicodedata.normalize("NFC", str(wanted)).casefold()
            if key in keys and same is None:
                same = one_case()
            if wanted not in names and not (same and key in keys):
                break
            wanted = relative.with_name(f"{relative.name}{f'.{number}' if number else ''}.png")
        names.add(wanted)
        keys.add(key)
        results[relative] = wanted
    return results


def is_case_insensitive(folder: pathlib.Path) -> bool:
    """Whether a disk takes names that differ in case for one; asked of the nearest folder that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(prefix="case.", suffix=".tmp", dir=folder) as file:
            return os.path.exists(os.path.join(folder, os.path.basename(file.name).upper()))
    except OSError:  # where nothing can be written; the files' own errors will say so
        return False


def upscale_files(pairs: Iterable[Pair], upscale: Upscale, scale: int, *, strip: bool = False) -> Iterator[Outcome]:
    """Upscale image files, (image to read, image to write) each -> their outcomes, one by one.

    First come those of which the header tells that they can't be upscaled or written, before the network runs; then all
    others in their order. Nothing of one file stops the others. The next file is decoded and the last one encoded in
    threads beside the network, as many at a time as memory allows; the network runs in the caller's thread.
    upscale, scale, strip: as for image_upscaling.upscale_file.
    """
    good = []
    for pair in pairs:
        job = Job(*pair, scale, strip=strip)
        error = _attempt(job, job.check)
        job.close()
        if error:
            yield Outcome(*pair, error=error)
        else:
            good.append(pair)
    yield from _run(good, upscale, scale, strip)


def _run(pairs, upscale, scale, strip):
    reader, writer = (concurrent.futures.ThreadPoolExecutor(1) for _ in range(2))
    waiting, reading, writing = iter(pairs), collections.deque(), collections.deque()
    try:
        while True:
            while len(reading) < AHEAD and (pair := next(waiting, None)):
                job = Job(*pair, scale, strip=strip)
                reading.append((job, reader.submit(_attempt, job, job.read)))
            if not reading:
                break
            job, future = reading.popleft()
            error = future.result()
            large = error is None and job.result_bytes > LARGE_BYTES
            while writing and (large or len(writing) >= AHEAD):
                yield _outcome(*writing.popleft())
            error = error or _attempt(job, job.enlarge, upscale)
            writing.append((job, error or writer.submit(_attempt, job, job.write)))
            if large or error:
                while writing:
                    yield _outcome(*writing.popleft())
        while writing:
            yield _outcome(*writing.popleft())
    finally:  # of Ctrl-C too: what is begun is written, what waits is given up
        for pool in (reader, writer):
            pool.shutdown(cancel_futures=True)
        for job, _ in (*reading, *writing):
            job.close()


def _outcome(job, error):
    if isinstance(error, concurrent.futures.Future):
        error = error.result()
    return Outcome(job.source, job.target, tuple(job.notes), error)


def _attempt(job, step, *arguments):
    """Run a step of a job -> None, or what went wrong, in one line."""
    try:
        step(*arguments)
        return None
    except (UserError, StoppedError) as error:
        words = str(error)
    except MemoryError:
        words = f"{files.printable(job.source)} needs more memory than there is; close other programs, or cut it up"
    except Exception as error:  # a defect of ours, which shouldn't cost the user the other files
        logging.debug("%s", files.printable(job.source), exc_info=True)
        words = f"{files.printable(job.source)} can't be upscaled ({type(error).__name__}: {error}); please report this"
    job.close()
    return " ".join(words.split())
