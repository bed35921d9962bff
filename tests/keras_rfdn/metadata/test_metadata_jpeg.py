import hashlib
import io
import struct

import pytest
from PIL import Image

from keras_rfdn.metadata import metadata, metadata_jpeg, metadata_xmp


def jpeg(*segments, behind=b"", mode="RGB", **options):
    file = io.BytesIO()
    Image.effect_noise((32, 16), 90).convert(mode).save(file, "JPEG", extra=metadata_jpeg.to_extra(segments), **options)
    return file.getvalue() + behind


def road(data, form="JPEG", scale=2):
    """A JPEG file -> the result's bytes and what is lost."""
    image = Image.open(io.BytesIO(data))
    about = {"format": form, "mode": "RGB", "size": (32 * scale, 16 * scale), "scale": scale}
    found = metadata.read(image)
    options, lost = metadata.save_options(found, **about)
    file = io.BytesIO()
    Image.new("RGB", about["size"]).save(file, form, **options)
    metadata.finish(file, found, **about)
    return file.getvalue(), lost


@pytest.mark.parametrize(
    "segment", [(0xE6, b"GoPro\0data"), (0xE3, b"Meta\0\0Kodak"), (0xE1, b"FLIR\0\1\0\0"), (0xEC, b"PictureInfo\0abc")]
)
def test_unknown_segments_stay_in_a_jpeg_and_are_named_elsewhere(segment):
    result, lost = road(jpeg(segment))
    assert segment in metadata_jpeg.segments(io.BytesIO(result))
    assert lost == ()
    _, lost = road(jpeg(segment), "PNG")
    assert lost == (f"JPEG segment APP{segment[0] - 0xE0} {segment[1].split(bytes(1))[0].decode()}",)


@pytest.mark.parametrize(
    ("segment", "word"),
    [
        ((0xEB, b"JP\0\0\0\0\0\1jumb"), "C2PA provenance (it signs the original)"),
        ((0xE2, b"FPXR\0\0"), "FlashPix data"),
        ((0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"), "the HDR gain map's tags"),
        ((0xE0, b"JFXX\0\x10thumbnail"), None),
        ((0xEC, b"Ducky\0\1\0\4\0\0\0\x50"), None),
        ((0xEE, b"Adobe\0\x64\0\0\0\0\0"), None),
    ],
)
def test_segments_of_the_old_pixels_go(segment, word):
    result, lost = road(jpeg(segment))
    assert segment not in metadata_jpeg.segments(io.BytesIO(result))
    assert lost == ((word,) if word else ())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize(
    ("behind", "word"),
    [
        (b"", None),
        (bytes(5000), None),
        (b"\0\0\0\x18ftypmp42" + b"\xff\xd8\xff" * 9, "the motion photo's video"),
        (b"\xff\xd8\xff\xe0 a gain map", "a further image behind the first (gain map, depth or preview)"),
        (b"secret\xff\xd9", "8 bytes behind the image's end"),
    ],
)
def test_what_stands_behind_the_end_is_named(behind, word, options):
    # A thumbnail's own end in EXIF is not the end.
    thumbnail = (0xE5, b"x\xff\xd9\xff\xd8\xff")
    _, lost = road(jpeg(thumbnail, behind=behind, **options))
    assert lost == ((word,) if word else ())


def test_all_comments_stay():
    data = jpeg((0xFE, b"second"), comment=b"first")
    result, _ = road(data)
    assert set(metadata.read(Image.open(io.BytesIO(result))).comment.split(b"\n")) == {b"first", b"second"}


def test_a_pixel_aspect_ratio_stays():
    data = bytearray(jpeg())
    struct.pack_into(">BHH", data, 13, 0, 2, 1)
    result, lost = road(bytes(data))
    assert struct.unpack_from(">BHH", result, 13) == (0, 2, 1)
    assert lost == ()
    assert b"pHYs" + struct.pack(">LLB", 2, 1, 0) in road(bytes(data), "PNG")[0]
    assert Image.open(io.BytesIO(road(bytes(data), "TIFF")[0])).tag_v2[296] == 1
    assert road(bytes(data), "GIF")[1] == ("pixel aspect ratio",)


def test_dots_per_centimetre_stay():
    data = bytearray(jpeg())
    struct.pack_into(">BHH", data, 13, 2, 118, 118)
    assert Image.open(io.BytesIO(road(bytes(data), "PNG")[0])).info["dpi"] == pytest.approx((299.72, 299.72), abs=0.01)
    assert Image.open(io.BytesIO(road(bytes(data))[0])).info["dpi"] == (300, 300)


def test_extended_xmp_stays_and_is_merged_where_xmp_has_no_limit():
    rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
    more = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {rdf}><rdf:Description xmlns:a="b:c" a:long="{"y" * 90_000}"/>'
    )
    more = f"{more}</rdf:RDF></x:xmpmeta>".encode()
    digest = hashlib.md5(more).hexdigest().upper()
    first = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {rdf}><rdf:Description xmlns:xmpNote="{metadata_xmp.NOTE}" '
    first = f'{first}xmpNote:HasExtendedXMP="{digest}"/></rdf:RDF></x:xmpmeta>'.encode()
    segments = [(0xE1, data) for data in metadata_xmp.to_segments(first, more)]
    assert len(segments) == 3
    data = jpeg(*reversed(segments))  # their order is free
    result, lost = road(data)
    assert lost == ()
    assert sorted(metadata_jpeg.segments(io.BytesIO(result))[1:]) == sorted(segments)
    found = metadata.read(Image.open(io.BytesIO(road(data, "PNG")[0])))
    assert b"y" * 90_000 in found.xmp
    assert b"HasExtendedXMP" not in found.xmp
    # And back into a JPEG, whose first segment is too small for it.
    again, lost = road(road(data, "PNG")[0])
    found = metadata.read(Image.open(io.BytesIO(again)))
    assert b"y" * 90_000 in found.xmp_extension
    assert lost == ()


def test_segments_of_a_file_that_is_cut_off():
    data = jpeg((0xE6, b"GoPro\0data"))
    for end in range(2, len(data), 7):
        metadata_jpeg.read(io.BytesIO(data[:end]))
