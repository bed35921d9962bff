"""Metadata of an image file: EXIF, XMP, IPTC, ICC profile, dpi, comments and texts, from one file into an upscaled one.

What a file holds besides pixels is kept, made true for the result (upright, larger), or named in words for the user:

    found = metadata.read(image)            # as Image.open gave it
    image = metadata.to_result_space(image)  # CMYK, LAB ... -> sRGB
    ... turn upright, upscale ...
    sr, found = metadata.to_format_space(sr, found, format="BMP")  # Adobe RGB -> sRGB where a file holds no profile
    options, lost = metadata.save_options(found, format="BMP", mode=sr.mode, size=sr.size, scale=scale)
    sr.save(path, "BMP", **options)
    metadata.finish(path, found, format="BMP", mode=sr.mode, size=sr.size, scale=scale)

finish writes what Pillow has no option for: a TIFF's tags (tifffile's files too) with EXIF, a JPEG 2000's boxes.
"""

import dataclasses
import os
from typing import BinaryIO

from PIL import Image

from keras_rfdn.metadata import metadata_color as color
from keras_rfdn.metadata import metadata_exif as exif
from keras_rfdn.metadata import metadata_photoshop as photoshop
from keras_rfdn.metadata import metadata_png as png
from keras_rfdn.metadata import metadata_readers as readers
from keras_rfdn.metadata import metadata_writers as writers
from keras_rfdn.metadata import metadata_xmp as xmp
from keras_rfdn.metadata.metadata_tiff import Directory


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What an image file holds besides pixels, as it was read."""

    exif: Directory | None = None
    xmp: bytes = b""
    xmp_extension: bytes = b""  # of a JPEG: what did not fit into 64 KB
    photoshop: bytes = b""  # Photoshop image resources, IPTC among them
    icc: bytes = b""  # profile of the space that to_result_space gives
    dpi: tuple[float, float] | None = None
    aspect: tuple[int, int] | None = None  # pixels per length across and down, without unit
    cicp: tuple[int, ...] = ()  # colour code points (H.273) that say how the pixels look where there is no profile
    comment: bytes = b""
    text: dict[str, str] = dataclasses.field(default_factory=dict)
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # of a PNG
    segments: tuple[tuple[int, bytes], ...] = ()  # of a JPEG, unknown here
    orientation: int = 1  # EXIF's, by which Pillow's exif_transpose turns the image
    converted: bool = False  # the result's pixels are sRGB, the file's were not
    lost: tuple[str, ...] = ()  # what no result can keep, in words


def read(image: Image.Image) -> Metadata:
    """Metadata of an image, or of the frame that it stands at, as Image.open gave it and before its pixels are loaded.

    Later it is read from the file again, where image.filename names one. Damage never raises; it is named in `lost`.
    Changes image.info so that Pillow and to_result_space see the same: a damaged EXIF block, at which exif_transpose
    would raise, is taken out; EXIF and a profile that Pillow overlooks are put in.
    """
    found = readers.read(image)
    lost, profile = found["lost"], found["icc"]
    space, pixels = color.space(profile), color.space_of_mode(image.mode)
    if profile and space is None:
        lost.append("damaged ICC profile")
        image.info.pop("icc_profile", None)
        found["icc"] = b""
    elif profile and image.info.get("icc_profile") != profile:
        image.info["icc_profile"] = profile
    if conversion := color.conversion_profile(image):
        found["icc"] = b""
        try:
            color.to_srgb(Image.new(image.mode, (1, 1)), conversion)
            found["converted"] = True
        except color.ERRORS:
            lost.append("damaged ICC profile")
    elif found["icc"] and space != pixels:
        found["icc"] = b""
        lost.append(f"ICC profile (of {space}, the pixels are {pixels})")
    if found["converted"] and found["exif"] is not None:
        found["exif"] = exif.set_srgb(found["exif"])
    found |= {name: tuple(found[name]) for name in ("chunks", "segments", "cicp")}
    return Metadata(**found | {"lost": tuple(dict.fromkeys(lost))})


def strip(metadata: Metadata) -> Metadata:
    """Metadata without all but what colours need: ICC profile, colour code points, PNG's gAMA, cHRM, sRGB and the like.

    Without these a picture would look otherwise; they say nothing of a person or place.
    """
    kept = tuple(row for row in metadata.chunks if row[0] in png.COLOR)
    colors = {name: getattr(metadata, name) for name in ("icc", "cicp", "orientation", "converted")}
    return Metadata(chunks=kept, **colors)


def to_result_space(image: Image.Image) -> Image.Image:
    """Image that read has seen -> image of RGB, grey or palette mode, the colour space that its Metadata speaks of.

    CMYK and LAB become sRGB by their profile (perceptual, with black point compensation) or by Pillow's own way without
    one; so do grey pixels with an RGB profile, which stay grey. RGB keeps its numbers with its profile, Adobe RGB and
    Display P3 too.
    """
    if profile := color.conversion_profile(image):
        try:
            return color.to_srgb(image, profile)
        except color.ERRORS:  # read has said so
            pass
    return image.convert("RGB") if image.mode in ("CMYK", "LAB", "YCbCr", "HSV") else image


def to_format_space(image: Image.Image, metadata: Metadata, *, format: str) -> tuple[Image.Image, Metadata]:
    """8-bit image and metadata for a file of Pillow's `format`: in sRGB where that can't hold the profile.

    WebP has no grey images and AVIF none with alpha, so no grey profile either.
    """
    as_rgb = format == "WEBP" or (format == "AVIF" and image.has_transparency_data)
    fits = format in writers.WITH_PROFILE and not (as_rgb and color.space(metadata.icc) == "grey")
    if fits or not metadata.icc or color.is_srgb(metadata.icc):
        return image, metadata
    try:
        image = color.to_srgb(image, metadata.icc)
    except color.ERRORS:  # 16 bits, or a profile for one direction alone; save_options says that it is lost
        return image, metadata
    directory = metadata.exif and exif.set_srgb(metadata.exif)
    return image, dataclasses.replace(metadata, icc=b"", cicp=(), converted=True, exif=directory)


def save_options(
    metadata: Metadata, *, format: str, mode: str, size: tuple[int, int], scale: int
) -> tuple[dict, tuple[str, ...]]:
    """Options of Image.save that keep metadata in a file of Pillow's `format`, and what is lost, in words for one line.

    mode: the result's, Pillow's or one with "16" in it ("RGB;16") for 16 bits. size: the result's (width, height),
    upright. A TIFF's tags, and a few more things that Pillow has no options for, are written by finish after it.
    """
    fitted, lost = _fit(metadata, mode=mode, size=size, scale=scale)
    options, more = writers.options(fitted, format)
    return options, tuple(dict.fromkeys([*lost, *more]))


def finish(
    file: str | os.PathLike | BinaryIO,
    metadata: Metadata,
    *,
    format: str,
    mode: str,
    size: tuple[int, int],
    scale: int,
    page: int = 0,
) -> None:
    """Add to a written file what Image.save, or tifffile, could not; the other arguments are those of save_options.

    page: of a TIFF of several, whose pages may be finished in any order.

    TIFF: all tags, with EXIF, GPS, XMP, IPTC and the ICC profile. JPEG 2000: boxes of EXIF, XMP and IPTC. JPEG: pixel
    aspect ratio. Other formats are left as they are. file: a path, or a binary file open for reading and writing.
    """
    fitted, _ = _fit(metadata, mode=mode, size=size, scale=scale)
    if format not in writers.FINISHERS:
        pass
    elif hasattr(file, "write"):
        writers.FINISHERS[format](file, fitted, page)
    else:
        with open(file, "r+b") as opened:
            writers.FINISHERS[format](opened, fitted, page)


def _fit(metadata, *, mode, size, scale):
    """Metadata made true for a result, and what could not be, in words."""
    lost, changes, orientation = list(metadata.lost), {}, metadata.orientation
    if metadata.exif is not None:
        changes["exif"], more = exif.fit(metadata.exif, size=size, scale=scale, orientation=orientation)
        lost += more
    if metadata.xmp:
        changes["xmp"], more = xmp.fit(metadata.xmp, size=size, scale=scale, orientation=orientation)
        lost += more
    if metadata.photoshop:
        changes["photoshop"], more = photoshop.fit(metadata.photoshop, orientation=orientation)
        lost += more
    if metadata.chunks:
        changes["chunks"], more = png.fit(
            metadata.chunks, mode=mode, scale=scale, orientation=orientation, converted=metadata.converted
        )
        lost += more
    if orientation >= 5:
        changes |= {name: value[::-1] for name in ("dpi", "aspect") if (value := getattr(metadata, name))}
    space, wanted = color.space(metadata.icc) if metadata.icc else None, color.space_of_mode(mode)
    if metadata.icc and space != wanted:
        changes["icc"] = b""
        lost.append(f"ICC profile (of {space}, the result is {wanted})")
    return dataclasses.replace(metadata, **changes), lost
