"""Image files: reading and finding them; every image is uint8 RGB [h, w, 3]."""

import collections
import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_rfdn.data.images import image_modes, pillow_limits
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

MOST_PIXELS = 178_956_970  # that read decodes: 0.5 GB of RGB, and Pillow's own limit for files from strangers

ORIENTATION = 274  # tag of EXIF and TIFF

# What Pillow knows by name and is no picture of pixels, or of which it knows the name alone.
NO_PICTURES = {"PDF", "EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC", "MCIDAS", "PALM"}

# Folders and files that systems put beside pictures: thumbnails, resource forks, what was thrown away.
JUNK_FOLDERS = {"__macosx", "@eadir", ".thumbnails", ".@__thumb", "$recycle.bin", ".trash", ".trashes", ".appledouble"}
JUNK_FILES = {"thumbs.db", "desktop.ini", ".ds_store", "ehthumbs.db", "ehthumbs_vista.db"}


def read(path: str | os.PathLike) -> np.ndarray:
    """Image file -> uint8 RGB [h, w, 3], upright by its EXIF orientation, transparency laid on white.

    Greyscale becomes three equal channels; 16-bit greyscale is scaled to 8 bits.
    Raises UserError that names the file when it can't be decoded, and FileNotFoundError when it is not there.
    """
    with decoding(path), open_image(path) as image:
        if image.width * image.height > MOST_PIXELS:
            megapixels = image.width * image.height / 1e6
            raise UserError(f"has {megapixels:.0f} megapixels, and at most {MOST_PIXELS / 1e6:.0f} are read; cut it up")
        return to_rgb(ImageOps.exif_transpose(image))


def open_image(source) -> Image.Image:
    """Image.open of a path or binary file, without a fault of Pillow's."""
    image = Image.open(source)
    if image.format == "TIFF" and image.tag_v2.get(ORIENTATION) in (5, 6, 7, 8):
        image.filename = ""  # by which Pillow would map an uncompressed file into memory, with its sides exchanged
    return image


@contextlib.contextmanager
def decoding(path: str | os.PathLike) -> Iterator[list[str]]:
    """Decoding of a file by Pillow, as a context that gives the list of Pillow's warnings.

    Errors of all kinds become UserError that names the file, the reason and what to do, but for FileNotFoundError.
    """
    name = files.printable(path)
    try:
        with pillow_limits.taken_over() as warnings:
            yield warnings
    except FileNotFoundError:
        raise
    except UserError as error:
        raise UserError(f"{name} {error}") from error
    except PermissionError as error:
        raise UserError(f"{name} may not be read; give yourself the right to (chmod u+r)") from error
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder, not an image") from error
    except MemoryError as error:
        raise UserError(f"{name} needs more memory than there is; close other programs, or cut it up") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a readable image ({_why(path)}); remove it, or convert it to PNG") from error
    except Exception as error:  # Pillow raises a dozen kinds for broken files, SyntaxError and struct.error among them
        if getattr(error, "errno", None):
            raise UserError(f"{name} can't be read from the disk ({error.strerror}); try again, or copy it") from error
        raise UserError(
            f"{name} is not a readable image ({error}); remove it, or replace it by an undamaged one"
        ) from error


def _why(path):
    """Why Pillow knows no format for a file."""
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return "it is empty"
    return "damaged at its start, or of a format that Pillow doesn't read"


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pillow image of any mode -> uint8 RGB [h, w, 3], transparency laid on white."""
    return np.asarray(image_modes.on_white(image_modes.to_8_bits(image)).convert("RGB"))


def rgb_from_grey(grey: np.ndarray) -> np.ndarray:
    """uint8 [h, w] -> uint8 [h, w, 3]."""
    return np.repeat(grey[..., None], 3, axis=2)


@functools.cache
def extensions() -> frozenset[str]:
    """Suffixes, with their dot and in lower case, of the pictures that Pillow reads."""
    Image.init()
    kinds = {*Image.OPEN, "MPO"} - NO_PICTURES  # JPEG's plugin opens MPO
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in kinds)


def __getattr__(name):
    if name == "EXTENSIONS":  # needs Pillow's plugins, which `import` alone shouldn't load
        return extensions()
    raise AttributeError(name)


@dataclasses.dataclass(frozen=True)
class Found:
    """Files of a folder, sorted. passed_over: those of no image's suffix, but for what systems put beside images."""

    images: tuple[pathlib.Path, ...]
    passed_over: tuple[pathlib.Path, ...]

    def passed_over_in_words(self) -> str:
        """What was passed over, by suffix: "3 .heic (a.heic), 1 .txt (notes.txt)"; "" for nothing."""
        by_suffix = collections.defaultdict(list)
        for path in self.passed_over:
            by_suffix[path.suffix.lower() or "without suffix"].append(path)
        most = sorted(by_suffix.items(), key=lambda item: (-len(item[1]), item[0]))
        named = [f"{len(paths)} {files.printable(kind)} ({files.printable(paths[0].name)})" for kind, paths in most[:8]]
        return ", ".join(named) + (f" and {len(most) - 8} other kinds" if len(most) > 8 else "")


def find(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Image files in a folder and its subfolders, linked ones too, sorted by path, without half-written ones.

    Raises UserError when the folder is missing or holds no image.
    """
    return [path for path in find_all(folder).images if path.exists()]


def find_all(folder: str | os.PathLike) -> Found:
    """As find, with what was passed over, and with links to images that are not there."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{files.printable(folder)} is not a folder; name one that holds images")
    images, others = [], []
    for path in _files(folder):
        if path.is_dir() or files.is_temporary(path) or is_junk(path.name):
            continue
        # What is neither file nor link is a pipe or a device, which would be waited for.
        is_image = path.suffix.lower() in extensions() and (path.is_file() or path.is_symlink())
        (images if is_image else others).append(path)
    if not images:
        packed = [path.name for path in sorted(folder.glob("*.zip"))]
        unpack = f", or unpack {', '.join(packed)} there" if packed else ""
        raise UserError(
            f"no image in {files.printable(folder)}; need {', '.join(sorted(extensions() & _USUAL))} or another format "
            f"that Pillow reads{unpack}"
        )
    return Found(tuple(sorted(images)), tuple(sorted(others)))


_USUAL = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jp2"}


def is_junk(name: str) -> bool:
    """Whether a file's name is one that systems make: macOS' resource forks (._photo.png), Windows' thumbnails."""
    return name.startswith("._") or name.lower() in JUNK_FILES


def _files(folder):
    """Paths below a folder, each real folder once, so that a link upwards is no endless loop."""
    seen = set()
    for here, below, names in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if name.lower() not in JUNK_FOLDERS and not name.startswith("._")]
        if (real := os.path.realpath(here)) in seen:
            below.clear()
            continue
        seen.add(real)
        yield from (pathlib.Path(here, name) for name in names)
