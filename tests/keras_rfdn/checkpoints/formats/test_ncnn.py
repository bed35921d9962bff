"""Reading ncnn's networks, written here by its rules: a mark before each kernel, numbers padded to whole words."""

import struct

import numpy as np
import pytest

from keras_rfdn.checkpoints import formats

FIRST = np.arange(9, dtype=np.float16).reshape(1, 1, 3, 3)  # 18 bytes, padded to 20
SECOND = np.arange(12, dtype=np.float32).reshape(2, 1, 2, 3) - 5
TEXT = """7767517
4 4
Input a 0 1 a
Convolution first 1 1 a b 0=1 1=3 4=1 5=1 6=9 9=1
Convolution second 1 1 b c 0=2 1=3 11=2 6=12
PixelShuffle output 1 1 c output 0=2
"""
HALF, WHOLE = struct.pack("<I", 0x01306B47), struct.pack("<I", 0)
BINARY = HALF + FIRST.tobytes() + b"\0\0" + struct.pack("<f", 0.25) + WHOLE + SECOND.tobytes()


def write(folder, text=TEXT, binary=BINARY):
    (folder / "n.param").write_text(text)
    (folder / "n.bin").write_bytes(binary)


@pytest.mark.parametrize("name", ["n.param", "n.bin"])
def test_weights_come_back(tmp_path, name):
    write(tmp_path)
    state = formats.read(tmp_path / name)
    assert list(state) == ["first.weight", "first.bias", "second.weight"]
    np.testing.assert_array_equal(state["first.weight"], FIRST.astype(np.float32), strict=True)
    np.testing.assert_array_equal(state["first.bias"], np.array([0.25], np.float32), strict=True)
    np.testing.assert_array_equal(state["second.weight"], SECOND, strict=True)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"binary": BINARY[:-1]}, "buffer is smaller"),
        ({"binary": BINARY[:20]}, ""),
        ({"binary": BINARY + WHOLE}, "take 80 bytes of 84"),
        ({"binary": BINARY.replace(HALF, struct.pack("<I", 0x000D4B38))}, "32 or 16 bits, got mark 0xd4b38 at first"),
        ({"text": TEXT.replace("6=9", "")}, "'6'"),
        ({"text": TEXT.replace("6=12", "6=13")}, "buffer is smaller|reshape"),
        ({"text": TEXT.replace("Convolution second", "InnerProduct second")}, "take 28 bytes of 80"),
    ],
)
def test_what_is_damaged_or_of_another_kind_is_refused(tmp_path, changes, what):
    write(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"n\.param and n\.bin are not a network as ncnn writes it \(.*({what})"):
        formats.read(tmp_path / "n.bin")


def test_one_file_alone_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "n.bin").rename(tmp_path / "other.bin")
    with pytest.raises(ValueError, match=r"two files: need .*n\.bin beside .*n\.param"):
        formats.read(tmp_path / "n.param")
    with pytest.raises(ValueError, match="no weight file of a known format"):
        formats.read(tmp_path / "other.bin")
