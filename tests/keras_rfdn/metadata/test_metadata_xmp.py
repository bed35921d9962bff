import pytest

from keras_rfdn.metadata import metadata_xmp

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def packet(attributes="", content="", **namespaces):
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in namespaces.items())
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description {spaces} {attributes}>{content}'
    return f"{text}</rdf:Description></rdf:RDF></x:xmpmeta>".encode()


def fit(data, orientation=1):
    result, lost = metadata_xmp.fit(data, size=(40, 20), scale=2, orientation=orientation)
    return result.decode(), lost


@pytest.mark.parametrize("prefix", ["tiff", "t0"])
def test_sizes_and_orientation_by_namespace(prefix):
    data = packet(
        f'{prefix}:Orientation="6" {prefix}:ImageWidth="20"',
        f"<{prefix}:ImageLength> 10 </{prefix}:ImageLength><e:PixelXDimension>20</e:PixelXDimension>",
        **{prefix: metadata_xmp.TIFF, "e": metadata_xmp.EXIF},
    )
    assert metadata_xmp.orientation_of(data) == 6
    text, lost = fit(data)
    assert f'{prefix}:Orientation="1" {prefix}:ImageWidth="40"' in text
    assert f"<{prefix}:ImageLength> 20 </{prefix}:ImageLength>" in text
    assert "<e:PixelXDimension>40</e:PixelXDimension>" in text
    assert lost == []


def test_other_names_stay_as_they_are():
    data = packet('my:Orientation="6" my:PixelXDimension="3"', "<my:Thumbnails>a</my:Thumbnails>", my="http://my/")
    assert fit(data) == (data.decode(), [])


def test_thumbnails_go():
    text, lost = fit(packet("", "<xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails>", xmp=metadata_xmp.XMP))
    assert ("AAAA" in text, "Thumbnails" in text, lost) == (False, False, [])


def test_a_panorama_keeps_its_place():
    data = packet(
        'G:FullPanoWidthPixels="8000" G:CroppedAreaLeftPixels="10" G:ProjectionType="equirectangular"',
        "<G:CroppedAreaTopPixels>7</G:CroppedAreaTopPixels>",
        G=metadata_xmp.PANORAMA,
    )
    text, _ = fit(data)
    assert 'G:FullPanoWidthPixels="16000" G:CroppedAreaLeftPixels="20" G:ProjectionType="equirectangular"' in text
    assert "<G:CroppedAreaTopPixels>14</G:CroppedAreaTopPixels>" in text


def test_pointers_to_a_video_or_gain_map_that_are_lost_go():
    data = packet(
        'C:MotionPhoto="1" C:MicroVideoOffset="99" C:Other="x" h:Version="1.0"',
        '<K:Directory><rdf:Seq><rdf:li K:Item="a"/></rdf:Seq></K:Directory>',
        C=metadata_xmp.CAMERA,
        h=metadata_xmp.GAIN_MAP,
        K=metadata_xmp.CONTAINER,
    )
    text, _ = fit(data)
    assert "Motion" not in text
    assert "MicroVideo" not in text
    assert "h:Version" not in text
    assert "Directory" not in text
    assert 'C:Other="x"' in text


FACE = (
    '<mwg:Regions><mwg:AppliedToDimensions d:w="20" d:h="10" d:unit="pixel"/><mwg:Area a:x="0.25" a:y="0.1" a:w="0.2" '
)
FACE += 'a:h="0.06"/></mwg:Regions>'
SPACES = {
    "mwg": "http://www.metadataworkinggroup.com/schemas/regions/",
    "d": metadata_xmp.DIMENSIONS,
    "a": metadata_xmp.AREA,
}


@pytest.mark.parametrize(
    ("orientation", "area"),
    [
        (1, 'a:x="0.25" a:y="0.1" a:w="0.2" a:h="0.06"'),
        (3, 'a:x="0.750000" a:y="0.900000" a:w="0.200000" a:h="0.060000"'),
        (6, 'a:x="0.900000" a:y="0.250000" a:w="0.060000" a:h="0.200000"'),
        (8, 'a:x="0.100000" a:y="0.750000" a:w="0.060000" a:h="0.200000"'),
    ],
)
def test_faces_stay_on_their_faces(orientation, area):
    text, _ = fit(packet("", FACE, **SPACES), orientation)
    assert area in text
    assert 'd:w="40" d:h="20" d:unit="pixel"' in text


def test_the_subjects_place_is_named():
    data = packet("", "<e:SubjectArea><rdf:Seq><rdf:li>3</rdf:li></rdf:Seq></e:SubjectArea>", e=metadata_xmp.EXIF)
    text, lost = fit(data)
    assert ("SubjectArea" in text, lost) == (False, ["the subject's place in XMP"])


def test_bytes_that_are_no_utf_8_stay():
    data = packet("", "\0").replace(b"\0", b"\xe9\xff")
    assert metadata_xmp.fit(data, size=(2, 2), scale=2)[0] == data


def test_utf_16_is_read():
    data = packet('tiff:Orientation="8"', tiff=metadata_xmp.TIFF).decode().encode("utf-16")
    assert metadata_xmp.orientation_of(data) == 8
    assert b'tiff:Orientation="1"' in metadata_xmp.fit(data, size=(2, 2), scale=2)[0]
