"""Parts of a video: closed files beside the target, by which a run that was killed goes on."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator

import av
from absl import logging

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.video.video_encoding import Encoding, PartEncoder

# A part ends after so many seconds of work, but not before so many frames.
SECONDS = 60
FRAMES = 24
STATE, LOCK = "state.json", "lock"
EDGE = 2**20  # bytes at the start and end of a source that tell it from another one


class Parts:
    """Folder `target.parts`, a context: a file per part, named by its first frame's number, and what they were made of.

    Parts of another source, network or encoding are removed. frames: how many frames from the start there are.
    Raises UserError where the folder cannot be written, holds what is no part, or is another run's at the moment.
    """

    def __init__(self, target: pathlib.Path, source: pathlib.Path, encoding: Encoding, identity: str):
        self.folder = target.with_name(f"{target.name}.parts")
        self._encoding = encoding
        with contextlib.ExitStack() as stack:
            try:
                if self._held() and not (self.folder / STATE).is_file():
                    raise UserError(
                        f"{self.folder} is there, and not a folder of parts; move it, or name another target"
                    )
                busy = f"another run is at work on {target}; wait for it, or name another target"
                stack.enter_context(files.locked(self.folder / LOCK, busy))
                self._prepare(_settings(source, encoding, identity))
            except OSError as error:
                raise UserError(f"{self.folder} can't be written: {error.strerror}") from error
            self._lock = stack.pop_all()
        if self.frames:
            logging.info("%d frames are there already, in %s", self.frames, self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lock.close()

    @property
    def frames(self) -> int:
        return sum(count for _, count in self.chain())

    def chain(self) -> list[tuple[pathlib.Path, int]]:
        """[(file, how many frames it holds)], in order, without a gap."""
        chain, number = [], 0
        while (path := self._path(number)).exists():
            try:
                with av.open(os.path.abspath(path)) as part:
                    count = part.streams.video[0].frames
            except av.FFmpegError:  # a broken disk: it is made again
                break
            chain.append((path, count))
            number += count
        return chain

    def write_missing(self, results: Iterator, progress: Callable[[], None]) -> None:
        """Write parts of results: (av.VideoFrame of the source, its time, RGB), from frame number `frames` on.

        When it is interrupted, or results raises, the frames until then are a part too. progress: called per frame.
        """
        number, stopped = self.frames, None
        while stopped is None and (first := next(results, None)) is not None:
            with files.atomic_write(self._path(number)) as path:
                part, started = PartEncoder(path, self._encoding), time.monotonic()
                try:
                    for result in itertools.chain([first], results):
                        part.encode(*result)
                        progress()
                        if part.frames >= FRAMES and time.monotonic() - started >= SECONDS:
                            break
                except BaseException as error:
                    stopped = error
                part.close()
                if part.written != part.frames:  # interrupted while a frame was written
                    raise stopped or AssertionError(f"{part.frames} frames in, {part.written} out")
            number += part.frames
        if stopped is not None:
            raise stopped

    def remove(self) -> None:
        """Remove the folder; what can't be removed stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number):
        return self.folder / f"{number:08}.mp4"

    def _prepare(self, settings):
        state = self.folder / STATE
        if state.is_file():
            if state.read_text() == settings:
                return
            logging.info("%s holds parts of another video, network or version; they are made again", self.folder)
            for path in self._held() - {state}:
                path.unlink()
        files.write_text(state, settings)

    def _held(self):
        """Paths of what is in the folder, but for the lock and what a killed run had not finished."""
        found = set(self.folder.iterdir()) if self.folder.is_dir() else set()
        return {path for path in found if path.name != LOCK and not files.is_temporary(path)}


def _settings(source, encoding, identity):
    """What parts are made of, as text: equal texts mean that parts fit together."""
    with open(source, "rb") as file:
        checksum = hashlib.sha256(file.read(EDGE))
        file.seek(max(0, source.stat().st_size - EDGE))
        checksum.update(file.read(EDGE))
    facts = {
        "source": [source.stat().st_size, source.stat().st_mtime_ns, checksum.hexdigest()],
        "network": identity,
        "encoding": {**dataclasses.asdict(encoding), "notes": None},
        "av": [av.__version__, av.library_versions],
    }
    return json.dumps(facts, indent=1, default=str)
