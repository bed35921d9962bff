import io

import pytest
from PIL import Image

from keras_rfdn.data.system.errors import UserError
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
    found = list(check_corpora_mutants.every(seeds))
    assert found[:5] == [
        ("cut0", "a.png", b""), ("cut1", "a.png", b"a"), ("cut2", "a.png", b"ab"),
        ("cut0", "b.jpg", b""), ("cut1", "b.jpg", b"d"),
    ]  # fmt: skip
    assert len(found) == 5 + check_corpora_mutants.FLIPPED
    assert found == list(check_corpora_mutants.every(seeds))
    assert all(len(content) == len(seeds[name]) for _, name, content in found[5:])


def test_half_of_the_drawn_mutants_are_cut_and_many_near_a_large_files_ends(rng):
    seeds = {"a.pth": rng.bytes(100_000)}
    found = list(check_corpora_mutants.drawn(seeds, 400))
    assert found == list(check_corpora_mutants.drawn(seeds, 400))
    cut = [content for change, _, content in found if change.startswith("cut")]
    assert len(cut) == 200
    assert all(seeds["a.pth"].startswith(content) and len(content) < 100_000 for content in cut)
    ends = sum(min(len(content), 100_000 - len(content)) <= check_corpora_mutants.ENDS for content in cut)
    assert 70 < ends < 140
    for change, _, content in found:
        if change.startswith("flip"):
            assert 1 <= sum(a != b for a, b in zip(content, seeds["a.pth"], strict=True)) <= 4


def test_mutants_of_files_keep_what_belongs_to_them(tmp_path):
    (tmp_path / "in").mkdir()
    for name, content in {"net.bin": b"12345", "net.param": b"767", "empty.pth": b""}.items():
        (tmp_path / "in" / name).write_bytes(content)
    (tmp_path / "out").mkdir()
    paths = check_corpora_mutants.write_of(sorted((tmp_path / "in").iterdir()), tmp_path / "out", 20)
    assert len(paths) == 20
    assert {path.name for path in paths} == {"net.bin", "net.param"}
    for path in paths:
        assert path.read_bytes() != (tmp_path / "in" / path.name).read_bytes()
        (other,) = {"net.bin", "net.param"} - {path.name}
        assert (path.parent / other).read_bytes() == (tmp_path / "in" / other).read_bytes()
    with pytest.raises(UserError, match="no file to make mutants of"):
        check_corpora_mutants.write_of([tmp_path / "in/empty.pth"], tmp_path / "out", 1)
