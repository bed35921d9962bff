"""Readers of metadata by file format: what Pillow shows of an image, and what it leaves in the file."""

import contextlib
import dataclasses
import io
import os
import struct
import zlib

from PIL import Image

from keras_rfdn.metadata import metadata_containers as containers
from keras_rfdn.metadata import metadata_exif as exif
from keras_rfdn.metadata import metadata_jpeg as jpeg
from keras_rfdn.metadata import metadata_photoshop as photoshop
from keras_rfdn.metadata import metadata_png as png
from keras_rfdn.metadata import metadata_tiff as tiff
from keras_rfdn.metadata import metadata_xmp as xmp
from keras_rfdn.metadata.metadata_tiff import Directory

DAMAGE = (ValueError, OSError, SyntaxError, IndexError, KeyError, EOFError, TypeError, struct.error, zlib.error)
NOTHING = {"exif": None, "xmp": b"", "xmp_extension": b"", "photoshop": b"", "iptc": b"", "icc": b"", "dpi": None}
NOTHING |= {"aspect": None, "cicp": (), "comment": b"", "text": {}, "chunks": (), "segments": (), "converted": False}
# Values of Pillow's info that say how the old file was coded, or that are read elsewhere here.
FORM = {"adobe", "adobe_transform", "aspect", "background", "bbox", "blend", "chromaticity", "comment", "compression"}
FORM |= {"default_image", "disposal", "dpi", "duration", "exif", "extension", "flashpix", "gamma", "icc_profile"}
FORM |= {"interlace", "jfif", "jfif_density", "jfif_unit", "jfif_version", "loop", "mp", "mpoffset", "orientation"}
FORM |= {"photoshop", "progression", "progressive", "resolution", "scale", "sizes", "srgb", "timestamp", "transparency"}
FORM |= {"version", "xmp", "wmf_bbox", "BoundingBox", "filename", "bpp"}
# Pillow's exif_transpose does not see the EXIF of these, so nothing is turned.
NEVER_TURNED = ("JPEG2000", "PSD", "GIF", "BMP", "TGA")


def read(image: Image.Image) -> dict:
    """Fields of Metadata that an image's file holds, its lost ones in a list. Damage never raises."""
    lost = []
    try:
        with _file(image) as file:
            found = _read_file(image, file, lost)
    except DAMAGE as error:
        found = _read_info(image)
        lost.append(f"metadata that could not be read ({error})")
    found = NOTHING | {name: value for name, value in found.items() if value}
    lost += found.pop("lost", [])
    iptc = found.pop("iptc")
    found["photoshop"] = found["photoshop"] or photoshop.from_iptc(iptc)
    if photoshop.is_damaged(found["photoshop"]):
        lost.append("damaged Photoshop image resources")
    if isinstance(found["exif"], bytes):
        found["exif"] = _parse_exif(image, found["exif"], lost)
    directory = found["exif"]
    if directory is not None and found["dpi"] is None:
        found["dpi"] = exif.resolution(directory)
        found["aspect"] = found["aspect"] or exif.aspect(directory)
    if found["dpi"] is not None and not all(0 < value < 1e6 for value in found["dpi"]):
        found["dpi"] = None
    elif found["dpi"] is not None and image.format in ("PNG", "BMP", "DIB"):
        # These count pixels per metre: 300 dpi are 11811 of them, which are 299.9994 dpi.
        found["dpi"] = tuple(round(dpi) if abs(dpi - round(dpi)) < 0.0127 else dpi for dpi in found["dpi"])
    if (found["icc"] and image.format != "PNG") or png.is_plain_cicp(found["cicp"]):
        found["cicp"] = ()
    if image.format in NEVER_TURNED:
        orientation = 1
    elif directory is not None and exif.ORIENTATION in directory.tags:
        orientation = exif.orientation_of(directory)
    else:
        orientation = xmp.orientation_of(found["xmp"])
    if hasattr(getattr(image, "fp", None), "original") and image.format != "PNG" and not lost:
        lost.append("damaged EXIF" if image.format == "AVIF" else "damaged metadata")
    return found | {"lost": lost, "orientation": orientation}


def _read_file(image, file, lost):
    fields = _read_info(image)
    if image.format != "PNG":
        lost += [f"{image.format or 'image'} {name!r}" for name in _unknown(image)]
    if file is None:
        return fields | ({"text": dict(image.text)} if image.format == "PNG" and not image.tile else {})
    if image.format == "PNG":
        return png.read(file)
    if image.format in ("JPEG", "MPO"):
        return jpeg.read(file, start=getattr(image, "offset", 0), alone=image.format == "JPEG")
    if image.format == "TIFF":
        # Pillow says 1 dpi where there are none.
        return fields | {"dpi": None} | _read_tiff(tiff.parse(file, image.tag_v2.offset), lost)
    if image.format == "PSD":
        return fields | {name: value for name, value in containers.psd(image.resources).items() if value}
    reader = containers.READERS.get(image.format)
    return fields | (reader(file) if reader else {})


def _read_info(image):
    """Fields of Metadata that Pillow shows for an image of any format."""
    info = image.info
    fields = {name: info.get(key) or b"" for name, key in (("xmp", "xmp"), ("icc", "icc_profile"), ("exif", "exif"))}
    fields = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
    dpi = info.get("dpi")
    if isinstance(dpi, (int, float)):
        dpi = (dpi, dpi)
    fields["dpi"] = tuple(float(value) for value in dpi) if isinstance(dpi, tuple) and len(dpi) == 2 else None
    comment = info.get("comment", b"")
    comment = comment.encode() if isinstance(comment, str) else comment
    # OpenJPEG signs its files; that is no comment of the user's.
    if isinstance(comment, bytes) and not comment.startswith((b"Created by OpenJPEG", b"Kakadu")):
        fields["comment"] = comment.rstrip(b"\0")
    return fields


def _read_tiff(directory, lost):
    """Fields of Metadata that a TIFF file's directory holds."""
    tags = {tag: value for tag, value in directory.tags.items() if tag not in exif.STORAGE | exif.JPEG_ONLY}
    fields = {}
    for field, tag in (("xmp", exif.XMP), ("iptc", exif.IPTC), ("photoshop", exif.PHOTOSHOP), ("icc", exif.ICC)):
        kind, fields[field] = tags.pop(tag, (1, b""))
        if field == "iptc" and kind == 4 and directory.order == ">":  # written as LONG: swapped by who reads it as that
            fields[field] = fields[field].rstrip(b"\0")
    if tags.pop(exif.PHOTOSHOP_LAYERS, None):
        lost.append("Photoshop's layers")
    words = tags.get(exif.DESCRIPTION, (0, b""))[1].lstrip()
    # These count the old image's pixels.
    for start, name in ((b"<OME", "OME-XML"), (b"ImageJ=", "ImageJ's description"), (b'{"shape"', None)):
        if words.startswith(start) or (start == b"<OME" and words.startswith(b"<?xml") and b"<OME" in words):
            del tags[exif.DESCRIPTION]
            lost += [name] if name else []
    if [tags.pop(tag) for tag in (50838, 50839) if tag in tags]:
        lost.append("ImageJ's metadata")
    if directory.damaged:
        lost.append("damaged TIFF tags")
    # Each tag may have moved, so a maker note keeps no place.
    return fields | {"exif": dataclasses.replace(directory, tags=tags, damaged=0, maker_note=0) if tags else None}


def _parse_exif(image, block, lost):
    """EXIF directory of a block, or None; damage goes into lost."""
    try:
        directory = tiff.parse(block)
    except (ValueError, struct.error) as error:
        lost.append(f"damaged EXIF ({error})")
        directory = None
    if directory is None or directory.big:  # Pillow's exif_transpose would raise
        if image.format == "PNG":  # whose EXIF may stand behind the pixels
            with contextlib.suppress(*DAMAGE):
                image.load()
        for key in ("exif", "Raw profile type exif"):
            image.info.pop(key, None)
    elif image.format == "PNG":
        image.info.setdefault("exif", b"Exif\0\0" + block.removeprefix(b"Exif\0\0"))
    if directory is None:
        return None
    if directory.damaged:
        lost.append("damaged EXIF tags")
    elsewhere = {exif.XMP, exif.IPTC, exif.PHOTOSHOP, exif.ICC}
    storage = exif.STORAGE - {256, 257}
    tags = {tag: value for tag, value in directory.tags.items() if tag not in storage | elsewhere}
    return Directory(directory.order, tags, maker_note=directory.maker_note, big=directory.big)


def _unknown(image):
    """Names of what Pillow shows of an image and nobody here knows."""
    return sorted(
        str(key)
        for key, value in image.info.items()
        if key not in FORM
        and not str(key).startswith(("Raw profile", "XML:com"))
        and value not in (None, "", b"", False)
    )


@contextlib.contextmanager
def _file(image):
    """The image's file, open and left at its place, or None where it is no longer there."""
    file = getattr(image, "fp", None)
    # After load it is closed, or holds decoded pixels. Pillow's WebP images have no tiles before it.
    if hasattr(file, "original"):  # of metadata_opening
        yield io.BytesIO(file.original)
    elif file is not None and (getattr(image, "tile", None) or (image.format == "WEBP" and _starts(file, b"RIFF"))):
        place = file.tell()
        try:
            yield file
        finally:
            file.seek(place)
    elif os.path.isfile(getattr(image, "filename", "")):
        with open(image.filename, "rb") as opened:
            yield opened
    else:
        yield None


def _starts(file, signature):
    place = file.tell()
    file.seek(0)
    found = file.read(len(signature)) == signature
    file.seek(place)
    return found
