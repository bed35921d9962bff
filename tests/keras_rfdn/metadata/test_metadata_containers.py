import io
import struct

import pytest
from PIL import Image, ImageCms

from keras_rfdn.metadata import metadata, metadata_photoshop

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">caf\xc3\xa9</x:xmpmeta><?xpacket end="r"?>'


def saved(form, mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, (6, 4), 7).save(file, form, **options)
    return bytearray(file.getvalue())


def read(data):
    return metadata.read(Image.open(io.BytesIO(bytes(data))))


def blocks(data):
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


def gif(*extensions):
    data = saved("GIF", "P")
    at = 13 + 3 * (2 << (data[10] & 7))
    return bytes(data[:at]) + b"".join(extensions) + bytes(data[at:])


def test_gif():
    magic = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    data = gif(
        b"!\xfe" + blocks(b"one"),
        b"!\xff\x0bXMP DataXMP" + XMP + magic,
        b"!\xff\x0bICCRGBG1012" + blocks(SRGB),
        b"!\xff\x0bNETSCAPE2.0" + blocks(b"\1\0\0"),
        b"!\xff\x0bFRACTINT002" + blocks(b"x" * 300),
        b"!\xfe" + blocks(b"y" * 300),
    )
    found = read(data)
    assert found.comment == b"one\n" + b"y" * 300
    assert (found.xmp, found.icc) == (XMP, SRGB)
    assert found.lost == ("GIF extension FRACTINT",)


def test_gif_of_several_frames():
    file = io.BytesIO()
    frames = [Image.effect_noise((6, 4), 90) for _ in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], comment=b"hello", loop=0)
    found = read(file.getvalue())
    assert (set(found.comment.split(b"\n")), found.lost) == ({b"hello"}, ())


def test_webp():
    data = saved("WEBP", xmp=XMP, icc_profile=SRGB)
    assert read(data) == metadata.Metadata(xmp=XMP, icc=SRGB)
    data += b"ABCD" + struct.pack("<L", 3) + b"abc\0"
    struct.pack_into("<L", data, 4, len(data) - 8)
    assert read(data).lost == ("WebP chunk ABCD",)
    assert read(data + b"more").lost == ("WebP chunk ABCD", "data behind the image's end")


def test_avif():
    data = saved("AVIF", xmp=XMP, icc_profile=SRGB)
    assert read(data) == metadata.Metadata(xmp=XMP, icc=SRGB)
    # Without a profile, code points say how the colours look: Display P3 here.
    data = saved("AVIF")
    at = data.index(b"colrnclx") + 8
    struct.pack_into(">HH", data, at, 12, 13)
    found = read(data)
    assert found.cicp[:2] == (12, 13)
    options, lost = metadata.save_options(found, format="PNG", mode="RGB", size=(12, 8), scale=2)
    assert [row[:2] for row in options["pnginfo"].chunks] == [(b"cICP", b"\x0c\x0d\0\1")]
    assert lost == ()
    _, lost = metadata.save_options(found, format="JPEG", mode="RGB", size=(12, 8), scale=2)
    assert lost == ("colour description (CICP 12/13/0/1)",)
    assert metadata.save_options(read(saved("AVIF")), format="JPEG", mode="RGB", size=(12, 8), scale=2) == ({}, ())


def box(name, content):
    return struct.pack(">L4s", len(content) + 8, name) + content


def test_jpeg_2000():
    data = saved("JPEG2000")
    at = data.index(b"colr") - 4
    size = struct.unpack_from(">L", data, at)[0]
    color = box(b"colr", b"\2\0\0" + SRGB)
    head = data.index(b"jp2h") - 4
    struct.pack_into(">L", data, head, struct.unpack_from(">L", data, head)[0] - size + len(color))
    data[at : at + size] = color
    data += box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    data += box(b"uuid", bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38") + b"\x1c\2\x78\0\5Hello")
    data += box(b"uuid", b"unknown of 16 b." + b"x") + box(b"xml ", b"<a/>")
    found = read(data)
    assert (found.icc, found.xmp) == (SRGB, XMP)
    assert metadata_photoshop.iptc_of(found.photoshop) == b"\x1c\2\x78\0\5Hello"
    assert found.lost == (f"JPEG 2000 box {b'unknown of 16 b.'.hex()}", "JPEG 2000 box xml")
    assert read(saved("JPEG2000", no_jp2=True)) == metadata.Metadata()


def bmp(kind, profile=b"", endpoints=bytes(48)):
    pixels = bytes(saved("BMP"))[54:]
    head = struct.pack("<LllHHLLllLL", 124, 6, 4, 1, 24, 0, len(pixels), 11811, 11811, 0, 0) + bytes(16)
    head += kind[::-1] + endpoints + struct.pack("<LLLL", 4, 124 + len(pixels), len(profile), 0)
    file = struct.pack("<2sLHHL", b"BM", 138 + len(pixels) + len(profile), 0, 0, 138)
    return file + head + pixels + profile


def test_bmp():
    assert read(bmp(b"sRGB")) == metadata.Metadata(dpi=(300, 300))
    assert read(bmp(b"MBED", SRGB)).icc == SRGB
    assert read(bmp(b"LINK", b"c:\\a.icc")).lost == ("link to a colour profile",)
    assert read(bmp(b"\0\0\0\0", endpoints=b"\1" * 48)).lost == ("calibrated colours of the BMP header",)
    assert read(bmp(b"\0\0\0\0")).lost == ()


def test_tga():
    author = b"somebody".ljust(41, b"\0")
    comment = b"".join(line.ljust(81, b"\0") for line in (b"line one", b"line two", b"", b""))
    area = struct.pack("<H", 495) + author + comment
    area += struct.pack("<6H", 1, 2, 2020, 3, 4, 5) + bytes(47) + b"painter".ljust(41, b"\0")
    data = saved("TGA", id_section=b"abc")
    if b"TRUEVISION" in data[-26:]:
        del data[-26:]
    data = bytes(data) + area.ljust(495, b"\0")
    data += struct.pack("<LL", len(data) - 495, 0) + b"TRUEVISION-XFILE.\0"
    found = read(data)
    assert found.text == {"Author": "somebody", "Comment": "line one\nline two", "Software": "painter"}
    assert found.lost == ("TGA 'id_section'", "TGA date")
    options, lost = metadata.save_options(found, format="PNG", mode="RGB", size=(12, 8), scale=2)
    assert options["pnginfo"].chunks[0][:2] == (b"tEXt", b"Author\0somebody")
    assert lost == found.lost


def test_psd():
    iptc = b"\x1c\2\x78\0\5Hello"
    exif = Image.Exif()
    exif[0x13B], exif[0x112] = "somebody", 6
    resources = [(b"8BIM", 0x0404, b"", iptc), (b"8BIM", 0x0424, b"", XMP), (b"8BIM", 0x0422, b"", exif.tobytes()[6:])]
    resources += [(b"8BIM", 0x03ED, b"", struct.pack(">LHHLHH", 300 << 16, 1, 1, 300 << 16, 1, 1))]
    resources += [(b"8BIM", 0x0408, b"", bytes(16)), (b"8BIM", 0x040F, b"", SRGB)]
    packed = metadata_photoshop.to_bytes(resources)
    data = b"8BPS\0\1" + bytes(6) + struct.pack(">HLLHH", 3, 4, 6, 8, 3)
    data += bytes(4) + struct.pack(">L", len(packed)) + packed + bytes(4) + b"\0\0" + bytes(72)
    found = read(data)
    assert (found.icc, found.xmp, found.dpi) == (SRGB, XMP, (300, 300))
    assert metadata_photoshop.iptc_of(found.photoshop) == iptc
    assert found.exif.tags[0x13B] == (2, b"somebody\0")
    assert found.orientation == 1  # Pillow does not turn it
    options, lost = metadata.save_options(found, format="JPEG", mode="RGB", size=(12, 8), scale=2)
    assert lost == ("Photoshop's guides, slices and layer data",)
    assert SRGB not in options["extra"]
    assert iptc in options["extra"]


@pytest.mark.parametrize(
    "form", ["GIF", "WEBP", "AVIF", "JPEG2000", "BMP", "TGA", "PPM", "ICO", "PCX", "SGI", "DDS", "QOI"]
)
def test_plain_files_lose_nothing(form):
    options = {"sizes": [(6, 4)]} if form == "ICO" else {}
    data = saved(form, "P" if form == "GIF" else "RGB", **options)
    found = read(data)
    assert found.lost == ()
    if form not in ("PCX", "BMP"):
        assert found == metadata.Metadata()
