"""File formats that results are written in, and what each can hold; the rest of the package asks this table."""

import dataclasses
import os
import pathlib

import numpy as np
from PIL import Image

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Format:
    """What a file format can hold.

    name: Pillow's. modes: of its pixels, of L, LA, RGB and RGBA. most_side, most_pixels, most_bytes: of one image; None
    where memory alone limits them. deep: the modes of which it holds 16 bits a channel. frames: "animation" with times,
    "pages" without, or None. colours: of a palette, or None. options: for Pillow's save. encoder_bytes: memory that
    Pillow's encoder takes for a pixel, beside the image itself; measured.
    """

    name: str
    modes: tuple[str, ...]
    most_side: int | None = None
    most_pixels: int | None = None
    most_bytes: int | None = None
    deep: tuple[str, ...] = ()
    frames: str | None = None
    colours: int | None = None
    options: dict = dataclasses.field(default_factory=dict)
    encoder_bytes: float = 0.5

    @property
    def holds_alpha(self) -> bool:
        return any(mode.endswith("A") for mode in self.modes)

    @property
    def suffix(self) -> str:
        """The usual one, with its dot."""
        return SUFFIX.get(self.name, f".{self.name.lower()}")

    def mode_for(self, mode: str, deep: bool = False) -> str:
        """The mode to write pixels of a mode in: the same, or the next larger one, or one without alpha.

        deep: whether they have 16 bits, which the format may hold of other modes than of 8. Raises UserError for
        colours where the suffix is one of grey.
        """
        larger = {"L": "L LA RGB RGBA", "LA": "LA RGBA L RGB", "RGB": "RGB RGBA", "RGBA": "RGBA RGB"}[mode].split()
        held = self.deep if deep and mode.removesuffix("A") in self.deep else self.modes
        for candidate in larger:
            if candidate in held:
                return candidate
        raise UserError("has colours, where the suffix asks for grey alone; write .ppm or .png")

    def dtype_for(self, mode: str, deep: bool) -> type:
        """uint16 where pixels of 16 bits are written as such, else uint8."""
        return np.uint16 if deep and self.mode_for(mode, deep) in self.deep else np.uint8


SUFFIX = {"JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}
ALL = ("L", "LA", "RGB", "RGBA")
JPEG = {"quality": 95, "subsampling": 0}

FORMATS = {
    f.name: f
    for f in (
        # Level 6, the default, takes six times the time of level 1 for 8 % fewer bytes.
        Format("PNG", ALL, most_side=2**31 - 1, deep=ALL, frames="animation", options={"compress_level": 1}),
        Format("JPEG", ("L", "RGB"), most_side=65_500, options=JPEG),
        Format("MPO", ("L", "RGB"), most_side=65_500, frames="pages", options=JPEG),
        Format("WEBP", ("RGB", "RGBA"), most_side=16_383, frames="animation", encoder_bytes=24,
               options={"lossless": True, "exact": True, "method": 2}),
        # Decoders of AVIF refuse what is larger, libavif's among them.
        Format("AVIF", ("L", "RGB", "RGBA"), most_side=32_768, most_pixels=16_384**2, frames="animation",
               options={"quality": 90, "subsampling": "4:4:4"}, encoder_bytes=36),
        Format("JPEG2000", ALL, deep=("L",), options={"mct": 1}, encoder_bytes=34),
        # Grey with alpha in 16 bits is more than Pillow reads, and most others.
        Format("TIFF", ALL, deep=("L", "RGB", "RGBA"), frames="pages"),
        Format("BMP", ("L", "RGB", "RGBA"), most_bytes=4 * GIB - 1),
        Format("GIF", ("RGB", "RGBA"), most_side=65_535, frames="animation", colours=256, encoder_bytes=12),
        Format("TGA", ALL, most_side=65_535),
        Format("PPM", ("L", "RGB"), deep=("L", "RGB")),
        Format("PCX", ("L", "RGB"), most_side=65_535),
        Format("SGI", ("L", "RGB", "RGBA"), most_side=65_535, encoder_bytes=4),
        Format("DDS", ALL, most_bytes=4 * GIB - 1),
        Format("QOI", ("RGB", "RGBA"), most_pixels=400_000_000),  # as its own decoder
    )
}  # fmt: skip

SUFFIXES = ".png .jpg .webp .avif .jp2 .tif .bmp .gif .tga .ppm"  # to name in messages

# Pillow would write colour into them, which few programs read under such a name.
MODES_BY_SUFFIX = {".pgm": ("L",)}
NOT_WRITTEN = {".pbm", ".pfm"}  # one bit, and floating point


def of_suffix(path: str | os.PathLike) -> Format | None:
    """Format that a path's suffix asks for, or None for one that is not written."""
    suffix = pathlib.Path(path).suffix.lower()
    found = FORMATS.get(Image.registered_extensions().get(suffix))
    found = FORMATS["BMP"] if suffix == ".dib" else found
    if found is None or suffix in NOT_WRITTEN:
        return None
    modes = MODES_BY_SUFFIX.get(suffix, found.modes)
    return dataclasses.replace(found, modes=modes)


def of_target(path: str | os.PathLike) -> Format:
    """As of_suffix. Raises UserError for a suffix whose format is not written."""
    if (found := of_suffix(path)) is None:
        raise UserError(f"{files.printable(path)} must end in {', '.join(SUFFIXES.split())} or the like")
    return found


def named(name: str) -> Format:
    """Format by a suffix without its dot ("png", "jpg"), for streams. Raises UserError for others."""
    return of_target(f"stream.{name.lower().removeprefix('.')}")


def check_size(size: tuple[int, int], form: Format, mode: str) -> None:
    """Raise UserError when a format holds no image of a size (width, height) in pixels."""
    width, height = size
    what = f"{width}x{height} pixels"
    if form.most_side and max(size) > form.most_side:
        raise UserError(f"{what} are more than {form.name}'s {form.most_side:,} a side; write {_others(size, form)}")
    if form.most_pixels and width * height > form.most_pixels:
        raise UserError(f"{what} are more than {form.name}'s {form.most_pixels:,}; write {_others(size, form)}")
    if form.most_bytes and width * height * len(mode) > form.most_bytes:
        raise UserError(f"{what} are more than the 4 GB of a {form.name} file; write {_others(size, form)}")


def _others(size, form):
    photo = form.name in ("JPEG", "MPO") and max(size) <= FORMATS["WEBP"].most_side
    return ".webp or .png, or upscale by less" if photo else ".png or .tif, or upscale by less"
