"""JPEG segments beside the pixels: read from the file, and written for Pillow's option `extra`."""

import re
import struct
from typing import BinaryIO

EXIF, XMP, EXTENSION = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
ICC, PHOTOSHOP, GAIN_MAP = b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"urn:iso:std:iso:ts:21496"
COMMENT = 0xFE
# Segments of the old file's own form: the encoder writes its own, thumbnails and quality tables are no longer true.
FORM = {0xE0: (b"JFIF", b"JFXX"), 0xEC: (b"Ducky",), 0xEE: (b"Adobe",), 0xE8: (b"SPIFF",)}


def segments(file: BinaryIO, start: int = 0) -> list[tuple[int, bytes]]:
    """(Marker, data) of the APPn and comment segments before the pixels; the file stays behind the start of scan."""
    file.seek(start + 2)
    found = []
    while len(head := file.read(2)) == 2:
        if head[0] != 0xFF:
            break
        while head[1] == 0xFF:  # padding
            head = head[1:] + file.read(1)
        marker = head[1]
        if marker in (0x01, *range(0xD0, 0xD9)):
            continue
        size = file.read(2)
        if len(size) < 2 or marker == 0xD9:
            break
        data = file.read(struct.unpack(">H", size)[0] - 2)
        if 0xE0 <= marker <= 0xEF or marker == COMMENT:
            found.append((marker, data))
        if marker == 0xDA:
            break
    return found


def read(file: BinaryIO, *, start: int = 0, alone: bool = True) -> dict:
    """Fields of Metadata that a JPEG file holds.

    start: where in the file the image starts. alone: whether it is read as a single image, not as one of an MPO file.
    """
    fields = {"exif": b"", "xmp": b"", "xmp_extension": b"", "photoshop": b"", "comment": b""}
    fields |= {"segments": [], "lost": []}
    profile, extension = {}, {}
    for marker, data in segments(file, start):
        if marker == COMMENT:
            fields["comment"] += b"\n" * bool(fields["comment"]) + data
        elif marker == 0xE0 and data.startswith(b"JFIF\0") and len(data) >= 12:
            unit, x, y = struct.unpack_from(">BHH", data, 7)
            if x and y:
                factor = {1: 1.0, 2: 2.54}.get(unit)
                if factor:
                    fields["dpi"] = (x * factor, y * factor)
                elif x != y:
                    fields["aspect"] = (x, y)
        elif marker == 0xE1 and data.startswith(EXIF):
            fields["exif"] += data[6:]  # more than 64 KB go on in the next segment
        elif marker == 0xE1 and data.startswith(XMP):
            fields["xmp"] = fields["xmp"] or data[len(XMP) :]
        elif marker == 0xE1 and data.startswith(EXTENSION):
            rest = data[len(EXTENSION) :]
            extension.setdefault(rest[:32], {})[int.from_bytes(rest[36:40], "big")] = rest[40:]
        elif marker == 0xE2 and data.startswith(ICC) and len(data) > 14:
            profile[data[12]] = data[14:]
        elif marker == 0xED and data.startswith(PHOTOSHOP):
            fields["photoshop"] += data[14:]
        elif marker == 0xE2 and data.startswith(b"MPF\0"):
            pass  # the images that it counts are spoken of where they are found
        elif marker == 0xE2 and data.startswith(GAIN_MAP):
            fields["lost"].append("the HDR gain map's tags")
        elif marker == 0xE2 and data.startswith(b"FPXR\0"):
            fields["lost"].append("FlashPix data")
        elif marker == 0xEB and (data[:2] == b"JP" or b"jumb" in data[:64]):
            fields["lost"].append("C2PA provenance (it signs the original)")
        elif marker == 0xE2 and data.startswith(ICC):
            fields["lost"].append("damaged ICC profile")
        elif not data.startswith(FORM.get(marker, (b"\0\0no",))):
            fields["segments"].append((marker, data))
    fields["icc"] = b"".join(profile[n] for n in sorted(profile))
    wanted = [parts for guid, parts in extension.items() if guid in fields["xmp"]]
    if wanted:
        fields["xmp_extension"] = b"".join(wanted[0][start] for start in sorted(wanted[0]))
    if alone:
        fields["lost"] += trailing(file)
    return fields


def trailing(file: BinaryIO) -> list[str]:
    """Names of what stands behind a JPEG's end: a motion photo's video, gain maps, previews.

    file: stands behind the start of scan.
    """
    rest = file.read()
    at = 0
    for match in re.finditer(rb"\xff+([^\x00\xff\xd0-\xd7])", rest):  # markers but the stuffed bytes and restarts
        if match.start() < at:
            continue
        at = match.end()
        if match[1] == b"\xd9":
            break
        if len(rest) >= at + 2:
            at += struct.unpack_from(">H", rest, at)[0]
    else:
        return []
    behind = rest[at:]
    if not behind.strip(b"\0\r\n "):
        return []
    if b"ftyp" in behind[:64] or b"MotionPhoto_Data" in behind:
        return ["the motion photo's video"]
    if b"\xff\xd8\xff" in behind[:4096]:
        return ["a further image behind the first (gain map, depth or preview)"]
    return [f"{len(behind):,} bytes behind the image's end"]


def name(marker: int, data: bytes) -> str:
    """Name of a segment in words for the user: its APP number and the identifier that it starts with."""
    label = re.match(rb"[\x20-\x7e]{2,20}", data)
    return f"JPEG segment APP{marker - 0xE0}" + (f" {label[0].decode().strip()}" if label else "")


def to_extra(parts: list[tuple[int, bytes]]) -> bytes:
    """Segments as bytes for Pillow's option `extra`."""
    return b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in parts)


def photoshop_segments(resources: bytes) -> list[tuple[int, bytes]]:
    """APP13 segments of Photoshop image resources, 64 KB each."""
    size = 65533 - len(PHOTOSHOP)
    return [(0xED, PHOTOSHOP + resources[at : at + size]) for at in range(0, len(resources), size)]


def set_density(file: BinaryIO, x: int, y: int) -> None:
    """Write a pixel aspect ratio (density without unit) into the JFIF header, for which Pillow has no option."""
    file.seek(0)
    head = file.read(20)
    if head[2:4] == b"\xff\xe0" and head[6:10] == b"JFIF":
        file.seek(13)
        file.write(struct.pack(">BHH", 0, x, y))
