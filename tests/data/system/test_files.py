import errno
import fcntl
import json
import os
import pathlib
import resource
import stat

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError


def test_the_name_is_taken_at_the_end(tmp_path):
    path = tmp_path / "deeper" / "a.png"
    with files.atomic_write(path) as partial:
        partial.write_text("new")
        assert partial.suffix == ".png"
        assert files.is_temporary(partial)
        assert not files.is_temporary(path)
        assert not path.exists()
    assert path.read_text() == "new"
    assert [*path.parent.iterdir()] == [path]


def test_after_an_error_the_old_file_stays_alone(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")

    def fill_the_disk():
        with files.atomic_write(path) as partial:
            partial.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_to_write_must_lie_outside_the_one_that_is_read(tmp_path):
    files.check_outside(tmp_path / "photos2", tmp_path / "photos")
    files.check_outside(tmp_path, tmp_path / "photos")
    for inside in (tmp_path / "photos", tmp_path / "photos" / "sr"):
        with pytest.raises(ValueError, match=r"lies in .*photos, whose images are read; name a folder outside it"):
            files.check_outside(inside, tmp_path / "photos")


def test_text_json_and_checksums(tmp_path):
    files.write_text(tmp_path / "new/a.txt", "abc")
    # FIPS 180-2's example.
    assert files.sha256(tmp_path / "new/a.txt") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    files.write_json(tmp_path / "a.json", {"a": [1.5, float("nan")], "b": (float("inf"), None)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": [None, None]}


def temporary_name(path):
    with files.atomic_write(path) as temporary:
        return temporary.name


def test_two_processes_of_one_number_do_not_share_a_temporary_file(tmp_path, monkeypatch):
    """On a disk shared by hosts or containers, a process number names several processes."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    assert temporary_name(tmp_path / "a.pixels") != temporary_name(tmp_path / "a.pixels")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
    with files.atomic_write(tmp_path / "a.pixels"), pytest.raises(FileExistsError):
        temporary_name(tmp_path / "a.pixels")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.0123456789abcdef.tmp.png", True),
        ("lock.0123456789abcdef.tmp", True),
        ("a.31415.tmp.h5", True),  # as versions before wrote
        ("a.png", False),
        ("a.tmp.png", False),
        ("a.2.png", False),
        ("a.name.tmp.png", False),
    ],
)
def test_leftovers_of_killed_processes_are_known(name, expected):
    assert files.is_temporary(name) == expected


def test_names_without_a_suffix(tmp_path):
    with files.atomic_write(tmp_path / "lock") as temporary:
        assert files.is_temporary(temporary)
        temporary.write_text("x")
    assert (tmp_path / "lock").read_text() == "x"


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """fsync of what holds a new folder, of the content, then the name, then fsync of the folder that holds the name."""
    done = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(handle):
        path = pathlib.Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append(("sync", "temporary" if files.is_temporary(path) else path.name, path.is_dir() or path.read_text()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: done.append(("name", b.name)) or replace(a, b))
    files.write_text(tmp_path / "folder/a.txt", "all of it")
    assert done == [("sync", tmp_path.name, True), ("sync", "temporary", "all of it"), ("name", "a.txt"),
                    ("sync", "folder", True)]  # fmt: skip
    done.clear()
    files.write_text(tmp_path / "folder/a.txt", "once more")
    assert done == [("sync", "temporary", "once more"), ("name", "a.txt"), ("sync", "folder", True)]


def test_a_lock_is_one_process_alone(tmp_path):
    (tmp_path / "lock").write_text("7\nanother host\n")  # what is in the file means nothing
    with files.locked(tmp_path / "lock", "taken"):
        with pytest.raises(UserError, match="taken"), files.locked(tmp_path / "lock", "taken"):
            pass
        (tmp_path / "lock").unlink()
        with files.locked(tmp_path / "lock", "taken"):  # another file by now
            pass
    with files.locked(tmp_path / "lock", "taken"):
        pass


def test_a_lock_that_its_owner_removes_is_no_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / "lock").unlink())
    with pytest.raises(UserError, match="taken"), files.locked(tmp_path / "lock", "taken"):
        pass


def test_a_disk_without_locks(tmp_path, monkeypatch, caplog):
    def absent(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", absent)
    with files.locked(tmp_path / "lock", "taken"):
        assert "can't be locked (Function not implemented): see that no other run works there" in caplog.text


@pytest.mark.parametrize("form", ["BMP", "JPEG", "TIFF", "PPM", "GIF", "WEBP", "PNG"])
def test_a_disk_that_takes_a_part_of_a_write(tmp_path, form):
    """Limits of a file's size as near to its end as a write's: no encoder takes a part for all."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))
    with files.WholeWrites(tmp_path / "whole") as file:
        image.save(file, form)
    size = (tmp_path / "whole").stat().st_size
    image.save(tmp_path / "plain", form)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "plain").read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for less in (1, 100, size - 100):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - less, before[1]))
        try:
            with pytest.raises(OSError, match="too large"), files.WholeWrites(tmp_path / f"less{less}") as file:
                image.save(file, form)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "é" * 125 + ".png", "a" * 40 + ".b", "\udcff" * 200 + ".tif"])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path, name):
    with files.atomic_write(tmp_path / name) as temporary:
        assert files.is_temporary(temporary)
        assert temporary.suffix == (tmp_path / name).suffix
        assert len(os.fsencode(temporary.name)) <= max(41, len(os.fsencode(name)))
        temporary.write_text("new")
    assert (tmp_path / name).read_text() == "new"


def test_printable_names_are_one_line():
    assert files.printable(pathlib.Path("é/a b.png")) == "é/a b.png"
    assert files.printable("\udcff\n\x1b[31m.png") == "??" + "?[31m.png"
