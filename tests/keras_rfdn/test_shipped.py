import shutil
import subprocess

import pytest

from keras_rfdn import checkpoint, recipes, shipped
from keras_rfdn.config import name_of


def test_every_file_is_whole_small_and_described():
    files = {path.name for path in shipped.FOLDER.iterdir()} - {shipped.CHECKSUMS}
    weights = {f"{name}{suffix}" for name in shipped.names() for suffix in (".h5", "_int8.tflite")}
    pages = {f"{name}{suffix}" for name in shipped.names() for suffix in (".md", ".png")}
    assert files == weights | pages
    assert shipped.checksums().keys() == weights
    assert all((shipped.FOLDER / name).stat().st_size < 3e6 for name in files)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_checksums_are_what_sha256sum_takes():
    subprocess.run(["sha256sum", "--check", "--strict", shipped.CHECKSUMS], cwd=shipped.FOLDER, check=True)


@pytest.mark.parametrize("name", shipped.names())
def test_names_say_what_is_inside(name):
    config, facts = checkpoint.about(shipped.FOLDER / f"{name}.h5")
    assert f"{name_of(config)}-x{config.scale}" == name
    row = recipes.RECIPES[f"shipped-{name}"]
    assert (row.variant, row.scale) == (name_of(config), config.scale)
    assert 0 < facts["step"] <= row.steps


def test_make_reproduce_trains_them_all_after_what_they_start_from(root):
    (line,) = (line for line in (root / "Makefile").read_text().splitlines() if line.startswith("SHIPPED := "))
    trained = [f"shipped-{name}" for name in line.split()[2:]]
    assert sorted(trained) == [f"shipped-{name}" for name in shipped.names()]
    assert set(trained) == {name for name in recipes.RECIPES if name.startswith("shipped-")}
    for i, name in enumerate(trained):
        assert recipes.RECIPES[name].starts_from in (None, *trained[:i])


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    (tmp_path / "e-rfdn-x4.h5").write_bytes(b"weights")
    (tmp_path / shipped.CHECKSUMS).write_text("0" * 64 + "  e-rfdn-x4.h5\n")
    with pytest.raises(ValueError, match=r"e-rfdn-x4\.h5 is not the file that was shipped"):
        shipped.find()
    with pytest.raises(ValueError, match=r"no weights of e-rfdn-x2 are shipped, only e-rfdn-x4"):
        shipped.find(scale=2)
