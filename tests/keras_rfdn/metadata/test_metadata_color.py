import io
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from keras_rfdn.metadata import metadata, metadata_color


def profile(
    space=b"RGB ", gamma=2.2, primaries=((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
):
    """A matrix (Adobe RGB by default) or a grey ICC profile, version 2."""
    curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + b"\0\0"
    description = b"desc\0\0\0\0" + struct.pack(">L", 5) + b"test\0" + bytes(78)
    description += bytes(-len(description) % 4)

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3l", *(round(v * 65536) for v in values))

    tags = [(b"desc", description), (b"cprt", b"text\0\0\0\0test\0\0\0\0"), (b"wtpt", xyz(0.9642, 1, 0.8249))]
    if space == b"GRAY":
        tags += [(b"kTRC", curve)]
    else:
        tags += [(name + b"XYZ", xyz(*values)) for name, values in zip((b"r", b"g", b"b"), primaries, strict=True)]
        tags += [(name + b"TRC", curve) for name in (b"r", b"g", b"b")]
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags:
        table += name + struct.pack(">LL", at + len(data), len(value))
        data += value
    body = struct.pack(">L", len(tags)) + table + data
    head = struct.pack(">L4sL4s4s4s", 128 + len(body), b"test", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3l", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


ADOBE, GREY = profile(), profile(b"GRAY", gamma=1.0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def road(image, form, source="TIFF", **options):
    """An image saved as source and read again -> (pixels in the result's space, options, lost) for a format."""
    file = io.BytesIO()
    image.save(file, source, **options)
    image = Image.open(file)
    found = metadata.read(image)
    image = metadata.to_result_space(image)
    image, found = metadata.to_format_space(image, found, format=form)
    options, lost = metadata.save_options(found, format=form, mode=image.mode, size=image.size, scale=1)
    return image, options, lost


def test_spaces_of_profiles():
    assert [metadata_color.space(p) for p in (ADOBE, GREY, SRGB, LAB)] == ["RGB", "grey", "RGB", "LAB"]
    assert metadata_color.space(b"") is metadata_color.space(b"x" * 200) is metadata_color.space(ADOBE[:130]) is None
    assert [metadata_color.is_srgb(p) for p in (ADOBE, SRGB, b"x")] == [False, True, False]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_a_wide_rgb_profile_stays_with_its_numbers(form):
    image, options, lost = road(Image.new("RGB", (4, 4), (30, 200, 90)), form, icc_profile=ADOBE)
    assert image.getpixel((0, 0)) == (30, 200, 90)
    assert options["icc_profile"] == ADOBE
    assert lost == ()


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG2000", "TGA", "PPM"])
def test_where_a_format_holds_no_profile_pixels_become_srgb(form):
    image, options, lost = road(Image.new("RGB", (4, 4), (0, 200, 0)), form, icc_profile=ADOBE)
    # Adobe RGB's green lies outside of sRGB: red and blue end at 0, green rises.
    assert image.getpixel((0, 0))[:3] == pytest.approx((0, 201, 0), abs=3)
    assert "icc_profile" not in options
    assert lost == ()
    image, _, lost = road(Image.new("RGB", (4, 4), (30, 200, 90)), form, icc_profile=SRGB)
    assert (image.getpixel((0, 0)), lost) == ((30, 200, 90), ())


def test_a_grey_profile_stays_with_grey_and_not_with_rgb():
    image, options, lost = road(Image.new("L", (4, 4), 55), "PNG", icc_profile=GREY)
    assert (image.mode, image.getpixel((0, 0)), options["icc_profile"], lost) == ("L", 55, GREY, ())
    image, options, lost = road(Image.new("RGB", (4, 4), (55, 55, 55)), "PNG", icc_profile=GREY)
    assert (image.getpixel((0, 0)), "icc_profile" in options) == ((55, 55, 55), False)
    assert lost == ("ICC profile (of grey, the pixels are RGB)",)
    # WebP has no grey images: linear 55 of 255 is 128 of sRGB.
    image, options, lost = road(Image.new("L", (4, 4), 55), "WEBP", icc_profile=GREY)
    assert (image.getpixel((0, 0)), "icc_profile" in options, lost) == (pytest.approx(128, abs=1), False, ())


def test_grey_pixels_with_an_rgb_profile_become_srgb_and_stay_grey():
    linear = profile(gamma=1.0)
    image, options, lost = road(Image.new("L", (4, 4), 55), "PNG", source="JPEG", icc_profile=linear, quality=100)
    assert (image.mode, image.getpixel((0, 0))) == ("L", pytest.approx(128, abs=1))
    assert ("icc_profile" in options, lost) == (False, ())


def test_grey_transparency_stays_through_conversion():
    image = Image.fromarray(np.uint8([[10, 55, 200]]))
    image, _, _ = road(image, "PNG", source="PNG", icc_profile=profile(gamma=1.0), transparency=55)
    assert image.mode == "LA"
    assert np.asarray(image)[0, :, 1].tolist() == [255, 0, 255]


def test_cmyk_becomes_srgb_without_its_profile():
    ink = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    image, options, lost = road(ink, "PNG", source="JPEG")
    assert (image.mode, options, lost) == ("RGB", {}, ())
    assert image.getpixel((0, 0)) == pytest.approx((0, 255, 255), abs=4)
    image, options, lost = road(ink, "PNG", source="JPEG", icc_profile=ADOBE)
    assert ("icc_profile" in options, lost) == (False, ("ICC profile (of RGB, the pixels are CMYK)",))


@pytest.mark.parametrize("icc", [None, LAB])
def test_lab_becomes_srgb(icc):
    image = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (30, 200, 90)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    image, options, lost = road(image, "PNG", **({"icc_profile": icc} if icc else {}))
    assert (image.mode, "icc_profile" in options, lost) == ("RGB", False, ())
    assert image.getpixel((0, 0)) == pytest.approx((30, 200, 90), abs=3)


@pytest.mark.parametrize("broken", [b"x" * 200, ADOBE[:140], b"\0" * 128, ADOBE.replace(b"acsp", b"acsq")])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_damaged_profile_is_dropped_by_name(broken, mode):
    image, options, lost = road(Image.new(mode, (4, 4)), "PNG", source="JPEG", icc_profile=broken)
    assert image.mode in ("L", "RGB")
    assert ("icc_profile" in options, lost) == (False, ("damaged ICC profile",))


def test_exif_of_converted_pixels_says_srgb():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (0, 200, 0)).save(file, "JPEG", exif=exif, icc_profile=ADOBE)
    image = Image.open(file)
    image, found = metadata.to_format_space(image, metadata.read(image), format="JPEG2000")
    assert found.exif.values(0xA001, 0x8769).tolist() == [1]


def test_sixteen_bits_keep_their_numbers():
    image = Image.fromarray(np.full((4, 4), 12345, np.uint16))
    image, options, lost = road(image, "PNG", icc_profile=GREY)
    assert (image.getpixel((0, 0)), options["icc_profile"], lost) == (12345, GREY, ())


def test_the_case_of_a_grey_profile():
    path = pathlib.Path("../shared/cases/05_grey_icc/grey.png")
    if not path.exists():
        pytest.skip("needs ../shared")
    found = metadata.read(Image.open(path))
    assert metadata_color.space(found.icc) == "grey"
    about = {"metadata": found, "format": "PNG", "size": (96, 96), "scale": 4}
    assert metadata.save_options(mode="L", **about) == ({"icc_profile": found.icc}, ())
    assert metadata.save_options(mode="RGB", **about) == ({}, ("ICC profile (of grey, the result is RGB)",))


def test_a_profile_is_never_of_another_space_than_the_result():
    about = {"format": "PNG", "size": (4, 4), "scale": 1}
    for icc, mode, word in ((GREY, "RGB;16", "grey, the result is RGB"), (ADOBE, "L", "RGB, the result is grey")):
        options, lost = metadata.save_options(metadata.Metadata(icc=icc), mode=mode, **about)
        assert (options, lost) == ({}, (f"ICC profile (of {word})",))
    for icc, mode in ((GREY, "LA;16"), (GREY, "I;16"), (ADOBE, "RGBA"), (ADOBE, "P")):
        assert metadata.save_options(metadata.Metadata(icc=icc), mode=mode, **about) == ({"icc_profile": icc}, ())


def test_exif_of_grey_pixels_that_read_converts_says_srgb():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    file = io.BytesIO()
    Image.new("L", (4, 4), 7).save(file, "JPEG", exif=exif, icc_profile=ADOBE)
    found = metadata.read(Image.open(file))
    assert (found.converted, found.exif.values(0xA001, 0x8769).tolist()) == (True, [1])
