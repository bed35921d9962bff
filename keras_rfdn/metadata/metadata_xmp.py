"""XMP packets of an upscaled picture: sizes and orientation made true again, thumbnails and pointers to lost data out.

Only the values that change are touched, by their namespace: an XML library would write all of it anew, with other
prefixes, and Pillow finds the orientation by its prefix.
"""

import hashlib
import re

from keras_rfdn.metadata import metadata_exif

TIFF, EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
XMP, NOTE = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xmp/note/"
PANORAMA, CAMERA = "http://ns.google.com/photos/1.0/panorama/", "http://ns.google.com/photos/1.0/camera/"
CONTAINER, GAIN_MAP = "http://ns.google.com/photos/1.0/container/", "http://ns.adobe.com/hdr-gain-map/1.0/"
DIMENSIONS, AREA = "http://ns.adobe.com/xap/1.0/sType/Dimensions#", "http://ns.adobe.com/xmp/sType/Area#"
JPEG_LIMIT = 65502  # bytes in a JPEG's first XMP segment


def fit(packet: bytes, *, size: tuple[int, int], scale: int, orientation: int = 1) -> tuple[bytes, list[str]]:
    """XMP made true for a result of (width, height), upright, enlarged by scale; and what could not be."""
    text, lost = _decode(packet), []
    width, height = size
    for namespace, name, value in (
        (TIFF, "Orientation", 1),
        (TIFF, "ImageWidth", width),
        (TIFF, "ImageLength", height),
        (EXIF, "PixelXDimension", width),
        (EXIF, "PixelYDimension", height),
    ):
        text = _change(text, namespace, name, lambda _, value=value: str(value))
    for name in ("FocalPlaneXResolution", "FocalPlaneYResolution"):
        text = _change(text, EXIF, name, lambda old: re.sub(r"^\d+", lambda n: str(int(n[0]) * scale), old))
    text = _change(text, PANORAMA, r"\w+Pixels", lambda old: str(int(old) * scale) if old.isdigit() else old)
    for name in ("SubjectArea", "SubjectLocation"):
        text, found = _remove(text, EXIF, name)
        lost += ["the subject's place in XMP"] * bool(found)
    text, _ = _remove(text, XMP, "Thumbnails")
    for namespace, names in ((CAMERA, r"(?:Motion|Micro)\w+"), (CONTAINER, "Directory"), (GAIN_MAP, r"\w+")):
        text, _ = _remove(text, namespace, names)  # the video or gain map itself is spoken of where it is found
    text = _turn_regions(text, orientation)
    for name, pixels in (("w", width), ("h", height)):
        if _prefix(text, "http://www.metadataworkinggroup.com/schemas/regions/"):
            text = _change(text, DIMENSIONS, name, lambda _, pixels=pixels: str(pixels))
    return text.encode("utf-8", "surrogateescape"), lost


def orientation_of(packet: bytes) -> int:
    """tiff:Orientation, 1 to 8; 1 where there is none."""
    found = []
    _change(_decode(packet), TIFF, "Orientation", lambda old: found.append(old) or old)
    return int(found[0]) if found and re.fullmatch("[1-8]", found[0]) else 1


def merge(packet: bytes, extension: bytes) -> bytes:
    """One packet of a JPEG's XMP and its extended XMP, for formats whose XMP has no limit."""
    text, more = _decode(packet), _decode(extension)
    inner = re.search(r"<rdf:RDF[^>]*>(.*)</rdf:RDF>", more, re.DOTALL)
    if not extension or inner is None or "</rdf:RDF>" not in text:
        return packet
    text, _ = _remove(text, NOTE, "HasExtendedXMP")
    before, after = text.rsplit("</rdf:RDF>", 1)
    return f"{before}{inner[1]}</rdf:RDF>{after}".encode("utf-8", "surrogateescape")


def to_segments(packet: bytes, extension: bytes) -> list[bytes]:
    """Contents of a JPEG's APP1 segments: XMP, and extended XMP where there is some or the packet has over 64 KB."""
    if len(packet) > JPEG_LIMIT:
        packet = re.sub(rb"\s{40,}", b"\n", packet)  # the room that editors leave at the end
    if len(packet) > JPEG_LIMIT:
        whole = merge(packet, extension)
        extension = re.sub(rb"<\?xpacket.*?\?>", b"", whole, flags=re.DOTALL).strip()
        digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
        packet = (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
            'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
            f'xmlns:xmpNote="{NOTE}" xmpNote:HasExtendedXMP="{digest}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
        ).encode()
    segments = [b"http://ns.adobe.com/xap/1.0/\0" + packet] if packet else []
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    if extension and digest in packet:
        for start in range(0, len(extension), 65400):
            numbers = len(extension).to_bytes(4, "big") + start.to_bytes(4, "big")
            part = extension[start : start + 65400]
            segments.append(b"http://ns.adobe.com/xmp/extension/\0" + digest + numbers + part)
    return segments


def _turn_regions(text, orientation):
    """Faces and other regions (stArea:x, y, w, h, in parts of the picture's size) of a picture that is turned."""
    prefix = _prefix(text, AREA)
    if orientation == 1 or not prefix:
        return text

    def turned(match):
        area = match[0]
        values = {}
        for name in "xywh":
            found = re.search(rf"{prefix}:{name}(?:\s*=\s*[\"']|>)([\d.eE+-]+)", area)
            if found is None:
                return area
            values[name] = float(found[1])
        x, y = metadata_exif.turn(orientation, values["x"], values["y"], 1.0, 1.0)
        w, h = (values["h"], values["w"]) if orientation >= 5 else (values["w"], values["h"])
        for name, value in (("x", x), ("y", y), ("w", w), ("h", h)):
            area = re.sub(
                rf"({prefix}:{name}(?:\s*=\s*[\"']|>))[\d.eE+-]+", lambda m, value=value: f"{m[1]}{value:.6f}", area
            )
        return area

    return re.sub(r"<([\w-]+:Area)\b.*?(?:/>|</\1>)", turned, text, flags=re.DOTALL)


def _decode(packet):
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if packet.startswith(mark):
            return packet.decode(encoding, "replace")
    return packet.decode("utf-8", "surrogateescape")


def _prefix(text, namespace):
    """Regular expression for the prefixes that a packet gives to a namespace, or None."""
    names = set(re.findall(rf"xmlns:([\w.-]+)\s*=\s*[\"']{re.escape(namespace)}[\"']", text))
    return f"(?:{'|'.join(map(re.escape, sorted(names)))})" if names else None


def _change(text, namespace, name, new):
    """A packet with new(old) for each value of a property, which stands as an attribute or as an element."""
    if (prefix := _prefix(text, namespace)) is None:
        return text
    text = re.sub(rf"(\b{prefix}:{name}\s*=\s*([\"']))(.*?)(\2)", lambda m: m[1] + new(m[3]) + m[4], text)
    return re.sub(rf"(<({prefix}:{name})>\s*)([^<]*?)(\s*</\2>)", lambda m: m[1] + new(m[3]) + m[4], text)


def _remove(text, namespace, name):
    """A packet without a property, and how often it stood there."""
    if (prefix := _prefix(text, namespace)) is None:
        return text, 0
    text, a = re.subn(rf"\s\b{prefix}:{name}\s*=\s*([\"']).*?\1", "", text, flags=re.DOTALL)
    text, b = re.subn(rf"<({prefix}:{name})\b[^>]*(?<!/)>.*?</\1>", "", text, flags=re.DOTALL)
    text, c = re.subn(rf"<{prefix}:{name}\b[^>]*/>", "", text)
    return text, a + b + c
