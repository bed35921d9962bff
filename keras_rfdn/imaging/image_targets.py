"""Upscaled images written by Pillow: one, or an animation, one frame at a time in memory as far as it allows."""

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator

from PIL import Image

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.imaging import palettes, row_writers
from keras_rfdn.imaging.image_formats import Format

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def writing(name: str, form: Format) -> Iterator[None]:
    """Encoding, as a context: errors become UserError, or StoppedError for a full disk, in one line with name."""
    try:
        yield
    except (UserError, StoppedError):
        raise
    except MemoryError as error:
        raise UserError(
            f"{name} needs more memory than there is; close other programs, or write .png or .tif"
        ) from error
    except OSError as error:
        if error.errno in FULL:
            raise StoppedError(f"{name} has no room on its disk; free some and start again") from error
        if error.errno in FORBIDDEN:
            raise UserError(f"{name} may not be written ({error.strerror}); name another folder") from error
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{name} is too long a name for its disk; shorten it") from error
        raise UserError(f"{name} can't be written as {form.name} ({error.strerror or error})") from error


def save(path: str | os.PathLike, image: Image.Image, form: Format, options: dict) -> list[str]:
    """Write one image of a mode that the format has, and return what was changed, in words. options: metadata's."""
    notes = []
    if form.name == "BMP" and image.mode == "RGBA":
        with open(path, "wb") as file:
            row_writers.write_bmp(file, image, options.get("dpi"))
        return notes
    if form.colours:
        image, notes = palettes.reduce(image, form.colours)
    options = {**form.options, **options}
    if form.name == "AVIF" and image.mode == "L":
        del options["subsampling"]  # Pillow stores grey alone
    try:
        with files.WholeWrites(path) as file:
            image.save(file, form.name, **options)
    except (ValueError, RuntimeError, SystemError, OverflowError) as error:  # Pillow's, for what a format can't hold
        raise OSError(str(error)) from error
    return notes


@dataclasses.dataclass(frozen=True)
class Animation:
    """What is known of an animation before its frames are made.

    mode, size: of all frames. durations_ms: of each. plays: how often it is shown, 0 for ever.
    """

    mode: str
    size: tuple[int, int]
    durations_ms: tuple[float, ...]
    plays: int


def save_animation(
    path: str | os.PathLike, frames: Iterator[Image.Image], form: Format, options: dict, about: Animation
) -> list[str]:
    """Write an animation, frame after frame, each of about's mode and size; return what was changed, in words."""
    notes: dict[str, None] = {}

    def reduced():
        for frame in frames:
            image, changed = palettes.reduce(frame, form.colours)
            notes.update(dict.fromkeys(changed))
            yield image

    made = reduced() if form.colours else frames
    image = Frames(made, len(about.durations_ms), "P" if form.colours else about.mode, about.size)
    durations = [round(ms) for ms in about.durations_ms]
    if form.name in ("WEBP", "AVIF"):
        durations = [ms or 100 for ms in durations]  # as browsers show a GIF without times
    more = {"save_all": True, "duration": durations if len(durations) > 1 else durations[0]}
    if form.name == "GIF":
        more |= {"disposal": 2 if about.mode == "RGBA" else 1, "optimize": False}
        more |= {} if about.plays == 1 else {"loop": max(0, about.plays - 1)}  # a GIF counts repeats
    elif form.name == "PNG":
        more |= {"loop": about.plays, "disposal": 0, "blend": 0}
        more["duration"] = list(about.durations_ms)
    elif form.name == "WEBP":
        more |= {"loop": about.plays, "background": (0, 0, 0, 0)}
    with files.WholeWrites(path) as file:
        image.save(file, form.name, **{**form.options, **options, **more})
    return list(notes)


class Frames(Image.Image):
    """Pillow image of many frames, each of which is made when Pillow's saver first loads it."""

    def __init__(self, frames: Iterator[Image.Image], count: int, mode: str, size: tuple[int, int]):
        super().__init__()
        self._frames, self._mode, self._size = frames, mode, size
        self.n_frames, self.is_animated = count, count > 1
        self._at, self._made = 0, -1

    def seek(self, frame: int) -> None:
        if frame >= self.n_frames:
            raise EOFError
        self._at = frame

    def tell(self) -> int:
        return self._at

    def load(self):
        while self._made < self._at:
            frame = next(self._frames)
            frame.load()
            self.im, self._mode, self._size, self.palette = frame.im, frame.mode, frame.size, frame.palette
            self.info = dict(frame.info)
            self._made += 1
        return super().load()


def named(target) -> str:
    """What messages call a target: a path, or a binary file."""
    return "standard output" if hasattr(target, "write") else files.printable(target)
