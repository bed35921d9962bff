"""Writers of metadata by file format: options of Image.save, and what is added to a file after it.

All take Metadata that was made true for the result.
"""

import dataclasses
import struct

from keras_rfdn.metadata import metadata_color as color
from keras_rfdn.metadata import metadata_containers as containers
from keras_rfdn.metadata import metadata_exif as exif
from keras_rfdn.metadata import metadata_jpeg as jpeg
from keras_rfdn.metadata import metadata_photoshop as photoshop
from keras_rfdn.metadata import metadata_png as png
from keras_rfdn.metadata import metadata_tiff as tiff
from keras_rfdn.metadata import metadata_xmp as xmp
from keras_rfdn.metadata.metadata_tiff import Directory

WITH_PROFILE = {"PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF"}  # formats in which Pillow writes an ICC profile
WITH_DPI = {"BMP", "DIB", "PDF"}  # and those in which it writes dpi, but no EXIF that could hold them
WITH_COMMENT = {"JPEG", "MPO", "JPEG2000", "GIF"}
# EXIF tags that PNG's usual texts and comments become where a format has no texts. Image generators put their
# parameters into UserComment themselves.
TEXT_TAGS = {"Description": exif.DESCRIPTION, "Author": exif.ARTIST, "Artist": exif.ARTIST, "Copyright": exif.COPYRIGHT}
TEXT_TAGS |= {"Software": exif.SOFTWARE, "Comment": exif.USER_COMMENT, "parameters": exif.USER_COMMENT}


def options(fitted, format: str) -> tuple[dict, list[str]]:
    """Options of Image.save that keep metadata in a file of Pillow's `format`, and the names of what it can't hold."""
    if format in WITH_COMMENT and not fitted.comment and "Comment" in fitted.text:
        text = {key: value for key, value in fitted.text.items() if key != "Comment"}
        fitted = dataclasses.replace(fitted, comment=fitted.text["Comment"].encode(), text=text)
    found, lost = OPTIONS.get(format, _other_options)(fitted, format)
    if format not in WITH_PROFILE and fitted.icc and not color.is_srgb(fitted.icc):
        lost.append("ICC profile")
    if format in WITH_PROFILE and fitted.icc:
        found["icc_profile"] = fitted.icc
    if format != "PNG":
        skipped = (*png.COLOR, *png.TEXT)
        lost += [f"PNG chunk {name.decode('latin-1')}" for name, _ in fitted.chunks if name not in skipped]
        lost += _color_words(fitted)
    if format not in ("JPEG", "MPO"):
        lost += [jpeg.name(*row) for row in fitted.segments]
    return found, lost


def _jpeg_options(fitted, format):
    directory, lost = _whole_exif(fitted, format)
    found = {}
    if directory.tags:
        block, more = exif.to_block(directory, limit=65533 - 6)
        found["exif"] = b"Exif\0\0" + block
        lost += more
    segments = [(0xE1, data) for data in xmp.to_segments(fitted.xmp, fitted.xmp_extension)]
    segments += jpeg.photoshop_segments(fitted.photoshop) + list(fitted.segments)
    if segments:
        found["extra"] = jpeg.to_extra(segments)
    if fitted.dpi and min(fitted.dpi) >= 0.5 and max(fitted.dpi) < 65535.5:
        found["dpi"] = fitted.dpi
    if fitted.comment:
        found["comment"] = fitted.comment[:65533]
        lost += ["the end of a long comment"] * (len(fitted.comment) > 65533)
    return found, lost


def _png_options(fitted, format):
    directory, lost = _whole_exif(fitted, format)
    found, more = {}, []
    if directory.tags:
        found["exif"] = exif.to_block(directory)[0]
    if fitted.xmp:
        more.append(png.xmp(xmp.merge(fitted.xmp, fitted.xmp_extension)))
    if fitted.photoshop:
        more.append(png.raw_profile("iptc", fitted.photoshop))
    if fitted.dpi:
        found["dpi"] = fitted.dpi
    elif fitted.aspect:
        more.append((b"pHYs", struct.pack(">LLB", *fitted.aspect, 0)))
    names = {name for name, _ in fitted.chunks}
    if not names & set(png.TEXT):
        more += [png.text(key, value) for key, value in fitted.text.items()]
    if fitted.comment:
        more.append(png.text("Comment", fitted.comment.decode("utf-8", "replace")))
    if not png.is_plain_cicp(fitted.cicp) and b"cICP" not in names and not fitted.converted:
        more.append((b"cICP", bytes(fitted.cicp)))
    if fitted.chunks or more:
        found["pnginfo"] = png.info([*fitted.chunks, *more])
    return found, lost


def _container_options(fitted, format):
    """Options for WebP and AVIF, which hold EXIF, XMP and an ICC profile."""
    directory, lost = _whole_exif(fitted, format)
    found = {}
    if format == "AVIF":  # for this tag's sake Pillow would write all of EXIF anew, and turn letters into "?"
        directory.tags.pop(exif.ORIENTATION, None)
    if directory.tags:
        found["exif"] = exif.to_block(directory)[0]
    if fitted.xmp:
        found["xmp"] = xmp.merge(fitted.xmp, fitted.xmp_extension)
    return found, lost + _photoshop_words(fitted, iptc=False)


def _tiff_options(fitted, format):
    _, lost = _whole_exif(fitted, format)
    return ({"dpi": fitted.dpi} if fitted.dpi else {}), lost


def _jpeg2000_options(fitted, format):
    _, lost = _whole_exif(fitted, format)
    found = {"comment": fitted.comment[:65000]} if fitted.comment else {}
    return found, lost + _photoshop_words(fitted, iptc=True)


def _other_options(fitted, format):
    """Options for formats that hold a comment, dpi or nothing."""
    found = {}
    if format in WITH_DPI and fitted.dpi:
        found["dpi"] = fitted.dpi
    if format == "GIF" and fitted.comment:
        found["comment"] = fitted.comment
    lost = ["EXIF"] * bool(fitted.exif and fitted.exif.tags) + ["XMP"] * bool(fitted.xmp)
    lost += ["dpi"] * bool(fitted.dpi and format not in WITH_DPI) + ["pixel aspect ratio"] * bool(fitted.aspect)
    lost += ["comment"] * bool(fitted.comment and format != "GIF") + [_text_word(key) for key in fitted.text]
    return found, lost + _photoshop_words(fitted, iptc=False)


OPTIONS = {
    "JPEG": _jpeg_options,
    "MPO": _jpeg_options,
    "PNG": _png_options,
    "WEBP": _container_options,
    "AVIF": _container_options,
    "TIFF": _tiff_options,
    "JPEG2000": _jpeg2000_options,
}


def _finish_tiff(file, fitted, page):
    directory, _ = _whole_exif(fitted, "TIFF")
    tags = {tag: value for tag, value in directory.tags.items() if tag not in exif.JPEG_ONLY | {256, 257}}
    for tag, kind, data in (
        (exif.XMP, 1, xmp.merge(fitted.xmp, fitted.xmp_extension)),
        (exif.IPTC, 7, photoshop.iptc_of(fitted.photoshop)),
        (exif.PHOTOSHOP, 1, fitted.photoshop),
        (exif.ICC, 7, fitted.icc),
    ):
        if data:
            tags[tag] = (kind, data)
    if tags:
        tiff.add_tags(file, tags, directory.order, page=page)


def _finish_jpeg2000(file, fitted, page):
    directory, _ = _whole_exif(fitted, "JPEG2000")
    block = exif.to_block(directory)[0] if directory.tags else b""
    packet = xmp.merge(fitted.xmp, fitted.xmp_extension)
    containers.add_jpeg2000_boxes(file, exif=block, xmp=packet, iptc=photoshop.iptc_of(fitted.photoshop))


def _finish_jpeg(file, fitted, page):
    if fitted.aspect and not fitted.dpi and max(fitted.aspect) < 65536:
        jpeg.set_density(file, *fitted.aspect)


FINISHERS = {"TIFF": _finish_tiff, "JPEG2000": _finish_jpeg2000, "JPEG": _finish_jpeg, "MPO": _finish_jpeg}


def _whole_exif(fitted, format):
    """EXIF with what a format has no other place for (dpi, comment, texts), and the names of what finds none."""
    directory = fitted.exif or Directory(">", {})
    directory = dataclasses.replace(directory, tags=tiff.copy(directory.tags))
    lost = []
    own_density = format in ("JPEG", "MPO", "PNG")
    if not own_density and fitted.dpi and exif.resolution(directory) != fitted.dpi:
        exif.set_resolution(directory, *fitted.dpi, unit=2)
    elif not own_density and fitted.aspect:
        exif.set_resolution(directory, *fitted.aspect, unit=1)
    texts = dict(fitted.text) if format != "PNG" else {}
    if fitted.comment and not own_density and format != "JPEG2000":
        texts.setdefault("Comment", fitted.comment.decode("utf-8", "replace"))
    for key, value in texts.items():
        if key not in TEXT_TAGS or not exif.set_text(directory, TEXT_TAGS[key], value):
            lost.append(_text_word(key))
    if format != "TIFF" and [directory.tags.pop(tag) for tag in exif.GEOREFERENCE if tag in directory.tags]:
        lost.append("georeference")
    return directory, lost


def _text_word(key):
    return "comment" if key == "Comment" else f"text {key!r}"


def _color_words(fitted):
    """Name of what says how the colours of RGB without a profile look, where a format has no place for it."""
    chunks = [row for row in fitted.chunks if row[0] in png.COLOR]
    if fitted.converted or fitted.icc or png.is_plain_color(chunks, fitted.cicp):
        return []
    names = [row[0].decode() for row in chunks] or [f"CICP {'/'.join(map(str, fitted.cicp))}"]
    return [f"colour description ({', '.join(names)})"]


def _photoshop_words(fitted, *, iptc):
    """Names of Photoshop image resources that are dropped. iptc: that one is kept."""
    numbers = {row[1] for row in photoshop.parse(fitted.photoshop)}
    lost = ["IPTC"] * (photoshop.IPTC in numbers and not iptc)
    # The resolution stands elsewhere too, and the digest is of IPTC.
    return lost + ["Photoshop's image resources"] * bool(numbers - {photoshop.IPTC, photoshop.RESOLUTION, 0x0425})
