import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from keras_rfdn.metadata import metadata, metadata_photoshop, metadata_png


def png(*chunks, mode="RGB", behind=b"", late=(), **options):
    """A PNG file of 4x3 pixels with chunks before its pixels, and late ones after them."""
    file = io.BytesIO()
    Image.new(mode, (4, 3), 7).save(file, "PNG", **options)
    data = file.getvalue()

    def packed(rows):
        return b"".join(
            struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
            for name, body in rows
        )

    at, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:at] + packed(chunks) + data[at:end] + packed(late) + data[end:] + behind


def road(data, form="PNG", mode="RGB", scale=2):
    """A PNG file -> the chunks of the result and what is lost; for other formats the options and what is lost."""
    image = Image.open(io.BytesIO(data))
    found = metadata.read(image)
    size = (image.width * scale, image.height * scale)
    options, lost = metadata.save_options(found, format=form, mode=mode, size=size, scale=scale)
    if form != "PNG":
        return options, lost
    file = io.BytesIO()
    Image.new(mode.split(";")[0], size).save(file, "PNG", **options)
    Image.open(io.BytesIO(file.getvalue())).load()
    return dict(metadata_png.chunks(file)), lost


SAME = [
    (b"gAMA", struct.pack(">L", 100000)),
    (b"cHRM", struct.pack(">8L", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
    (b"sRGB", b"\0"),
    (b"cICP", b"\x0c\x10\0\1"),
    (b"mDCV", bytes(range(24))),
    (b"cLLI", bytes(range(8))),
    (b"sPLT", b"name\0\x08" + bytes(6)),
    (b"tIME", struct.pack(">H5B", 2020, 1, 2, 3, 4, 5)),
    (b"pCAL", b"cal\0" + bytes(20)),
    (b"pHYs", struct.pack(">LLB", 11811, 11811, 1)),
    (b"pHYs", struct.pack(">LLB", 2, 1, 0)),
    (b"tEXt", b"Title\0caf\xe9"),
    (b"zTXt", b"parameters\0\0" + zlib.compress(b"steps: 20")),
    (b"iTXt", b"Author\0\0\0de\0Autor\0" + "Zoë".encode()),
    (b"iTXt", b"Author\0\1\0ja\0\0" + zlib.compress("作者".encode())),
    (b"gIFx", b"GIFtoPNG123"),
    (b"prVt", b"private, may be copied"),
]


@pytest.mark.parametrize("chunk", SAME, ids=lambda chunk: chunk[0].decode())
@pytest.mark.parametrize("where", ["before", "late"])
def test_chunks_that_stay_true_stay_as_they_are(chunk, where):
    data = png(chunk) if where == "before" else png(late=[chunk])
    found, lost = road(data)
    assert found.get(chunk[0]) == chunk[1]
    assert lost == ()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        (b"oFFs", struct.pack(">llB", 5, -3, 0), struct.pack(">llB", 10, -6, 0)),
        (b"oFFs", struct.pack(">llB", 5, -3, 1), struct.pack(">llB", 5, -3, 1)),  # micrometres
        (b"sCAL", b"\x010.5\0001.25", b"\x010.25\0000.625"),  # metres a pixel
        (b"bKGD", struct.pack(">3H", 255, 0, 51), struct.pack(">3H", 255, 0, 51)),
    ],
)
def test_chunks_that_count_pixels_are_scaled(name, before, after):
    found, lost = road(png((name, before)))
    assert (found[name], lost) == (after, ())


@pytest.mark.parametrize(
    ("mode", "background"),
    [("RGB", (255, 0, 51)), ("RGBA;16", (65535, 0, 51 * 257)), ("L", (82,)), ("LA;16", (21089,))],
)
def test_the_background_has_the_form_of_the_result(mode, background):
    data = png((b"bKGD", struct.pack(">3H", 255, 0, 51)))
    options, lost = metadata.save_options(
        metadata.read(Image.open(io.BytesIO(data))), format="PNG", mode=mode, size=(8, 6), scale=2
    )
    assert dict(row[:2] for row in options["pnginfo"].chunks)[b"bKGD"] == struct.pack(
        f">{len(background)}H", *background
    )
    assert lost == ()


def test_a_background_of_a_palette_becomes_its_colour():
    image = Image.new("P", (4, 3))
    image.putpalette([0, 0, 0, 10, 20, 30])
    file = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add(b"bKGD", b"\1")
    image.save(file, "PNG", pnginfo=info)
    assert road(file.getvalue())[0][b"bKGD"] == struct.pack(">3H", 10, 20, 30)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        (b"sBIT", b"\5\6\5", "PNG chunk sBIT"),
        (b"hIST", bytes(2), "PNG chunk hIST"),
        (b"sTER", b"\0", "PNG chunk sTER"),
        (b"npTc", bytes(32), "PNG chunk npTc"),
        (b"prVT", b"private, not to be copied when pixels change", "PNG chunk prVT"),
        (b"caBX", b"jumb", "C2PA provenance (it signs the original)"),
        (b"dSIG", b"signed", "digital signature"),
    ],
)
def test_chunks_that_are_no_longer_true_are_named(name, data, word):
    found, lost = road(png((name, data)))
    assert name not in found
    assert lost == (word,)


@pytest.mark.parametrize(
    "chunk", [(b"sBIT", b"\x08\x08\x08"), (b"iDOT", bytes(28)), (b"vpAg", bytes(9)), (b"orNT", b"\1")]
)
def test_chunks_that_say_nothing_of_the_result_go_without_a_word(chunk):
    found, lost = road(png(chunk))
    assert (chunk[0] in found, lost) == (False, ())


def raw(kind, data):
    lines = "\n".join(data.hex()[at : at + 72] for at in range(0, 2 * len(data), 72))
    text = f"\n{kind}\n{len(data):8}\n{lines}\n".encode()
    return b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text)


def test_raw_profiles_of_imagemagick_are_read():
    exif = Image.Exif()
    exif[0x112], exif[0x13B] = 6, "somebody"
    block = exif.tobytes()
    for kind in ("exif", "APP1"):
        image = Image.open(io.BytesIO(png(raw(kind, block))))
        found = metadata.read(image)
        assert found.orientation == image.getexif()[0x112] == 6
        assert found.exif.tags[0x13B] == (2, b"somebody\0")
    found = metadata.read(Image.open(io.BytesIO(png(raw("xmp", b"<x:xmpmeta/>")))))
    assert (found.xmp, found.chunks, found.lost) == (b"<x:xmpmeta/>", (), ())
    iptc = b"\x1c\2\x78\0\5Hello"
    for data in (iptc, metadata_photoshop.from_iptc(iptc)):
        found = metadata.read(Image.open(io.BytesIO(png(raw("iptc", data)))))
        assert metadata_photoshop.iptc_of(found.photoshop) == iptc
    assert road(png((b"tEXt", b"Raw profile type exif\0\nexif\n 3\nzz\n")))[1] == ("damaged raw profile exif",)


def test_texts_become_exif_and_comments_where_a_format_has_none():
    texts = [
        (b"tEXt", b"Author\0me"),
        (b"tEXt", b"Comment\0nice"),
        (b"tEXt", b"Title\0a title"),
        (b"tEXt", b"Copyright\0c"),
    ]
    options, lost = road(png(*texts), "JPEG")
    assert (options["comment"], lost) == (b"nice", ("text 'Title'",))
    exif = Image.Exif()
    exif.load(options["exif"])
    assert (exif[0x13B], exif[0x8298]) == ("me", "c")
    options, lost = road(png((b"tEXt", b"parameters\0a cat, steps: 20")), "WEBP")
    exif.load(options["exif"])
    assert (exif.get_ifd(0x8769)[0x9286], lost) == (b"ASCII\0\0\0a cat, steps: 20", ())


def test_what_other_formats_can_not_say_of_colours_is_named():
    assert road(png((b"gAMA", struct.pack(">L", 45455)), (b"sRGB", b"\0")), "JPEG")[1] == ()
    assert road(png((b"gAMA", struct.pack(">L", 100000))), "JPEG")[1] == ("colour description (gAMA)",)
    assert road(png((b"cICP", b"\x09\x10\0\1")), "WEBP")[1] == ("colour description (cICP)",)


def test_a_cropped_screenshot_that_still_holds_its_old_end_is_named():
    assert road(png(behind=b"\0\0\0\0IDAT old pixels"))[1] == ("data behind the image's end",)
    assert road(png(behind=bytes(100)))[1] == ()


def test_text_that_unpacks_to_more_than_64_mb_is_cut():
    bomb = zlib.compress(bytes(80 << 20))
    found = metadata_png.read(io.BytesIO(png((b"zTXt", b"bomb\0\0" + bomb))))
    assert len(found["text"]["bomb"]) == 64 << 20
