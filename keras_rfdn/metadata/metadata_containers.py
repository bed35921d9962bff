"""Metadata in WebP, AVIF, JPEG 2000, GIF, BMP, TGA and PSD files that Pillow does not show."""

import struct
from typing import BinaryIO

from keras_rfdn.metadata import metadata_photoshop

JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
JP2_EXIF = b"JpgTiffExif->JP2"
JP2_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")


def webp(file: BinaryIO) -> dict:
    """Names of RIFF chunks beyond pixels, EXIF, XMP and ICC, and of data behind the end."""
    file.seek(0)
    head = file.read(12)
    end = 8 + struct.unpack("<L", head[4:8])[0]
    known = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"ICCP"}
    names = set()
    while file.tell() < end and len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sL", chunk)
        if name not in known:
            names.add(
                "C2PA provenance (it signs the original)" if name == b"C2PA" else f"WebP chunk {name.decode('latin-1')}"
            )
        file.seek(size + size % 2, 1)
    file.seek(end)
    behind = file.read(1 << 16).strip(b"\0")
    return {"lost": sorted(names) + ["data behind the image's end"] * bool(behind)}


def boxes(file: BinaryIO, end: int):
    """(Name, start of content, end) of the ISO media boxes from the file's place to an end."""
    while file.tell() + 8 <= end:
        start = file.tell()
        size, name = struct.unpack(">L4s", file.read(8))
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0]
        stop = end if size == 0 else min(start + size, end)
        if stop < file.tell():
            return
        yield name, file.tell(), stop
        file.seek(stop)


def _end(file):
    end = file.seek(0, 2)
    file.seek(0)
    return end


def avif(file: BinaryIO) -> dict:
    """Colour code points (CICP) that stand without an ICC profile, and names of gain maps, depth and the like."""
    fields = {"lost": []}
    for name, start, stop in boxes(file, _end(file)):
        file.seek(start)
        if name == b"ftyp" and b"tmap" in file.read(stop - start)[8:]:
            fields["lost"].append("the HDR gain map")
        if name == b"uuid" and file.read(16) == bytes.fromhex("d8fec3d61b0e483c92975828877ec481"):
            fields["lost"].append("C2PA provenance (it signs the original)")
        if name == b"meta":
            data = file.read(min(stop - start, 1 << 20))
            at = data.find(b"colrnclx")
            if at > 0 and len(data) >= at + 15:
                primaries, transfer, _, _ = struct.unpack_from(">HHHB", data, at + 8)
                fields["cicp"] = (primaries & 255, transfer & 255, 0, 1)  # PNG's form: RGB, full range
    return fields


def jpeg2000(file: BinaryIO) -> dict:
    """ICC profile, EXIF, XMP and IPTC in the boxes of a JP2 file."""
    fields = {"lost": []}
    file.seek(0)
    if file.read(4) == b"\xff\x4f\xff\x51":
        return fields
    for name, start, stop in boxes(file, _end(file)):
        file.seek(start)
        if name == b"jp2h":
            for below, at, until in boxes(file, stop):
                file.seek(at)
                if below == b"colr" and file.read(3)[:1] in (b"\2", b"\3"):
                    fields["icc"] = file.read(until - at - 3)
        elif name == b"uuid":
            kind, data = file.read(16), file.read(stop - start - 16)
            field = {JP2_XMP: "xmp", JP2_EXIF: "exif", JP2_IPTC: "iptc"}.get(kind)
            if field:
                fields[field] = data
            else:
                fields["lost"].append("georeference" if data[:4] == b"II*\0" else f"JPEG 2000 box {kind.hex()}")
        elif name in (b"xml ", b"jumb", b"asoc"):
            fields["lost"].append(f"JPEG 2000 box {name.decode().strip()}")
    return fields


def add_jpeg2000_boxes(file: BinaryIO, *, exif: bytes, xmp: bytes, iptc: bytes) -> None:
    """Add EXIF, XMP and IPTC to a JP2 file that is open for reading and writing, as boxes at its end."""
    file.seek(0)
    if file.read(4) == b"\xff\x4f\xff\x51":  # a bare code stream holds none
        return
    file.seek(0, 2)
    for kind, data in ((JP2_EXIF, exif), (JP2_XMP, xmp), (JP2_IPTC, iptc)):
        if data:
            file.write(struct.pack(">L4s", len(data) + 24, b"uuid") + kind + data)


def gif(file: BinaryIO) -> dict:
    """All comments, XMP and ICC profile of a GIF file; Pillow gives the last comment alone."""
    file.seek(6)
    flags = file.read(7)[4]
    file.seek(3 * (2 << (flags & 7)) if flags & 0x80 else 0, 1)
    fields = {"lost": [], "comment": b""}

    def blocks():
        while size := (file.read(1) or b"\0")[0]:
            yield bytes([size]), file.read(size)

    while kind := file.read(1):
        if kind == b"!":
            label = file.read(1)
            if label == b"\xfe":
                text = b"".join(data for _, data in blocks())
                fields["comment"] += b"\n" * bool(fields["comment"]) + text
            elif label == b"\xff":
                name = next(blocks(), (b"", b""))[1]
                rows = list(blocks())
                if name.startswith(b"XMP Data"):
                    whole = b"".join(size + data for size, data in rows)
                    end = whole.rfind(
                        b"?>", 0, whole.rfind(b"\x01\xff\xfe")
                    )  # then come 258 bytes that end all readers
                    fields["xmp"] = whole[: end + 2] if end > 0 else whole
                elif name.startswith(b"ICCRGBG1"):
                    fields["icc"] = b"".join(data for _, data in rows)
                elif not name.startswith((b"NETSCAPE", b"ANIMEXTS")):
                    fields["lost"].append(f"GIF extension {name[:8].decode('latin-1').strip()}")
            else:
                if label == b"\1":
                    fields["lost"].append("GIF plain text")
                list(blocks())
        elif kind == b",":
            flags = file.read(9)[8]
            file.seek(3 * (2 << (flags & 7)) if flags & 0x80 else 0, 1)
            file.seek(1, 1)
            while size := (file.read(1) or b"\0")[0]:
                file.seek(size, 1)
        else:
            break
    return fields


def bmp(file: BinaryIO) -> dict:
    """ICC profile of a BMP file with the longest header (V5), or a word on a linked or calibrated one."""
    file.seek(0)
    head = file.read(14 + 124)
    if head[:2] != b"BM" or len(head) < 138 or struct.unpack_from("<L", head, 14)[0] < 108:
        return {}
    kind = head[14 + 56 : 14 + 60][::-1]
    if kind == b"\0\0\0\0" and any(head[14 + 60 : 14 + 108]):
        return {"lost": ["calibrated colours of the BMP header"]}
    if kind == b"LINK":
        return {"lost": ["link to a colour profile"]}
    if kind == b"MBED" and struct.unpack_from("<L", head, 14)[0] >= 124:
        offset, size = struct.unpack_from("<LL", head, 14 + 112)
        file.seek(14 + offset)
        return {"icc": file.read(size)}
    return {}


def tga(file: BinaryIO) -> dict:
    """Author, comment and program of a TGA file's extension area."""
    end = file.seek(0, 2)
    file.seek(max(end - 26, 0))
    footer = file.read(26)
    if footer[8:24] != b"TRUEVISION-XFILE":
        return {}
    extension, developer = struct.unpack_from("<LL", footer)
    fields = {"text": {}, "lost": ["TGA developer area"] * bool(developer)}
    file.seek(extension)
    area = file.read(495) if extension else b""
    if len(area) < 495:
        return fields
    for key, data in (("Author", area[2:43]), ("Comment", area[43:367]), ("Software", area[426:467])):
        lines = [data] if key != "Comment" else [data[at : at + 81] for at in range(0, 324, 81)]
        if text := "\n".join(line.split(b"\0")[0].decode("latin-1").strip() for line in lines).strip():
            fields["text"][key] = text
    if any(area[367:379]):
        fields["lost"].append("TGA date")
    return fields


def psd(resources: list) -> dict:
    """EXIF, XMP and IPTC among a PSD file's image resources, as Pillow lists them: (number, name, data)."""
    rows = [(b"8BIM", row[0], row[1], row[2]) for row in resources]
    data = {number: data for _, number, _, data in rows}
    fields = {
        "photoshop": metadata_photoshop.to_bytes(rows),
        "exif": data.get(0x0422, b""),
        "xmp": data.get(0x0424, b""),
    }
    if len(value := data.get(metadata_photoshop.RESOLUTION, b"")) >= 16:
        fields["dpi"] = struct.unpack_from(">L", value)[0] / 65536, struct.unpack_from(">L", value, 8)[0] / 65536
    return fields


READERS = {"WEBP": webp, "AVIF": avif, "JPEG2000": jpeg2000, "GIF": gif, "BMP": bmp, "DIB": bmp, "TGA": tga}
