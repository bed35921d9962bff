import pytest

from keras_rfdn.checkpoints import formats


def test_a_file_of_no_known_format_is_refused(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(1, 200)))
    with pytest.raises(ValueError, match=r"weights.bin is no weight file of a known format; .* PyTorch"):
        formats.read(path)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"no file at .*absent\.pth"):
        formats.read(tmp_path / "absent.pth")
