"""Job: one image file on its way through decoder, network and encoder, whose three steps may run in three threads."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image

from keras_rfdn.data.images import pillow_limits
from keras_rfdn.data.system import files, memory
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import image_formats, image_sources, image_targets, pixels, row_writers
from keras_rfdn.metadata import metadata

Upscale = Callable[[np.ndarray], np.ndarray]

RUNTIME_BYTES = 150_000_000  # that a network's tiles and a band of the result take, about
STREAMED_PIXELS = 2**28  # a PNG above is written band by band: less memory, a little more time


class Job:
    """One file to upscale: read, enlarge and write are called in this order, once each; close when one has failed.

    source: path, or a file's bytes. target: path, written by atomic_write, or a binary file. format: suffix of the
    format to write, "png" say, by default target's. strip: whether to drop metadata.

    notes: what is lost or changed, in words, complete after write. memory_bytes: that the job takes at most, about,
    after check or enlarge.

    Raises UserError or StoppedError, one line that names the file, the true reason and what to do.
    """

    def __init__(
        self, source: str | os.PathLike | bytes, target: str | os.PathLike | BinaryIO, scale: int, *,
        format: str | None = None, strip: bool = False,
    ):  # fmt: skip
        self.source, self.target, self.scale, self._strip = source, target, scale, strip
        self._form = image_formats.of_target(target) if format is None else image_formats.named(format)
        self.notes: list[str] = []
        self._open: image_sources.Source | None = None
        self._frame = self._image = None
        self._abouts: list[dict] = []  # what metadata was asked for, of each page written

    @property
    def result_bytes(self) -> int:
        """Memory of the result, after check or read."""
        return self._size[0] * self._size[1] * (1 if self._mode == "L" else 4)

    def close(self) -> None:
        """Give up file and memory."""
        if self._open is not None:
            self._open.close()
        self._open = self._frame = self._image = None

    def check(self) -> None:
        """Open the file and check, by its header alone, that the result can be held and that memory is there for it."""
        self._fit()
        self._check_memory()

    def read(self) -> None:
        """Decode. Memory is looked at by check, and by enlarge again: in between it may be another job's."""
        if self._open is None:
            self._fit()
        if self._all_frames:
            self._read_times()
        else:
            self._frame = self._open.read_frame(self._open.frames[0])
            self._choose(self._frame.pixels)

    def _fit(self):
        self._open = source = image_sources.Source(self.source, target_format=self._form.name)
        self.notes = source.notes
        self._all_frames = self._keeps_frames()
        self._size = tuple(side * self.scale for side in source.size)
        with self._named():
            self._mode = self._form.mode_for(source.mode, source.deep)
            self._dtype = self._form.dtype_for(source.mode, source.deep)
            image_formats.check_size(self._size, self._form, self._mode)

    def enlarge(self, upscale: Upscale) -> None:
        """Run the network. Frames, and what goes to the file band by band, are written here too.

        upscale: uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3]; where it has a method parts(lr), as
        Upscaler has, memory is bounded.
        """
        self._check_memory()
        try:
            self._enlarge(upscale)
        except MemoryError as error:
            raise UserError(f"{self._open.name} needs more memory than there is; close other programs") from error

    def _enlarge(self, upscale):
        if self._all_frames or self._streamed:
            self._write(lambda path: self._stream(path, upscale))
        elif self._dtype == np.uint16:  # grey, for JPEG 2000
            bands = pixels.to_bands(self._frame.pixels, upscale, self.scale, "L", np.uint16)
            self._image = Image.fromarray(np.concatenate([band[..., 0] for band in bands]))
        else:
            self._image = pixels.to_image(self._frame.pixels, upscale, self.scale, self._mode)

    def write(self) -> list[str]:
        """Encode, and return the notes."""
        if self._image is not None:
            self._write(self._encode)
        self.close()
        return self.notes

    def _keeps_frames(self):
        """Whether all frames are written; a note where they aren't."""
        source, form = self._open, self._form
        if source.kind is None:
            return False
        kept = source.kind == form.frames or form.name == "TIFF"
        if kept and (form.name != "MPO" or source.format == "MPO"):
            return True
        count = len(source.frames)
        if source.format == "MPO":
            self._note(f"{count - 1} further pictures in it (a second eye's, previews, gain maps) are left out")
        elif source.kind == "animation":
            self._note(f"the first of its {count} frames is taken; .gif, .png, .webp and .avif hold them all")
        else:
            self._note(f"the first of its {count} pages is taken; .tif holds them all")
        return False

    def _check_memory(self):
        form, (width, height), source = self._form, self._size, self._open
        lr = source.size[0] * source.size[1] * (40 if source.deep else 12)
        kept = len(source.frames) if self._all_frames and form.name in ("GIF", "PNG", "WEBP") else 1
        need = self.result_bytes * kept + width * height * form.encoder_bytes
        free = memory.available()
        self._streamed = form.name in ("TIFF", "PPM") or (form.name == "PNG" and not self._all_frames and (
            self._dtype == np.uint16 or width * height > STREAMED_PIXELS or (free is not None and need > free / 2)
        ))  # fmt: skip
        self.memory_bytes = lr + (0 if self._streamed else need)
        if free is not None and self.memory_bytes + RUNTIME_BYTES > free:
            less = "" if self._streamed else ", or write .png or .tif, which take less"
            raise UserError(
                f"{self._open.name} needs about {(self.memory_bytes + RUNTIME_BYTES) / 1e9:.1f} GB of memory to become "
                f"{width}x{height} pixels in {form.name}, and {free / 1e9:.1f} GB are free; close other programs{less}"
            )

    def _read_times(self):
        times, transparent = [], False
        for frame in self._open.read():
            times.append(frame.duration_ms)
            transparent = transparent or not frame.pixels.opaque
            self._note_alpha(frame.pixels)
            self._frame = self._frame or frame
        if self._form.name == "TIFF":
            if self._open.kind == "animation":
                self._note("the times of its frames are lost, for which TIFF has no place")
            return
        wanted = "RGBA" if transparent else "RGB"
        self._mode = self._form.mode_for(wanted, False)
        plays = self._open.plays
        if plays and self._form.name == "AVIF":
            self._note("it will be shown for ever: Pillow writes no number of repeats into AVIF")
        self._animation = image_targets.Animation(self._mode, self._size, tuple(times), plays)

    def _choose(self, apart):
        """The mode and depth of the result, now that the pixels are known."""
        mode = apart.mode.removesuffix("A") if apart.opaque and not self._form.holds_alpha else apart.mode
        self._mode, self._dtype = self._form.mode_for(mode, apart.deep), self._form.dtype_for(mode, apart.deep)
        self._note_alpha(apart)
        if apart.deep and self._dtype == np.uint8:
            self._note(f"its 16 bits a channel become 8, which is what {self._form.name} holds")

    def _note_alpha(self, apart):
        if not apart.opaque and not self._form.holds_alpha:
            self._note(f"its transparency is laid on white: {self._form.name} holds none")
        elif apart.translucent and self._form.colours:
            self._note("partly transparent pixels become opaque or transparent")

    def _encode(self, path):
        for words in image_targets.save(path, self._image, self._form, self._options(self._frame)):
            self._note(words)

    def _options(self, frame, mode=None, size=None):
        """Options for Pillow that keep metadata; a note for what is lost."""
        about = metadata.strip(frame.metadata) if self._strip else frame.metadata
        about = {"metadata": about, "format": self._form.name, "scale": self.scale}
        about |= {"mode": self._mode_words(mode), "size": size or self._size}
        self._abouts.append(about)
        options, lost = metadata.save_options(**about)
        if lost and not self._strip:
            self._note(f"not kept: {', '.join(lost)}")
        return options

    def _mode_words(self, mode):
        mode = mode or self._mode
        return f"{mode};16" if self._dtype == np.uint16 else mode

    def _stream(self, path, upscale):
        if self._all_frames and self._form.name != "TIFF":
            options = self._options(self._frame)
            self._frame = None
            frames = (pixels.to_image(frame.pixels, upscale, self.scale, self._mode) for frame in self._open.read())
            for words in image_targets.save_animation(path, frames, self._form, options, self._animation):
                self._note(words)
            return
        with open(path, "w+b") as file:
            if self._form.name == "TIFF":
                self._stream_tiff(file, upscale)
                return
            bands = pixels.to_bands(self._frame.pixels, upscale, self.scale, self._mode, self._dtype)
            options = self._options(self._frame)
            if self._form.name == "PPM":
                row_writers.write_ppm(file, bands, self._size, self._mode)
            else:
                row_writers.write_png(file, bands, self._size, self._mode, options)

    def _stream_tiff(self, file, upscale):
        pages = self._open.read() if self._all_frames else [self._frame]
        count = len(self._open.frames) if self._all_frames else 1
        writer = row_writers.TiffWriter(file, self._size[0] * self._size[1] * 8 * count)
        for frame in pages:
            apart = frame.pixels
            mode, dtype = self._form.mode_for(apart.mode, apart.deep), self._form.dtype_for(apart.mode, apart.deep)
            self._mode, self._dtype = mode, dtype
            size = tuple(side * self.scale for side in apart.size)
            options = self._options(frame, mode, size)
            writer.write(pixels.to_bands(apart, upscale, self.scale, mode, dtype), size, mode, dtype, options)

    def _write(self, save):
        """Call save(path) with a path of the target's suffix, and put what it wrote where it belongs."""
        writing = image_targets.writing(image_targets.named(self.target), self._form)
        with writing, pillow_limits.taken_over() as warnings:
            if isinstance(self.target, str | os.PathLike):
                with files.atomic_write(self.target) as partial:
                    self._save(save, partial)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder, "result").with_suffix(self._form.suffix)
                    self._save(save, path)
                    with open(path, "rb") as file:
                        shutil.copyfileobj(file, self.target)
        for words in warnings:
            self._note(words)

    def _save(self, save, path):
        save(path)
        for page, about in enumerate(self._abouts):
            metadata.finish(path, **about, page=page)

    @contextlib.contextmanager
    def _named(self):
        """Errors begin with the file's name."""
        try:
            yield
        except UserError as error:
            raise UserError(f"{self._open.name}: {error}") from error

    def _note(self, words):
        if words not in self.notes:
            self.notes.append(words)
