"""Image files to upscale, opened: their frames one by one, upright, as Pixels, with what else they hold."""

import contextlib
import dataclasses
import io
import os

from PIL import Image, UnidentifiedImageError

from keras_rfdn.data.images import image_files, image_modes, pillow_limits
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import foreign_tiffs, pixels, sixteen_bits
from keras_rfdn.metadata import metadata, metadata_opening, metadata_writers

ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF", "FLI")
PAGES = ("TIFF", "MPO", "DCX")
RAW = {".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".orf", ".pef", ".rw2", ".raf", ".srw", ".3fr", ".erf"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SUBFILE_TYPE = 254  # tag of TIFF, 1 for a smaller copy of another page


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture of a file. duration_ms: how long it is shown, 0 where the file doesn't say."""

    pixels: pixels.Pixels
    duration_ms: float
    metadata: metadata.Metadata


class Source:
    """Image file, opened, of which the header alone is read so far; a context that closes it.

    source: path, or a file's bytes. name: what messages call it, by default the path. target_format: Pillow's name of
    the format that the result will have, which decides of what colour space it can be.

    format: Pillow's name. size: (width, height), upright. mode: L, LA, RGB or RGBA, as the first frame's will be; alpha
    may turn out to be opaque. deep: whether it holds more than 8 bits a channel. frames: indices of the frames that
    are pictures of their own. kind: "animation", "pages" or None for a single picture.
    plays: how often an animation is shown, 0 for ever. notes: what is lost by reading it, in words.

    Raises UserError, which names the file, the reason and what to do, when it can't be read.
    """

    def __init__(self, source: str | os.PathLike | bytes, name: str | None = None, *, target_format: str = "PNG"):
        self.name = name or ("standard input" if isinstance(source, bytes) else files.printable(source))
        self._source, self._target_format = source, target_format
        self.notes: list[str] = []
        with self.reading():
            if os.path.splitext(self.name)[1].lower() in RAW:  # Pillow would take the small preview in it
                raise UserError("is a camera's raw file; develop it to TIFF or PNG first")
            self._image = self._opened()
        try:
            with self.reading():
                self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._image.close()

    @contextlib.contextmanager
    def reading(self):
        """Decoding, as a context: errors name the file, and Pillow's warnings become notes."""
        try:
            with image_files.decoding(self.name if isinstance(self._source, bytes) else self._source) as warnings:
                yield
        except FileNotFoundError as error:
            raise UserError(f"{self.name} is not there any more") from error
        for warning in warnings:
            self._note(warning)

    def _opened(self):
        try:
            return metadata_opening.open_image(sixteen_bits.fresh(self._source))
        except UnidentifiedImageError:
            if not foreign_tiffs.is_tiff(self._source):
                raise
            self._source = foreign_tiffs.convert(self._source)
            return metadata_opening.open_image(sixteen_bits.fresh(self._source))

    def _read_header(self):
        image = self._image
        self.format = image.format
        if self.format == "WEBP" and image.mode == "RGB" and image.is_animated:
            # Frames that cover part of the picture leave the rest transparent, though no frame has alpha.
            image._mode = image.rawmode = "RGBA"
        self.deep = sixteen_bits.is_deep(image)
        self.mode = _mode(image)
        with pillow_limits.taken_over():  # metadata's own words are in what it says to be lost
            self._metadata = metadata.read(image)
        turned = self.format != "TIFF" and self._metadata.orientation >= 5
        self.size = image.size[::-1] if turned else image.size
        count = getattr(image, "n_frames", 1) if self.format in ANIMATIONS + PAGES else 1
        self.frames = tuple(range(count))
        if self.format == "PNG" and image.info.get("default_image"):
            self.frames = self.frames[1:]
            self.notes.append("its still picture for programs without animation is left out")
        if self.format == "TIFF" and count > 1:
            self.frames = tuple(i for i in self.frames if not self._is_reduced(i))
            image.seek(0)
            if len(self.frames) < count:
                self.notes.append(f"{count - len(self.frames)} smaller copies of its pictures are left out")
        self.kind = None
        if len(self.frames) > 1:
            self.kind = "animation" if self.format in ANIMATIONS else "pages"
        self.plays = _plays(image)
        self._note_other_pictures()
        if lost := _lost_bits(image, self._source):
            self.notes.append(lost)
        if image.mode in ("CMYK", "LAB"):
            self.notes.append(f"its {image.mode} colours become RGB")

    def _is_reduced(self, index):
        self._image.seek(index)
        return bool(int(self._image.tag_v2.get(SUBFILE_TYPE, 0)) & 1) and index > 0

    def _note_other_pictures(self):
        image = self._image
        if self.format == "PSD" and len(image.layers) > 1:
            self.notes.append(f"its {len(image.layers)} layers are merged")
        sizes = image.info.get("sizes", ())
        if self.format in ("ICO", "ICNS", "CUR") and len(sizes) > 1:
            self.notes.append(f"the largest of its {len(sizes)} pictures is taken")

    def read(self):
        """Frames one by one: generator of Frame. Errors: as for the class."""
        for index in self.frames:
            yield self.read_frame(index)

    def read_frame(self, index: int) -> Frame:
        with self.reading():
            return self._read_frame(index)

    def _read_frame(self, index):
        image, about = self._image, self._metadata
        if self.format in ANIMATIONS + PAGES and image.tell() != index:
            image.seek(index)
        if self.kind == "pages" and index:
            with pillow_limits.taken_over():
                about = metadata.read(image)
        orientation = 1 if self.format == "TIFF" else about.orientation  # Pillow turns TIFF itself
        deep = self._read_deep(image, about)
        if deep is None:
            image.load()
        if deep is not None:
            return Frame(pixels.of_deep(_turn(deep, orientation)), 0, about)
        duration = float(image.info.get("duration") or 0)
        image = image_modes.to_8_bits(metadata.to_result_space(image))
        image, about = metadata.to_format_space(image, about, format=self._target_format)
        if orientation in TURNS:
            image = image.transpose(TURNS[orientation])
        return Frame(pixels.of_image(image), duration, about)

    def _read_deep(self, image, about):
        if not sixteen_bits.is_deep(image):
            return None
        converted = (
            about.icc and self._target_format not in metadata_writers.WITH_PROFILE
        )  # which Pillow does in 8 bits alone
        found = None if converted else sixteen_bits.read(image, self._source)
        if found is None:
            self._note("its 16 bits a channel are read as 8")
        return found

    def _note(self, words):
        if words not in self.notes:
            self.notes.append(words)


def _mode(image):
    """Mode of the image as pixels.of_image gives it."""
    alpha = "A" if image.has_transparency_data else ""
    grey = image.mode in ("1", "L", "LA", "La") or image.mode[0] in "IF"
    return ("L" if grey else "RGB") + alpha


def _turn(array, orientation):
    """uint16 [h, w, c] turned upright."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _plays(image):
    """How often an animation is shown, 0 for ever. A GIF counts repeats, and without a word is shown once."""
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else loop + 1 if loop else 0
    return loop or 0


def _lost_bits(image, source):
    """What of more than 8 bits a channel Pillow leaves out without saying so, in words, or None."""
    bits = 8
    if image.format == "SGI" and image.tile and image.tile[0].codec_name == "SGI16":
        bits = 16
    elif image.format in ("AVIF", "JPEG2000") and image.mode != "I;16":
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            head = file.read(65536)
        if (at := head.find(b"av1C")) >= 0:  # https://aomediacodec.github.io/av1-isobmff: high_bitdepth, twelve_bit
            flags = int.from_bytes(head[at + 6 : at + 7])
            bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
        elif (at := head.find(b"\xff\x4f\xff\x51")) >= 0:  # ISO 15444-1: marker SIZ, whose Ssiz is one less
            bits = (int.from_bytes(head[at + 42 : at + 43]) & 0x7F) + 1
    return f"its {bits} bits a channel are read as 8" if bits > 8 else None
