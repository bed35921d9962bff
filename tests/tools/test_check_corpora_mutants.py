import io

from PIL import Image

from keras_rfdn.imaging import image_formats
from tools import check_corpora_mutants


def test_seeds_are_readable_images_of_all_formats_that_are_written():
    seeds = check_corpora_mutants.seeds()
    found = set()
    for name, content in seeds.items():
        if name != "deep_alpha.tif":  # which tifffile reads
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                found.add(image.format)
    assert found >= image_formats.FORMATS.keys()
    assert all(len(content) < 2500 for content in seeds.values())


def test_mutants_are_all_cuts_and_the_same_flips():
    seeds = {"a.png": b"abc", "b.jpg": b"de"}
    found = list(check_corpora_mutants.mutants(seeds))
    assert found[:5] == [
        ("cut0_a.png", b""), ("cut1_a.png", b"a"), ("cut2_a.png", b"ab"), ("cut0_b.jpg", b""), ("cut1_b.jpg", b"d"),
    ]  # fmt: skip
    assert len(found) == 5 + check_corpora_mutants.FLIPPED
    assert found == list(check_corpora_mutants.mutants(seeds))
    assert all(len(content) == len(seeds[name.split("_")[1]]) for name, content in found[5:])
    few = list(check_corpora_mutants.mutants(seeds, 40))
    assert len(few) == 40
    assert set(few) < set(found)
