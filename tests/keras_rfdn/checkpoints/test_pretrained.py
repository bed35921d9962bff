import shutil
import subprocess

import pytest

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.networks.config import name_of


def test_every_file_is_whole_small_and_described():
    files = {path.name for path in pretrained.FOLDER.iterdir()} - {pretrained.CHECKSUMS}
    weights = {f"{name}{suffix}" for name in pretrained.names() for suffix in (".h5", "_int8.tflite")}
    pages = {f"{name}{suffix}" for name in pretrained.names() for suffix in (".md", ".png", "_samples.png")}
    assert files == weights | pages
    assert pretrained.checksums().keys() == weights
    assert all((pretrained.FOLDER / name).stat().st_size < 3e6 for name in files)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_checksums_are_what_sha256sum_takes():
    subprocess.run(["sha256sum", "--check", "--strict", pretrained.CHECKSUMS], cwd=pretrained.FOLDER, check=True)


@pytest.mark.parametrize("name", pretrained.names())
def test_names_say_what_is_inside(name):
    config, facts = checkpoint.about(pretrained.FOLDER / f"{name}.h5")
    assert f"{name_of(config)}-x{config.scale}" == name
    card = " ".join((pretrained.FOLDER / f"{name}.md").read_text().split())
    assert (f"those of update {facts['step']:,} of" if facts["step"] else "those that it starts from:") in card


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    (tmp_path / "e-rfdn-x4.h5").write_bytes(b"weights")
    (tmp_path / pretrained.CHECKSUMS).write_text("0" * 64 + "  e-rfdn-x4.h5\n")
    with pytest.raises(ValueError, match=r"e-rfdn-x4\.h5 is not the file that was shipped"):
        pretrained.find()
    with pytest.raises(ValueError, match=r"no weights of e-rfdn-x2 are shipped, only e-rfdn-x4"):
        pretrained.find(scale=2)
