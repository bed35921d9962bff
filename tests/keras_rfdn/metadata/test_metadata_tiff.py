import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from keras_rfdn.metadata import metadata, metadata_tiff
from keras_rfdn.metadata.metadata_tiff import EXIF, MAKER_NOTE, Directory


def directory(order="<", maker_note=300):
    number = struct.pack(order + "H", 7)
    exif = {MAKER_NOTE: (7, b"note" * 30), 0x9003: (2, b"2020:01:02 03:04:05\0"), 0xA001: (3, number)}
    tags = {0x13B: (2, "Zoë".encode() + b"\0"), 0x112: (3, number), 0xC000: (12, struct.pack(order + "d", 1.5))}
    return Directory(order, tags | {EXIF: (4, exif)}, maker_note=maker_note)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("maker_note", [0, 300, 2000])
def test_a_block_comes_back_as_it_was(order, maker_note):
    block = metadata_tiff.to_bytes(directory(order, maker_note))
    found = metadata_tiff.parse(b"Exif\0\0" + block)
    assert (found.order, found.tags, found.damaged) == (order, directory(order).tags, 0)
    assert found.maker_note == maker_note or not maker_note
    assert metadata_tiff.to_bytes(found) == block
    assert found.values(0xC000).tolist() == [1.5]


@pytest.mark.parametrize("place", range(9, 60, 3))
def test_a_maker_note_never_lies_on_other_values(place):
    found = metadata_tiff.parse(metadata_tiff.to_bytes(directory(maker_note=place * 8)))
    assert (found.tags, found.damaged) == (directory().tags, 0)


def test_a_directory_that_holds_itself_ends():
    block = bytearray(metadata_tiff.to_bytes(Directory("<", {EXIF: (4, {EXIF: (4, {})})})))
    struct.pack_into("<L", block, 8 + 2 + 8, 8)
    assert metadata_tiff.parse(bytes(block)).damaged == 1


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0\0\0\0\0", b"MM\0*\xff\xff\xff\xff", b"\xff" * 40])
def test_what_is_no_directory_raises(data):
    with pytest.raises(ValueError, match="TIFF directory"):
        metadata_tiff.parse(data)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tags_are_added_to_tifffiles_files(big, byteorder):
    pixels = np.arange(5 * 7 * 3, dtype=np.uint16).reshape(5, 7, 3)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, bigtiff=big, byteorder=byteorder, photometric="rgb", metadata=None)
    metadata_tiff.add_tags(file, directory(">").tags, ">")
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        assert (tiff.asarray() == pixels).all()
        tags = tiff.pages[0].tags
        assert tags[0x13B].value == "Zoë"
        assert tags[0x112].value == 7
        assert tags[EXIF].value["DateTimeOriginal"] == "2020:01:02 03:04:05"
    found = metadata_tiff.parse(file)
    assert found.tags[EXIF][1][MAKER_NOTE] == (7, b"note" * 30)


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "tiff_lzw"])
def test_tags_are_added_to_each_page_of_pillows_files(compression):
    pages = [Image.new("RGB", (6, 4), (page, 0, 0)) for page in range(3)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], compression=compression)
    for page in (2, 0, 1):
        metadata_tiff.add_tags(file, {285: (2, f"page {page}".encode() + b"\0")}, "<", page=page)
    image = Image.open(file)
    assert image.n_frames == 3
    for page in range(3):
        image.seek(page)
        assert (image.tag_v2[285], image.getpixel((0, 0))) == (f"page {page}", (page, 0, 0))
    with pytest.raises(ValueError, match="no page 3"):
        metadata_tiff.add_tags(file, {}, "<", page=3)


def tiff(tags, **options):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, (kind, value) in tags.items():
        info.tagtype[tag] = kind
        info[tag] = value
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "TIFF", tiffinfo=info, **options)
    return file.getvalue()


def road(data, form="TIFF", scale=2, page=0):
    image = Image.open(io.BytesIO(data))
    image.seek(page)
    found = metadata.read(image)
    about = {"format": form, "mode": "RGB", "size": (8 * scale, 6 * scale), "scale": scale}
    options, lost = metadata.save_options(found, **about)
    file = io.BytesIO()
    Image.new("RGB", about["size"]).save(file, form, **options)
    metadata.finish(file, found, **about)
    return Image.open(file), lost


TEXTS = {
    269: "document",
    270: "description",
    285: "page one",
    305: "a scanner",
    306: "2020:01:02 03:04:05",
    316: "host",
}


@pytest.mark.parametrize("form", ["TIFF", "JPEG", "PNG", "WEBP"])
def test_texts_and_private_tags_of_a_tiff_stay(form):
    tags = {tag: (2, text) for tag, text in TEXTS.items()} | {65000: (12, (1.25, 2.5)), 318: (5, (0.3127, 0.329))}
    image, lost = road(tiff(tags), form)
    assert lost == ()
    exif = image.getexif()
    assert {tag: exif[tag] for tag in TEXTS} == TEXTS
    assert exif[65000] == (1.25, 2.5)
    assert image.size == (16, 12)


def test_a_tiff_of_a_scanner_keeps_its_resolution_in_its_own_unit():
    tags = {282: (5, 118.11), 283: (5, 59.055), 296: (3, 3)}
    image, lost = road(tiff(tags))
    assert [float(image.tag_v2[tag]) for tag in tags] == [pytest.approx(118.11), pytest.approx(59.055), 3]
    image, _ = road(tiff(tags), "PNG")
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert lost == ()


def test_a_geotiff_keeps_its_place_on_earth():
    keys = (1, 1, 0, 1, 1025, 0, 1, 1)  # PixelIsArea
    tags = {33550: (12, (10.0, 20.0, 0.0)), 33922: (12, (4.0, 3.0, 0.0, 500.0, 600.0, 0.0)), 34735: (3, keys)}
    tags |= {42113: (2, "-9999")}
    image, lost = road(tiff(tags))
    assert image.tag_v2[33550] == (5.0, 10.0, 0.0)
    assert image.tag_v2[33922] == (8.0, 6.0, 0.0, 500.0, 600.0, 0.0)
    assert (image.tag_v2[34735], image.tag_v2[42113], lost) == (keys, "-9999", ())
    # PixelIsPoint: (0, 0) is the middle of the first pixel, whose corner is (-0.5, -0.5).
    image, _ = road(tiff(tags | {34735: (3, (1, 1, 0, 1, 1025, 0, 1, 2))}))
    assert image.tag_v2[33922][:2] == (8.5, 6.5)
    assert road(tiff(tags), "PNG")[1] == ("georeference",)


def test_a_geotiffs_transformation_maps_each_corner_to_where_it_was():
    matrix = np.array([[2.0, 0.5, 0, 100], [0.25, -3, 0, 200], [0, 0, 0, 0], [0, 0, 0, 1]])
    for point in (1, 2):
        tags = {34264: (12, tuple(matrix.ravel())), 34735: (3, (1, 1, 0, 1, 1025, 0, 1, point))}
        image, _ = road(tiff(tags))
        new = np.array(image.tag_v2[34264]).reshape(4, 4)
        shift = 0.5 * (point == 2)
        for x, y in ((0, 0), (8, 6), (3, 5)):
            old = matrix @ [x - shift, y - shift, 0, 1]
            assert new @ [2 * x - shift, 2 * y - shift, 0, 1] == pytest.approx(old)


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({37724: (7, b"Adobe Photoshop Document Data Block\0")}, "Photoshop's layers"),
        ({270: (2, '<?xml version="1.0"?><OME xmlns="x"/>')}, "OME-XML"),
        ({270: (2, "ImageJ=1.53\nimages=3")}, "ImageJ's description"),
        ({50839: (1, b"IJIJ")}, "ImageJ's metadata"),
    ],
)
def test_tags_that_describe_the_old_pixels_are_named(tags, word):
    image, lost = road(tiff(tags))
    assert lost == (word,)
    assert not set(tags) & set(image.tag_v2)


def test_the_storage_of_the_old_file_does_not_reach_the_new_one():
    data = tiff({}, compression="tiff_lzw")
    image, lost = road(data)
    assert (image.info["compression"], lost) == ("raw", ())
    assert 259 not in road(data, "JPEG")[0].getexif()


def test_each_page_has_its_own():
    pages = [Image.new("RGB", (8, 6)) for _ in range(2)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    for page in range(2):
        metadata_tiff.add_tags(file, {285: (2, f"page {page}".encode() + b"\0")}, "<", page=page)
    assert [road(file.getvalue(), page=page)[0].tag_v2[285] for page in range(2)] == ["page 0", "page 1"]


def test_a_turned_tiff_is_turned_once():
    image, lost = road(tiff({274: (3, 6), 33550: (12, (1.0, 1.0, 0.0))}))
    assert image.tag_v2.get(274, 1) == 1
    assert (33550 in image.tag_v2, lost) == (False, ("georeference",))


def test_rational_polynomial_coefficients_are_of_the_larger_pixels():
    # ERR_BIAS, ERR_RAND, LINE_OFF, SAMP_OFF, LAT_OFF, LONG_OFF, HEIGHT_OFF, LINE_SCALE, SAMP_SCALE, ...
    values = [1.0, 2, 10, 20, 30, 40, 50, 100, 200, 5, *range(82)]
    image, lost = road(tiff({50844: (12, tuple(values))}))
    values[2:4], values[7:9] = [20.5, 40.5], [200, 400]
    assert image.tag_v2[50844] == tuple(values)
    assert lost == ()
