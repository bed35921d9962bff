"""EXIF of an upscaled picture: sizes, positions and orientation made true again, what describes storage taken out."""

import dataclasses
from fractions import Fraction

import numpy as np

from keras_rfdn.metadata import metadata_tiff
from keras_rfdn.metadata.metadata_tiff import EXIF, INTEROP, MAKER_NOTE, Directory

DESCRIPTION, ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x10E, 0x112, 0x11A, 0x11B, 0x128
SOFTWARE, ARTIST, COPYRIGHT, USER_COMMENT, COLOR_SPACE = 0x131, 0x13B, 0x8298, 0x9286, 0xA001
SUBJECT_AREA, SUBJECT_LOCATION, FOCAL_X, FOCAL_Y = 0x9214, 0xA214, 0xA20E, 0xA20F
XMP, IPTC, PHOTOSHOP, ICC, PHOTOSHOP_LAYERS = 700, 33723, 34377, 34675, 37724
PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RPC = 33550, 33922, 34264, 34735, 50844
GEOREFERENCE = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, 34736, 34737, RPC)

# Tags that say how pixels lie in the old file, its thumbnail or a TIFF file, and Windows' padding (0xEA1C).
STORAGE = {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291}
STORAGE |= {
    292,
    293,
    301,
    317,
    320,
    321,
    322,
    323,
    324,
    325,
    326,
    327,
    328,
    330,
    332,
    334,
    336,
    338,
    339,
    340,
    341,
    342,
}
STORAGE |= {
    343,
    344,
    345,
    346,
    347,
    351,
    400,
    401,
    402,
    403,
    404,
    433,
    434,
    435,
    512,
    513,
    514,
    515,
    517,
    518,
    519,
    520,
}
STORAGE |= {521, 559, 32995, 32996, 32997, 32998, 0xEA1C}
JPEG_ONLY = {529, 530, 531, 532}  # chroma positions and ranges of a JPEG; a TIFF's reader would apply them to RGB


def fit(
    directory: Directory, *, size: tuple[int, int], scale: int, orientation: int = 1
) -> tuple[Directory, list[str]]:
    """EXIF made true for a result of (width, height), upright, enlarged by scale; and what could not be.

    orientation: by which the image was turned upright.
    """
    tags, lost = metadata_tiff.copy(directory.tags), []
    result = dataclasses.replace(directory, tags=tags)
    if ORIENTATION in tags:
        result.set(ORIENTATION, 3, [1])
    exif = tags.get(EXIF, (0, {}))[1]
    interop = exif.get(INTEROP, (0, {}))[1]
    for holder, names in ((tags, (256, 257)), (exif, (0xA002, 0xA003)), (interop, (0x1001, 0x1002))):
        for tag, pixels in zip(names, size, strict=True):
            if tag in holder:
                holder[tag] = (4, np.asarray(pixels).astype(directory.order + "u4").tobytes())
    if orientation >= 5:
        _swap(tags, X_RESOLUTION, Y_RESOLUTION)
        _swap(exif, FOCAL_X, FOCAL_Y)
    for tag in (FOCAL_X, FOCAL_Y):
        if (value := result.values(tag, EXIF)) is not None and value.size == 2 and value[1]:
            more = (Fraction(int(value[0]), int(value[1])) * scale).limit_denominator(1 << 16)
            if more.numerator < 1 << 32:
                result.set(tag, 5, [more.numerator, more.denominator], EXIF)
    width, height = size[:: -1 if orientation >= 5 else 1]
    for tag in (SUBJECT_AREA, SUBJECT_LOCATION):
        if (value := result.values(tag, EXIF)) is None:
            continue
        x, y, *extent = (int(v) * scale for v in value[:4]) if value.size >= 2 else (0, 0)
        x, y = turn(orientation, x, y, width, height)
        if orientation >= 5:
            extent.reverse()
        if max(x, y, *extent, 0) < 65536 and value.size in (2, 3, 4):
            result.set(tag, 3, [x, y, *extent], EXIF)
        else:
            del exif[tag]
            lost.append("the subject's place in EXIF")
    if orientation != 1:
        for tag in GEOREFERENCE:
            if tags.pop(tag, None):
                lost.append("georeference")
    return fit_georeference(result, scale), list(dict.fromkeys(lost))


def turn(orientation: int, x: float, y: float, width: float, height: float) -> tuple[float, float]:
    """A point of a picture of width x height -> the same point once the picture is turned by its EXIF orientation."""
    flipped_x, flipped_y = width - x, height - y
    return {
        2: (flipped_x, y),
        3: (flipped_x, flipped_y),
        4: (x, flipped_y),
        5: (y, x),
        6: (flipped_y, x),
        7: (flipped_y, flipped_x),
        8: (y, flipped_x),
    }.get(orientation, (x, y))


def fit_georeference(directory: Directory, scale: int) -> Directory:
    """GeoTIFF tags for an image enlarged by scale: size of a pixel, tie points, transformation and RPC."""
    result = dataclasses.replace(directory, tags=metadata_tiff.copy(directory.tags))
    keys = directory.values(GEO_KEYS)
    rows = [] if keys is None else keys[: keys.size // 4 * 4].reshape(-1, 4).tolist()
    # Where coordinates name a pixel's middle (PixelIsPoint), the corner lies half a pixel before it.
    shift = 0.5 if [1025, 0, 1, 2] in rows else 0.0
    if (value := directory.values(PIXEL_SCALE)) is not None and value.size == 3:
        result.set(PIXEL_SCALE, 12, value / [scale, scale, 1])
    if (value := directory.values(TIE_POINTS)) is not None and value.size % 6 == 0:
        points = value.reshape(-1, 6).copy()
        points[:, :2] = (points[:, :2] + shift) * scale - shift
        result.set(TIE_POINTS, 12, points.ravel())
    if (value := directory.values(TRANSFORMATION)) is not None and value.size == 16:
        matrix = value.reshape(4, 4).copy()
        matrix[:, :2] /= scale
        matrix[:, 3] += matrix[:, :2].sum(axis=1) * (shift - shift * scale)
        result.set(TRANSFORMATION, 12, matrix.ravel())
    if (value := directory.values(RPC)) is not None and value.size == 92:
        coefficients = value.copy()
        coefficients[2:4] = (coefficients[2:4] + 0.5) * scale - 0.5
        coefficients[7:9] *= scale
        result.set(RPC, 12, coefficients)
    return result


def orientation_of(directory: Directory | None) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none."""
    value = None if directory is None else directory.values(ORIENTATION)
    return int(value[0]) if value is not None and value.size and 1 <= value[0] <= 8 else 1


def resolution(directory: Directory) -> tuple[float, float] | None:
    """Dots per inch by XResolution, YResolution and ResolutionUnit, or None."""
    values = [directory.values(tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    unit = directory.values(RESOLUTION_UNIT)
    unit = 2 if unit is None or not unit.size else int(unit[0])
    if unit not in (2, 3) or any(v is None or v.size != 2 or not v[1] or not v[0] for v in values):
        return None
    x, y = (float(v[0]) / float(v[1]) * (2.54 if unit == 3 else 1) for v in values)
    return x, y


def aspect(directory: Directory) -> tuple[int, int] | None:
    """Pixels per length across and down by XResolution and YResolution without unit, or None where they are equal."""
    values = [directory.values(tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    unit = directory.values(RESOLUTION_UNIT)
    if unit is None or unit[:1].tolist() != [1] or any(v is None or v.size != 2 or not v.all() for v in values):
        return None
    ratio = (Fraction(*values[0].tolist()) / Fraction(*values[1].tolist())).limit_denominator(1000)
    return (ratio.numerator, ratio.denominator) if 0 < ratio != 1 else None


def set_resolution(directory: Directory, x: float, y: float, *, unit: int) -> None:
    """Set XResolution, YResolution and ResolutionUnit (1: none, 2: inch, 3: centimetre)."""
    for tag, value in ((X_RESOLUTION, x), (Y_RESOLUTION, y)):
        value = Fraction(value).limit_denominator(10_000)
        directory.set(tag, 5, [value.numerator, value.denominator])
    directory.set(RESOLUTION_UNIT, 3, [unit])


def set_text(directory: Directory, tag: int, text: str) -> bool:
    """Set an ASCII tag (in UTF-8, as everybody does) or UserComment where none stands; False where one does."""
    holder = directory.tags
    if tag == USER_COMMENT:
        holder = holder.setdefault(EXIF, (4, {}))[1]
    if holder.get(tag, (0, b""))[1].strip(b"\0 "):
        return False
    if tag != USER_COMMENT:
        holder[tag] = (2, text.encode() + b"\0")
    elif text.isascii():
        holder[tag] = (7, b"ASCII\0\0\0" + text.encode())
    else:
        holder[tag] = (7, b"UNICODE\0" + text.encode("utf-16-le" if directory.order == "<" else "utf-16-be"))
    return True


def set_srgb(directory: Directory) -> Directory:
    """EXIF of pixels that were converted to sRGB: ColorSpace says so, and the Interop index not Adobe RGB."""
    tags = metadata_tiff.copy(directory.tags)
    exif = tags.get(EXIF, (0, {}))[1]
    if COLOR_SPACE in exif:
        exif[COLOR_SPACE] = (3, np.asarray([1]).astype(directory.order + "u2").tobytes())
        if exif.get(INTEROP, (0, {}))[1].get(1, (0, b""))[1].startswith(b"R03"):
            exif[INTEROP][1][1] = (2, b"R98\0")
    return dataclasses.replace(directory, tags=tags)


def to_block(directory: Directory, *, limit: int | None = None) -> tuple[bytes, list[str]]:
    """EXIF block, and the names of the values that had to go for it to have at most limit bytes, largest first."""
    directory = metadata_tiff.without_big_types(directory)
    directory = dataclasses.replace(directory, tags=metadata_tiff.copy(directory.tags))
    lost = []
    while len(block := metadata_tiff.to_bytes(directory)) > (limit or len(block)):
        if directory.maker_note:  # the room before the note may be all that is too much
            directory = dataclasses.replace(directory, maker_note=0)
            continue
        holders = [directory.tags, *(data for _, data in directory.tags.values() if isinstance(data, dict))]
        sizes = [
            (len(data), tag, tags) for tags in holders for tag, (_, data) in tags.items() if isinstance(data, bytes)
        ]
        length, tag, tags = max(sizes, key=lambda row: row[0])
        del tags[tag]
        lost.append(f"{'maker note' if tag == MAKER_NOTE else f'EXIF tag {tag}'} of {length // 1000} KB")
    return block, lost


def _swap(tags, a, b):
    if a in tags and b in tags:
        tags[a], tags[b] = tags[b], tags[a]
