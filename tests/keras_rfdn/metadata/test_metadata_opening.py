import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from keras_rfdn.metadata import metadata, metadata_jpeg, metadata_opening

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGE = SRGB[:4] + SRGB[4:] + bytes(3 << 20)


def chunk(name, data, crc=None):
    return (
        struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data) if crc is None else crc)
    )


def png(data, *, late=False, mode="RGB"):
    file = io.BytesIO()
    Image.effect_noise((9, 5), 90).convert(mode).save(file, "PNG")
    whole = file.getvalue()
    at = whole.index(b"IEND" if late else b"IDAT") - 4
    return whole[:at] + data + whole[at:]


def saved(form, **options):
    file = io.BytesIO()
    Image.effect_noise((9, 5), 90).convert("RGB").save(file, form, **options)
    return file.getvalue()


def segment(marker, data):
    return metadata_jpeg.to_extra([(marker, data)])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"{}" * (2 << 20))),
        (b"zTXt", b"workflow\0\0" + zlib.compress(b"{}" * (2 << 20))),
    ],
)
def test_a_text_of_over_1_mb_is_read_and_kept(name, data, late):
    image = metadata_opening.open_image(io.BytesIO(png(chunk(name, data), late=late)))
    found = metadata.read(image)
    image.load()
    assert (image.size, found.text, found.lost) == ((9, 5), {"workflow": "{}" * (2 << 20)}, ())
    options, _ = metadata.save_options(found, format="PNG", mode="RGB", size=(18, 10), scale=2)
    result = saved("PNG", **options)
    assert chunk(name, data) in result
    assert metadata.read(metadata_opening.open_image(io.BytesIO(result))).text == found.text


def test_a_profile_of_over_1_mb_is_read_and_kept():
    profile = struct.pack(">L", len(LARGE)) + LARGE[4:]
    image = metadata_opening.open_image(io.BytesIO(png(chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)))))
    assert metadata.read(image).icc == profile


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        chunk(b"tEXt", b"Author\0me", crc=1),
        chunk(b"iCCP", b""),
        chunk(b"iCCP", b"x\0\5" + zlib.compress(SRGB)),
        chunk(b"zTXt", b"a\0\7xx"),
        chunk(b"pHYs", b"\0\0"),
        chunk(b"gAMA", b"\0"),
        chunk(b"cHRM", b"\0" * 5),
        chunk(b"sRGB", b""),
        chunk(b"cICP", b"\1"),
        chunk(b"tIME", b"\1"),
    ],
    ids=lambda data: data[4:8].decode(),
)
def test_a_damaged_chunk_is_named_and_the_picture_read(data, late):
    whole = png(data, late=late)
    image = metadata_opening.open_image(io.BytesIO(whole))
    found = metadata.read(image)
    image.load()
    assert image.size == (9, 5)
    assert len(found.lost) == 1
    assert found.lost[0].startswith("damaged")
    options, _ = metadata.save_options(found, format="PNG", mode="RGB", size=(18, 10), scale=2)
    Image.open(io.BytesIO(saved("PNG", **options))).load()  # nothing damaged reaches the result


@pytest.mark.parametrize(
    "extra",
    [
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xEE, b"Adobe"),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
        segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\1\0abc"),
        segment(0xE0, b"JFIF"),
        segment(0xE1, b"Exif\0\0XX"),
    ],
    ids=lambda extra: extra[4:9].decode(),
)
def test_a_damaged_segment_is_named_and_the_picture_read(extra, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved("JPEG", extra=extra, comment=b"kept"))
    image = metadata_opening.open_image(path)
    found = metadata.read(image)
    image.load()
    assert (image.size, found.comment) == ((9, 5), b"kept")
    assert len(found.lost) == 1
    assert found.lost[0].startswith("damaged")
    options, _ = metadata.save_options(found, format="JPEG", mode="RGB", size=(18, 10), scale=2)
    Image.open(io.BytesIO(saved("JPEG", **options))).load()


def test_cmyk_stays_cmyk_where_a_segment_is_damaged():
    file = io.BytesIO()
    Image.new("CMYK", (9, 5), (255, 0, 0, 0)).save(file, "JPEG", extra=segment(0xE2, b"ICC_PROFILE\0"))
    image = metadata_opening.open_image(file)
    assert (image.mode, image.getpixel((0, 0))) == ("CMYK", (255, 0, 0, 0))


def test_an_avif_with_broken_exif_is_read():
    exif = Image.Exif()
    exif[0x13B] = "somebody"
    data = bytearray(saved("AVIF", exif=exif, xmp=b"<x/>"))
    at = data.index(b"MM\0*") if b"MM\0*" in data else data.index(b"II*\0")
    data[at : at + 4] = b"XXXX"
    with pytest.raises(Exception, match=r"(?i)exif|identify"):
        Image.open(io.BytesIO(bytes(data))).load()
    image = metadata_opening.open_image(io.BytesIO(bytes(data)))
    image.load()
    assert (image.size, metadata.read(metadata_opening.open_image(io.BytesIO(bytes(data)))).lost) == (
        (9, 5),
        ("damaged EXIF",),
    )


def test_errors_that_are_no_metadata_are_those_of_pillow(tmp_path):
    with pytest.raises(FileNotFoundError):
        metadata_opening.open_image(tmp_path / "none.png")
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9"):
        with pytest.raises(Exception, match=r"(?i)identify|image"):
            metadata_opening.open_image(io.BytesIO(data))
