"""TIFF directories (IFDs), the form of EXIF and of TIFF files: read and written without change of any value.

Pillow's Exif and piexif decode each value and encode it again, which turns an "ë" of UTF-8 into "??", changes types
and moves the maker note, whose offsets then point elsewhere. Here a value stays the bytes that it is.
"""

import dataclasses
import io
import struct
from typing import BinaryIO

import numpy as np

# Bytes per value of each TIFF type: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL,
# FLOAT, DOUBLE, IFD; LONG8, SLONG8 and IFD8 of BigTIFF; UTF-8 of EXIF 3.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
FORMATS = {
    3: "u2",
    4: "u4",
    5: "u4",
    8: "i2",
    9: "i4",
    10: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
FORMATS |= {1: "u1", 6: "i1"}
EXIF, GPS, INTEROP, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
DIRECTORIES = {EXIF, GPS, INTEROP}  # tags whose value is a directory
LARGEST = 1 << 28  # bytes of one value; more is damage


@dataclasses.dataclass(frozen=True)
class Directory:
    """TIFF directory (IFD): tag -> (type, bytes), or (type, dict of the same kind) where a tag holds a directory."""

    order: str  # "<" or ">", the byte order of all values
    tags: dict
    next: int = 0  # offset of the next directory: a thumbnail, or the next page
    maker_note: int = 0  # offset of the maker note, which holds offsets of its own, often from the block's start
    damaged: int = 0  # entries that point outside of the block
    big: bool = False  # BigTIFF

    def values(self, tag: int, of: int | None = None):
        """Numbers of a tag as a numpy array (numerator, denominator in turn for a RATIONAL), or None."""
        tags = self.tags if of is None else self.tags.get(of, (0, {}))[1]
        kind, data = tags.get(tag, (0, b""))
        return np.frombuffer(data, self.order + FORMATS[kind]) if kind in FORMATS and isinstance(data, bytes) else None

    def set(self, tag: int, kind: int, values, of: int | None = None) -> None:
        """Set a tag to numbers of a TIFF type (RATIONAL: numerator, denominator in turn)."""
        tags = self.tags if of is None else self.tags[of][1]
        tags[tag] = (kind, np.asarray(values).astype(self.order + FORMATS[kind]).tobytes())


def parse(block: bytes | BinaryIO, offset: int | None = None) -> Directory:
    """Directory of an EXIF block ("Exif\\0\\0" before it or not) or a TIFF file, the first or that at an offset.

    Its EXIF, GPS and Interop directories stand in it.

    Raises ValueError when there is none.
    """
    if isinstance(block, bytes):
        while block.startswith(b"Exif\0\0"):
            block = block[6:]
        block = io.BytesIO(block)
    block.seek(0)
    head = block.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8 or head[2:4] not in (struct.pack(order + "H", 42), struct.pack(order + "H", 43)):
        raise ValueError("no TIFF directory")
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    first = struct.unpack(order + ("Q" if big else "L"), head[8:16] if big else head[4:8])[0]
    found = {"maker_note": 0, "damaged": 0}
    tags, following = _parse(block, offset or first, order, big, found, depth=0)
    if tags is None:
        raise ValueError("damaged TIFF directory")
    return Directory(order, tags, following, found["maker_note"], found["damaged"], big)


def _parse(block, offset, order, big, found, depth):
    """Tags of the directory at an offset and the offset of the next one, or (None, 0). Counts damage in found."""
    block.seek(offset)
    counted = block.read(8 if big else 2)
    if offset < 8 or len(counted) < (8 if big else 2):
        return None, 0
    count = struct.unpack(order + ("Q" if big else "H"), counted)[0]
    size, inline = (20, 8) if big else (12, 4)
    entries = block.read(count * size) if count < 65536 else b""
    pointer = block.read(inline)
    following = struct.unpack(order + ("Q" if big else "L"), pointer)[0] if len(pointer) == inline else 0
    tags = {}
    if len(entries) < count * size:
        found["damaged"] += 1
    for start in range(0, len(entries) - size + 1, size):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHL"), entries, start)
        where = entries[start + size - inline : start + size]
        length = number * SIZES.get(kind, 0)
        if kind not in SIZES or length > LARGEST:
            found["damaged"] += 1
            continue
        data, place = where[:length], struct.unpack(order + ("Q" if big else "L"), where)[0]
        if length > inline:
            block.seek(place)
            data = block.read(length)
        if len(data) < length:
            found["damaged"] += 1
        elif tag in DIRECTORIES:
            below = None
            if depth < 3 and kind in (4, 13, 16, 18) and number == 1:
                target = int.from_bytes(data, "little" if order == "<" else "big")
                below, _ = _parse(block, target, order, big, found, depth + 1)
            if below is None:
                found["damaged"] += 1
            else:
                tags[tag] = (4, below)
        else:
            tags[tag] = (kind, data)
            if tag == MAKER_NOTE:
                found["maker_note"] = place
    return tags, following


def copy(tags: dict) -> dict:
    """Tags that can be changed without changing the others."""
    return {tag: (kind, copy(data) if isinstance(data, dict) else data) for tag, (kind, data) in tags.items()}


def to_order(tags: dict, source: str, target: str) -> dict:
    """Tags with their values in another byte order ("<" or ">")."""
    result = {}
    for tag, (kind, data) in tags.items():
        if isinstance(data, dict):
            data = to_order(data, source, target)
        elif kind in FORMATS and source != target:
            data = np.frombuffer(data, source + FORMATS[kind]).byteswap().tobytes()
        result[tag] = (kind, data)
    return result


def without_big_types(directory: Directory) -> Directory:
    """BigTIFF's 64-bit types as 32-bit ones, which EXIF and small TIFF files hold."""
    small = {16: 4, 17: 9, 18: 13}

    def shrink(tags):
        result = {}
        for tag, (kind, data) in tags.items():
            if isinstance(data, dict):
                data = shrink(data)
            elif kind in small:
                values = np.frombuffer(data, directory.order + FORMATS[kind])
                kind, data = small[kind], values.astype(directory.order + FORMATS[small[kind]]).tobytes()
            result[tag] = (kind, data)
        return result

    return dataclasses.replace(directory, tags=shrink(directory.tags), big=False)


def to_bytes(directory: Directory) -> bytes:
    """EXIF block (a small TIFF file, without "Exif\\0\\0"). The maker note keeps its offset, other values move."""
    order = directory.order
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HL", 42, 8)
    return head + lay_out(directory.tags, 8, order, hole=directory.maker_note)


def lay_out(tags: dict, start: int, order: str, *, following: int = 0, big: bool = False, hole: int = 0) -> bytes:
    """Bytes of a directory that stands at offset start, its values and directories after it.

    following: offset of the next directory. hole: offset that the maker note keeps, 0 for none.
    """
    note = next((sub[MAKER_NOTE][1] for _, sub in tags.values() if isinstance(sub, dict) and MAKER_NOTE in sub), b"")
    pointer, size = ("Q", 20) if big else ("L", 12)
    inline = struct.calcsize("<" + pointer)
    placed = {}  # offset -> bytes
    free = start

    def place(length, fixed=False):
        nonlocal free
        if fixed:
            return hole
        if hole and free < hole + len(note) and free + length > hole:
            free = hole + len(note) + (hole + len(note)) % 2
        offset, free = free, free + length + length % 2
        return offset

    def write(tags, following):
        rows = []
        head = struct.pack(order + ("Q" if big else "H"), len(tags))
        here = place(len(head) + size * len(tags) + inline)
        for tag in sorted(tags):
            kind, data = tags[tag]
            if isinstance(data, dict):
                kind, data = (16 if big else 4), struct.pack(order + pointer, write(data, 0))
            count = len(data) // SIZES[kind]
            if len(data) > inline:
                offset = place(len(data), fixed=tag == MAKER_NOTE and hole)
                placed[offset] = data
                data = struct.pack(order + pointer, offset)
            rows.append(struct.pack(order + ("HHQ" if big else "HHL"), tag, kind, count) + data.ljust(inline, b"\0"))
        placed[here] = head + b"".join(rows) + struct.pack(order + pointer, following)
        return here

    if len(note) <= inline or hole < start + len(note) % 2 + 2 + size * len(tags) + inline:
        hole = 0  # the note stands in its entry, or the first directory would lie on it
    write(tags, following)
    result = bytearray(max(offset + len(data) for offset, data in placed.items()) - start)
    for offset, data in placed.items():
        result[offset - start : offset - start + len(data)] = data
    return bytes(result)


def add_tags(file: BinaryIO, tags: dict, order: str, *, page: int = 0) -> None:
    """Add tags, values in a byte order, to a page's directory of a TIFF file that is open for reading and writing.

    The directory is written anew at the file's end; pixels and other pages stay where they are. Raises ValueError where
    there is no such page.
    """
    old = parse(file)
    pointer = 8 if old.big else 4  # where the directory's offset stands
    for _ in range(page):
        file.seek(pointer)
        file.seek(struct.unpack(old.order + ("Q" if old.big else "L"), file.read(8 if old.big else 4))[0])
        count = struct.unpack(old.order + ("Q" if old.big else "H"), file.read(8 if old.big else 2))[0]
        pointer = file.tell() + count * (20 if old.big else 12)
        if not old.next:
            raise ValueError(f"no page {page} in the TIFF file")
        old = parse(file, old.next)
    if not old.big:
        tags = without_big_types(Directory(order, tags)).tags
    end = file.seek(0, io.SEEK_END)
    start = end + -end % 8
    merged = {**old.tags, **to_order(tags, order, old.order)}
    new = lay_out(merged, start, old.order, following=old.next, big=old.big)
    if not old.big and start + len(new) > 0xFFFFFFFF:
        raise ValueError("no room for tags in a TIFF file of 4 GB")
    file.write(bytes(start - end) + new)
    file.seek(pointer)
    file.write(struct.pack(old.order + ("Q" if old.big else "L"), start))
