import pytest

from keras_rfdn.data.system import files


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
