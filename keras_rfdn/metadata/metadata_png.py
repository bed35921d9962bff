"""PNG chunks beside the pixels: read from the file, made true for the result, and handed to Pillow's writer."""

import binascii
import io
import re
import struct
import zlib
from typing import BinaryIO

from PIL import PngImagePlugin

PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"CgBI", b"iDOT"}
COLOR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
TEXT = (b"tEXt", b"zTXt", b"iTXt")
PLACES = {b"vpAg": "virtual page", b"caNv": "canvas", b"orNT": "orientation chunk"}  # ImageMagick's
LARGEST_TEXT = 64 << 20
# Bytes of the chunks that have but one length.
LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8, b"pHYs": 9, b"oFFs": 9, b"tIME": 7}
LENGTHS |= {b"sTER": 1}


class Chunk(bytes):
    """Name of a chunk that Pillow does not know: it writes only those whose second letter says "private"."""

    def __getitem__(self, key):
        return b"x" if key == slice(1, 2) else super().__getitem__(key)


def chunks(file: BinaryIO, damaged: list | None = None) -> list[tuple[bytes, bytes]]:
    """(Name, data) of all chunks but the pixels', in order; the file stays at the end of IEND.

    damaged: gets the names of those whose checksum is wrong, which are then left out.
    """
    file.seek(8)
    found = []
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">L4s", head)
        if name in (b"IDAT", b"fdAT"):
            file.seek(length + 4, 1)
            continue
        data = file.read(length + 4)
        if len(data) < length + 4 or not name.isalpha():
            break
        if damaged is not None and zlib.crc32(name + data[:length]) != int.from_bytes(data[length:], "big"):
            damaged.append(f"damaged PNG chunk {name.decode('latin-1')}")
            continue
        found.append((name, data[:length]))
        if name == b"IEND":
            break
    return found


def read(file: BinaryIO) -> dict:
    """Fields of Metadata that a PNG file holds."""
    fields = {"chunks": [], "text": {}, "lost": []}
    ended = False
    palette, depth = b"", 8
    for name, data in chunks(file, fields["lost"]):
        ended = name == b"IEND"
        if name not in PIXELS and not is_readable(name, data) and not _is_only_large(name, data):
            fields["lost"].append(f"damaged PNG chunk {name.decode('latin-1')}")
        elif name == b"IHDR":
            depth = data[8]
        elif name == b"PLTE":
            palette = data
        elif name == b"eXIf":
            fields["exif"] = data
        elif name == b"iCCP":
            fields["icc"] = _unpack(data.split(b"\0", 1)[-1][1:])
        elif name == b"pHYs":
            x, y, unit = struct.unpack(">LLB", data)
            fields["dpi" if unit == 1 else "aspect"] = (x * 0.0254, y * 0.0254) if unit == 1 else (x, y)
        elif name == b"cICP":
            fields["cicp"] = tuple(data)
            fields["chunks"].append((name, data))
        elif name == b"bKGD":
            fields["chunks"].append((name, _background(data, palette, depth)))
        elif name in TEXT:
            key, value, plain = _text(name, data)
            if key == "XML:com.adobe.xmp":
                fields["xmp"] = value
            elif (profile := re.match("raw profile type (exif|app1|xmp|iptc|8bim|icc|icm)$", key.lower())) is not None:
                fields |= _raw_profile(profile[1], value, fields["lost"])
            else:
                fields["text"][key] = plain
                fields["chunks"].append((name, data))
        elif name in (b"caBX", b"dSIG"):
            fields["lost"].append({b"caBX": "C2PA provenance (it signs the original)"}.get(name, "digital signature"))
        elif name in PLACES or (name == b"sBIT" and set(data) <= {depth, 8}):
            pass
        elif name not in PIXELS:
            fields["chunks"].append((name, data))
    if ended and file.read(1 << 20).strip(b"\0\n"):
        fields["lost"].append("data behind the image's end")
    return fields


def is_readable(name: bytes, data: bytes) -> bool:
    """Whether a chunk has the form of its kind, and Pillow's reader does not refuse it, and the picture with it."""
    if len(data) != LENGTHS.get(name, len(data)):
        return False
    stream = PngImagePlugin.PngStream(io.BytesIO(data))
    handle = getattr(stream, f"chunk_{name.decode('ascii')}", None)
    try:
        return handle is None or handle(0, len(data)) is not None
    except Exception:  # of as many kinds as there are chunks
        return False


def _is_only_large(name, data):
    """Whether a packed chunk is whole, but of over 1 MB, which Pillow refuses."""
    return name in (b"iCCP", b"zTXt", b"iTXt") and len(_packed(name, data)) > PngImagePlugin.MAX_TEXT_CHUNK


def _packed(name, data):
    rest = data.partition(b"\0")[2]
    return _unpack(rest[1:] if name != b"iTXt" else rest[2:].split(b"\0", 2)[-1])


def fit(found: list, *, mode: str, scale: int, orientation: int, converted: bool) -> tuple[list, list[str]]:
    """Chunks made true for a result of a mode, and the names of those that can't be.

    converted: pixels were converted to sRGB. A chunk that nobody here knows is kept where its name says that it may be
    copied though the pixels change (fourth letter small).
    """
    kept, lost = [], []
    for name, data in found:
        if name in COLOR:
            if converted:
                continue
        elif name == b"bKGD":
            data = _background_for(data, mode)
        elif name == b"oFFs" and len(data) == 9 and orientation == 1:
            x, y, unit = struct.unpack(">llB", data)
            x, y = (x, y) if unit else (x * scale, y * scale)
            data = struct.pack(">llB", x, y, unit)
        elif name == b"sCAL" and orientation < 5 and (numbers := data[1:].split(b"\0"))[1:]:
            try:
                data = data[:1] + b"\0".join(f"{float(n) / scale:.15g}".encode() for n in numbers[:2])
            except ValueError:
                lost.append("PNG chunk sCAL")
                continue
        elif name in (b"pCAL", b"tIME", b"sPLT", *TEXT):
            pass
        elif name in (b"oFFs", b"sCAL", b"hIST", b"sBIT", b"sTER", b"npTc") or not chr(name[3]).islower():
            lost.append(f"PNG chunk {name.decode('latin-1')}")
            continue
        kept.append((name, data))
    return kept, sorted(set(lost))


def info(found: list) -> PngImagePlugin.PngInfo:
    """Chunks as Pillow's option pnginfo."""
    result = PngImagePlugin.PngInfo()
    for name, data in found:
        result.add(Chunk(name), data)
    return result


def raw_profile(kind: str, data: bytes) -> tuple[bytes, bytes]:
    """zTXt chunk "Raw profile type ...", ImageMagick's way to put IPTC into PNG, which exiftool and exiv2 read."""
    digits = binascii.hexlify(data)
    lines = b"\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = b"\n%s\n%8d\n%s\n" % (kind.encode(), len(data), lines)
    return b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text)


def xmp(packet: bytes) -> tuple[bytes, bytes]:
    """iTXt chunk that holds XMP."""
    return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet


def is_plain_color(found: list, cicp: tuple = ()) -> bool:
    """Whether colour chunks say nothing that a reader without them would not assume (sRGB)."""
    values = dict(found)
    if b"sRGB" in values and not values.keys() & {b"cICP", b"mDCV", b"cLLI"}:
        return True
    gamma = values.get(b"gAMA", struct.pack(">L", 45455))
    white_red = values.get(b"cHRM", struct.pack(">LLLL", 31270, 32900, 64000, 33000))[:16]
    near = len(gamma) == 4 and abs(struct.unpack(">L", gamma)[0] - 45455) < 500
    same = len(white_red) == 16 and all(
        abs(a - b) < 200 for a, b in zip(struct.unpack(">LLLL", white_red), (31270, 32900, 64000, 33000), strict=True)
    )
    return near and same and not values.keys() & {b"mDCV", b"cLLI"} and is_plain_cicp(cicp)


def is_plain_cicp(code: tuple) -> bool:
    """Whether a coding-independent code point (H.273) says sRGB, BT.709 or nothing."""
    return not code or (code[0] in (0, 1, 2) and code[1] in (0, 1, 2, 6, 13, 14, 15))


def text(key: str, value: str) -> tuple[bytes, bytes]:
    """Text chunk, iTXt where Latin-1 is not enough."""
    name = key.encode("latin-1", "replace")[:79]
    try:
        return b"tEXt", name + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", name + b"\0\0\0\0\0" + value.encode()


def _text(name, data):
    """Key, value as bytes and value as text of a text chunk."""
    key, _, rest = data.partition(b"\0")
    if name == b"zTXt":
        rest = _unpack(rest[1:])
    elif name == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
        rest = _unpack(rest) if packed else rest
    return key.decode("latin-1"), rest, rest.decode("utf-8" if name == b"iTXt" else "latin-1", "replace")


def _raw_profile(kind, value, lost):
    """Fields of Metadata in ImageMagick's hexadecimal form of a profile; damage gives nothing but a word in lost."""
    try:
        data = bytes.fromhex("".join(value.decode("ascii").split("\n")[3:]))
    except ValueError:
        lost.append(f"damaged raw profile {kind}")
        return {}
    if kind == "app1" and data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        return {"xmp": data.split(b"\0", 1)[1]}
    if kind in ("iptc", "8bim"):
        data = data[14:] if data.startswith(b"Photoshop 3.0\0") else data
        return {"photoshop": data} if data.startswith(b"8BIM") else {"iptc": data}
    return {{"exif": "exif", "app1": "exif", "xmp": "xmp"}.get(kind, "icc"): data}


def _unpack(data):
    try:
        return zlib.decompressobj().decompress(data, LARGEST_TEXT)
    except zlib.error:
        return b""


def _background(data, palette, depth):
    """bKGD as 16-bit numbers of full range: one of a grey image, three of any other."""
    if len(data) == 1:
        colors = palette[3 * data[0] : 3 * data[0] + 3]
        return struct.pack(">3H", *(c * 257 for c in colors)) if len(colors) == 3 else b""
    values = struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2])
    top = (1 << depth) - 1
    return struct.pack(f">{len(values)}H", *(min(v, top) * 65535 // top for v in values))


def _background_for(data, mode):
    """bKGD of full range -> the form of a mode: as many channels, and numbers of its depth."""
    values = struct.unpack(f">{len(data) // 2}H", data)
    if mode.startswith(("1", "L", "I")):
        values = values[:1] if len(values) < 3 else [round(0.299 * values[0] + 0.587 * values[1] + 0.114 * values[2])]
    elif len(values) == 1:
        values = values * 3
    deep = "16" in mode or mode == "I"
    return struct.pack(f">{len(values)}H", *(v if deep else round(v / 257) for v in values))
