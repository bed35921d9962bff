"""Photoshop image resources ("8BIM"), which hold IPTC in JPEG, TIFF and PSD files."""

import struct

IPTC, RESOLUTION = 0x0404, 0x03ED
# Thumbnails, and copies of EXIF, XMP and the ICC profile, which stand elsewhere in the result.
COPIES = {0x0409, 0x040C, 0x0422, 0x0423, 0x0424, 0x040F}
# Layer state and groups, grid and guides, slices, alpha channels: places in the old picture.
PLACES = {0x0400, 0x0402, 0x0408, 0x041A, 0x0426, 0x042D, 0x0430, 0x0435, 0x03EE, 0x0415, 0x041D}
PATHS = range(0x07D0, 0x0BB8)  # in parts of the picture's size


def parse(block: bytes) -> list[tuple[bytes, int, bytes, bytes]]:
    """Resources as (signature, number, name, data); stops at damage."""
    found, at = [], 0
    while (signature := block[at : at + 4]) in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR") and len(block) >= at + 12:
        number, length = struct.unpack_from(">HB", block, at + 4)
        name = block[at + 7 : at + 7 + length]
        at += 7 + length + (length + 1) % 2
        if len(block) < at + 4:
            break
        size = struct.unpack_from(">L", block, at)[0]
        data = block[at + 4 : at + 4 + size]
        if len(data) < size:
            break
        found.append((signature, number, name, data))
        at += 4 + size + size % 2
    return found


def is_damaged(block: bytes) -> bool:
    """Whether resources end before the block does."""
    return len(to_bytes(parse(block))) < len(block.rstrip(b"\0"))


def to_bytes(resources: list[tuple[bytes, int, bytes, bytes]]) -> bytes:
    """Image resources in their file form, each padded to an even length."""
    result = b""
    for signature, number, name, data in resources:
        named = bytes([len(name)]) + name
        result += signature + struct.pack(">H", number) + named + b"\0" * (len(named) % 2)
        result += struct.pack(">L", len(data)) + data + b"\0" * (len(data) % 2)
    return result


def from_iptc(iptc: bytes) -> bytes:
    """Image resources that hold an IPTC record alone."""
    return to_bytes([(b"8BIM", IPTC, b"", iptc)]) if iptc else b""


def iptc_of(block: bytes) -> bytes:
    """IPTC record in image resources, empty for none."""
    return next((data for _, number, _, data in parse(block) if number == IPTC), b"")


def fit(block: bytes, *, orientation: int) -> tuple[bytes, list[str]]:
    """Resources that stay true for an upright, enlarged picture; and the names of those that don't."""
    kept, lost = [], []
    for resource in parse(block):
        number = resource[1]
        if number in PLACES or (number in PATHS and orientation != 1):
            lost.append("Photoshop's paths" if number in PATHS else "Photoshop's guides, slices and layer data")
        elif number == RESOLUTION and orientation >= 5 and len(resource[3]) == 16:
            kept.append((*resource[:3], resource[3][8:] + resource[3][:8]))
        elif number not in COPIES:
            kept.append(resource)
    return to_bytes(kept), sorted(set(lost))
