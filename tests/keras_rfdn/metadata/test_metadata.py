import io
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from keras_rfdn.metadata import metadata, metadata_jpeg, metadata_photoshop, metadata_tiff
from keras_rfdn.metadata import metadata_exif as exif
from keras_rfdn.metadata.metadata_tiff import EXIF, GPS, INTEROP, MAKER_NOTE, Directory

SCALE = 2
NAMES = "Zoë Ångström".encode()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IPTC = b"\x1c\x01\x5a\0\3\x1b%G\x1c\2\x50\0\4" + "Zoë".encode() + b"\x1c\2\x78\0\5Hello"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" exif:PixelXDimension="12">'
    "<exif:PixelYDimension>8</exif:PixelYDimension><dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()


def u16(*values):
    return 3, struct.pack(f"<{len(values)}H", *values)


def ratio(*values):
    return 5, struct.pack(f"<{len(values)}L", *values)


def exif_of(orientation=6):
    """A camera's EXIF for 12x8 pixels, its maker note at offset 900."""
    exif = {
        0x9000: (7, b"0232"),
        0x9003: (2, b"2020:01:02 03:04:05\0"),
        MAKER_NOTE: (7, b"MAKERNOTE" * 20),
        0xA002: u16(12),
        0xA003: u16(8),
        0x9214: u16(3, 2, 4, 2),
        0xA20E: ratio(7433, 2),
        INTEROP: (4, {1: (2, b"R98\0"), 2: (7, b"0100"), 0x1001: u16(12)}),
    }
    gps = {0: (1, b"\2\3\0\0"), 1: (2, b"N\0"), 2: ratio(52, 1, 30, 1, 1234, 100)}
    tags = {
        0x10F: (2, b"Cam\0"),
        0x112: u16(orientation),
        0x13B: (2, NAMES + b"\0"),
        0x8298: (2, "© Zoë".encode() + b"\0"),
    }
    tags |= {0x11A: ratio(300, 1), 0x11B: ratio(300, 1), 0x128: u16(2), EXIF: (4, exif), GPS: (4, gps)}
    return Directory("<", tags, maker_note=900)


def noise(mode="RGB", size=(12, 8)):
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], channels), np.uint8)
    return Image.fromarray(values.squeeze(), mode)


def jpeg(**changes):
    """A photograph as cameras and Photoshop leave it."""
    resources = [
        (b"8BIM", 0x0404, b"", IPTC),
        (b"8BIM", 0x040C, b"", b"thumb" * 9),
        (b"8BIM", 0x03ED, b"", struct.pack(">LHHLHH", 300 << 16, 1, 1, 300 << 16, 1, 1)),
    ]
    segments = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)]
    segments += metadata_jpeg.photoshop_segments(metadata_photoshop.to_bytes(resources))
    options = {"exif": b"Exif\0\0" + metadata_tiff.to_bytes(exif_of()), "icc_profile": SRGB, "dpi": (300, 300)}
    options |= {"comment": b"a comment", "extra": metadata_jpeg.to_extra(segments)}
    return save(noise(), "JPEG", **options | changes)


def save(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def upscale(data, form, *, mode="RGB", strip=False):
    """A file's bytes -> the upscaled file's bytes in a format, by the same road as a command's, and what is lost."""
    image = Image.open(io.BytesIO(data))
    found = metadata.read(image)
    image = ImageOps.exif_transpose(metadata.to_result_space(image))
    sr = image.convert(mode).resize((image.width * SCALE, image.height * SCALE))
    sr.info.clear()
    sr, found = metadata.to_format_space(sr, metadata.strip(found) if strip else found, format=form)
    about = {"format": form, "mode": mode, "size": sr.size, "scale": SCALE}
    options, lost = metadata.save_options(found, **about)
    file = io.BytesIO(save(sr, form, **options))
    metadata.finish(file, found, **about)
    return file.getvalue(), lost


def reread(data):
    return metadata.read(Image.open(io.BytesIO(data)))


def user_comment(m):
    return m.exif.tags[EXIF][1].get(0x9286, (7, b""))[1].removeprefix(b"ASCII\0\0\0") if m.exif else b""


EXPECTED = {
    "EXIF": lambda m: m.exif and m.exif.tags.get(0x13B) == (2, NAMES + b"\0"),
    "EXIF date": lambda m: m.exif and m.exif.tags[EXIF][1].get(0x9003) == (2, b"2020:01:02 03:04:05\0"),
    "EXIF GPS": lambda m: m.exif and m.exif.values(2, GPS).tolist() == [52, 1, 30, 1, 1234, 100],
    "EXIF maker note": lambda m: m.exif and m.exif.tags[EXIF][1].get(MAKER_NOTE) == (7, b"MAKERNOTE" * 20),
    "EXIF sizes": lambda m: m.exif and (m.exif.values(0xA002, EXIF), m.exif.values(0xA003, EXIF)) == (16, 24),
    "XMP": lambda m: b"<rdf:li>Zo\xc3\xab</rdf:li>" in m.xmp,
    "XMP sizes": lambda m: b'PixelXDimension="16"' in m.xmp and b"<exif:PixelYDimension>24<" in m.xmp,
    "IPTC": lambda m: metadata_photoshop.iptc_of(m.photoshop) == IPTC,
    "ICC profile": lambda m: m.icc == SRGB,
    "dpi": lambda m: m.dpi == pytest.approx((300, 300), abs=0.01),
    "comment": lambda m: b"a comment" in (m.comment, m.text.get("Comment", "").encode(), user_comment(m)),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "JPEG2000", "GIF", "BMP", "TGA", "PPM"])
@pytest.mark.parametrize("first", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000"])
def test_each_kind_of_metadata_is_kept_or_named(first, form):
    photograph = jpeg()
    if first != "JPEG":
        photograph, _ = upscale(photograph, first)
        # The first road makes 16x24 of 12x8 pixels, turned upright; the second starts there.
        expected = EXPECTED | {
            "EXIF sizes": lambda m: m.exif and (m.exif.values(0xA002, EXIF), m.exif.values(0xA003, EXIF)) == (32, 48),
            "XMP sizes": lambda m: b'PixelXDimension="32"' in m.xmp and b"<exif:PixelYDimension>48<" in m.xmp,
        }
    else:
        expected = EXPECTED
    before, kinds = reread(photograph), list(EXPECTED)
    kinds = [kind for kind in kinds if "sizes" in kind or expected[kind](before)]
    assert len(kinds) >= 8
    result, lost = upscale(photograph, form)
    after = reread(result)
    assert after.orientation == 1
    for kind in kinds:
        named = any(kind.split()[0] in word for word in lost) or (kind == "comment" and "EXIF" in lost)
        assert expected[kind](after) or named or (kind == "ICC profile" and form not in metadata.writers.WITH_PROFILE)
    for kind in set(expected) - {"ICC profile"}:  # and nothing is said to be lost that is kept
        if " " not in kind and expected[kind](after):
            assert kind not in lost


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_what_these_formats_keep_of_a_photograph(form):
    result, lost = upscale(jpeg(), form)
    assert lost == (("IPTC",) if form in ("WEBP", "AVIF") else ())
    exif = Image.open(io.BytesIO(result)).getexif()  # Pillow's own eyes
    assert exif[0x13B].encode("latin-1") == NAMES
    assert (exif.get(0x112, 1), exif[0x11A]) == (1, 300)
    assert exif.get_ifd(EXIF)[0x9214] == (12, 6, 4, 8)  # (3, 2) of 12x8 turned by 90 degrees, doubled: (16 - 4, 6)
    assert exif.get_ifd(EXIF)[0xA20E] == 7433  # pixels an inch of the sensor
    assert exif.get_ifd(INTEROP)[0x1001] == 16


def test_the_maker_note_stays_at_its_offset():
    result, _ = upscale(jpeg(), "JPEG")
    assert reread(result).exif.maker_note == 900


def test_a_thumbnail_is_dropped():
    block = bytearray(metadata_tiff.to_bytes(exif_of()))
    thumbnail = Directory("<", {0x103: u16(6), 0x201: (4, struct.pack("<L", 2000)), 0x202: (4, struct.pack("<L", 5))})
    start = len(block)
    block += metadata_tiff.lay_out(thumbnail.tags, start, "<") + b"\xff\xd8old thumbnail"
    count = struct.unpack_from("<H", block, 8)[0]
    struct.pack_into("<L", block, 10 + 12 * count, start)
    data = jpeg(exif=b"Exif\0\0" + bytes(block))
    assert b"old thumbnail" in data
    result, lost = upscale(data, "JPEG")
    assert b"old thumbnail" not in result
    assert b"thumbthumb" not in result
    assert lost == ()


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"garbage", b"II*\0\xff\xff\0\0", b"MM\0*\0\0\0\x08\0\x02\0"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_damaged_exif_stops_nothing_and_is_named(block, form):
    data = jpeg(exif=b"Exif\0\0" + block) if form == "JPEG" else save(noise(), "PNG", exif=block)
    result, lost = upscale(data, form)
    assert Image.open(io.BytesIO(result)).size == (24, 16) if form == "PNG" else (16, 24)
    assert any("damaged EXIF" in word for word in lost) or not block.strip(b"Exif\0")


def test_one_damaged_tag_leaves_the_others():
    directory = exif_of()
    block = bytearray(metadata_tiff.to_bytes(directory))
    at = block.index(struct.pack("<HH", 0x8298, 2))
    struct.pack_into("<L", block, at + 8, 1 << 30)
    result, lost = upscale(jpeg(exif=b"Exif\0\0" + bytes(block)), "JPEG")
    assert lost == ("damaged EXIF tags",)
    tags = reread(result).exif.tags
    assert 0x8298 not in tags
    assert tags[0x13B] == (2, NAMES + b"\0")


def test_exif_of_more_than_64_kb_loses_its_largest_value_in_a_jpeg_by_name():
    directory = exif_of()
    directory.tags[EXIF][1][MAKER_NOTE] = (7, b"n" * 70_000)
    data = save(noise(), "PNG", exif=metadata_tiff.to_bytes(directory))
    result, lost = upscale(data, "JPEG")
    assert lost == ("maker note of 70 KB",)
    assert reread(result).exif.tags[0x13B] == (2, NAMES + b"\0")
    assert upscale(data, "PNG")[1] == ()


def test_strip_keeps_what_colours_need_alone():
    result, lost = upscale(jpeg(), "JPEG", strip=True)
    found = reread(result)
    assert lost == ()
    assert found == metadata.Metadata(icc=SRGB)
    assert Image.open(io.BytesIO(result)).size == (16, 24)


def test_metadata_is_read_after_the_pixels_too(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    image = Image.open(path)
    before = metadata.read(image)
    image.load()
    assert metadata.read(image) == before == reread(path.read_bytes())


def test_an_image_without_a_file_gives_what_pillow_knows():
    image = noise()
    assert metadata.read(image) == metadata.Metadata()
    image.info |= {"icc_profile": SRGB, "exif": metadata_tiff.to_bytes(exif_of()), "dpi": (72, 72)}
    found = metadata.read(image)
    assert (found.icc, found.dpi, found.orientation) == (SRGB, (72, 72), 6)


def test_what_pillow_shows_and_nobody_here_knows_is_named():
    xbm = b"#define x_width 8\n#define x_height 1\n#define x_x_hot 3\n#define x_y_hot 0\n"
    xbm += b"static char x_bits[] = {\n0x55};\n"
    assert "XBM 'hotspot'" in upscale(xbm, "PNG", mode="L")[1]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_an_image_with_nothing_loses_nothing(form):
    for data in (save(noise(), "PNG"), save(noise(), "JPEG"), save(noise(), "TIFF"), save(noise("L"), "GIF")):
        result, lost = upscale(data, form)
        assert lost == ()
        assert (reread(result).xmp, reread(result).orientation) == (b"", 1)


def test_the_case_of_lost_metadata():
    path = pathlib.Path("../shared/cases/11_metadata/in.jpg")
    if not path.exists():
        pytest.skip("needs ../shared")
    before = reread(path.read_bytes())
    result, lost = upscale(path.read_bytes(), "PNG")
    after = reread(result)
    assert lost == ()
    assert after.dpi == before.dpi == (300, 300)
    assert {tag for tag in before.exif.tags if tag not in (256, 257)} <= set(after.exif.tags)
    assert after.orientation == 1 < before.orientation


@pytest.mark.parametrize("seed", range(300))
def test_damage_anywhere_never_raises_in_reading(seed):
    random = np.random.default_rng(seed)
    form = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "JPEG2000"][seed % 6]
    data = bytearray(upscale(jpeg(), form)[0] if form != "JPEG" else jpeg())
    for place in random.integers(0, len(data), 12):
        data[place] = random.integers(0, 256)
    try:
        image = Image.open(io.BytesIO(bytes(data)))
    except Exception:  # Pillow's own refusal
        return
    found = metadata.read(image)
    for target in ("JPEG", "PNG", "TIFF"):
        metadata.save_options(found, format=target, mode="RGB", size=(24, 16), scale=2)
    metadata.finish(io.BytesIO(save(noise(), "TIFF")), found, format="TIFF", mode="RGB", size=(24, 16), scale=2)


def test_unequal_resolutions_are_exchanged_when_a_picture_is_turned():
    directory = exif_of(6)
    directory.tags.update({0x11A: ratio(300, 1), 0x11B: ratio(150, 1), 531: u16(2), 256: u16(12)})
    directory.tags[EXIF][1][0xA20F] = ratio(100, 1)
    resources = [(b"8BIM", 0x03ED, b"", struct.pack(">LHHLHH", 300 << 16, 1, 1, 150 << 16, 2, 2))]
    resources += [(b"8BIM", 0x07D0, b"a path", bytes(26)), (b"8BIM", 0x040B, b"", b"http://here")]
    extra = metadata_jpeg.to_extra(metadata_jpeg.photoshop_segments(metadata_photoshop.to_bytes(resources)))
    data = jpeg(exif=b"Exif\0\0" + metadata_tiff.to_bytes(directory), dpi=(300, 150), extra=extra)
    result, lost = upscale(data, "JPEG")
    found = reread(result)
    assert lost == ("Photoshop's paths",)
    assert found.dpi == exif.resolution(found.exif) == (150, 300)
    assert (found.exif.values(0xA20E, EXIF).tolist(), found.exif.values(0xA20F, EXIF).tolist()) == ([200, 1], [7433, 1])
    assert photoshop(found) == {
        0x03ED: struct.pack(">LHHLHH", 150 << 16, 2, 2, 300 << 16, 1, 1),
        0x040B: b"http://here",
    }
    result, _ = upscale(data, "TIFF")
    image = Image.open(io.BytesIO(result))
    assert (image.size, 531 in image.tag_v2, image.info["dpi"]) == ((16, 24), False, (150, 300))
    # Not turned, paths stay: they are in parts of the picture's size.
    upright = jpeg(exif=b"", extra=extra)
    result, lost = upscale(upright, "JPEG")
    assert (0x07D0 in photoshop(reread(result)), lost) == (True, ())


def photoshop(found):
    return {number: data for _, number, _, data in metadata_photoshop.parse(found.photoshop)}
