import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds
from absl import logging

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import div2k
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system import progress


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr(div2k.urllib.request, "getproxies", dict)
    monkeypatch.setattr(div2k.socket, "getaddrinfo", lambda *_: [])


@pytest.fixture
def hr_images(rng):
    """Two training images and a validation one; 3 does not divide their sides."""
    return {
        split: [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]
        for split, sizes in {"train": [(16, 20), (32, 16)], "validation": [(20, 28)]}.items()
    }


@pytest.fixture
def small_div2k(monkeypatch, hr_images):
    """tensorflow-datasets' own div2k with these images in place of the downloaded files."""

    def examples(builder, pairs):
        scale = int(builder.builder_config.name[-1])
        for i, hr in enumerate(pairs):
            # DIV2K's own LR images are as large as the HR image holds whole pixels, and one more here.
            padded = np.pad(hr, [(0, -hr.shape[0] % scale), (0, -hr.shape[1] % scale), (0, 0)], "edge")
            yield f"{i:04d}", {"hr": hr, "lr": bicubic.downscale(padded, scale)}

    builder = tfds.builder_cls("div2k")
    monkeypatch.setattr(
        builder, "_split_generators", lambda self, _: {k: examples(self, v) for k, v in hr_images.items()}
    )


@pytest.mark.usefixtures("small_div2k")
@pytest.mark.parametrize("scale", [3, 4])
def test_pairs_by_way_of_real_records(tmp_path, hr_images, scale):
    pairs = div2k.load(scale, "train", data_dir=tmp_path)
    assert len(pairs) == 2
    found = {hr.shape: (lr, hr) for _, lr, hr in pairs}
    for image in hr_images["train"]:
        hr_wanted = bicubic.modcrop(image, scale)
        lr, hr = found[hr_wanted.shape]
        np.testing.assert_array_equal(hr, hr_wanted)
        # Away from the pixels that were padded to make the larger LR image.
        np.testing.assert_array_equal(lr[:-2, :-2], bicubic.downscale(hr_wanted, scale)[:-2, :-2])
        assert lr.shape == (hr.shape[0] // scale, hr.shape[1] // scale, 3)


@pytest.mark.usefixtures("small_div2k")
def test_sources_are_the_two_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))  # where TFDS_DATA_DIR was read
    train, valid = pipeline.sources("div2k", 4)
    assert (len(train), len(valid)) == (2, 1)
    assert [name for name, _, _ in valid] == ["validation_0000"]
    assert [name for name, _, _ in train] == ["train_0000", "train_0001"]
    assert train.fingerprint() != valid.fingerprint()
    memory = pipeline.cache(train)
    for a, b in zip(memory, pipeline.cache(train, tmp_path / "cache"), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.usefixtures("small_div2k")
def test_a_download_says_what_is_there_already(tmp_path, monkeypatch, capfd):
    lines, said = [], threading.Event()
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(logging, "info", lambda form, *words, **_: lines.append(form % words) or said.set())
    prepare = tfds.core.DatasetBuilder.download_and_prepare
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda self: said.wait(60) and prepare(self))
    (tmp_path / "downloads").mkdir()
    with open(tmp_path / "downloads/a.zip", "wb") as file:
        file.truncate(2_500_000_000)
    div2k.load(4, "train", data_dir=tmp_path)
    said_of_it = [line for line in lines if line.startswith("DIV2K: ")]
    assert said_of_it[0] == "DIV2K: 2.5 GB of downloads, unpacked images and records, 0:00:00 so far"
    assert capfd.readouterr().err == ""  # no bars
    count = len(lines)
    div2k.load(4, "train", data_dir=tmp_path)
    assert not [line for line in lines[count:] if line.startswith("DIV2K: ")]


def test_without_a_network_nothing_is_tried(monkeypatch, tmp_path):
    def fail(*_):
        raise OSError("name not known")

    monkeypatch.setattr(div2k.socket, "getaddrinfo", fail)
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: pytest.fail("tried"))
    with pytest.raises(ValueError, match=r"could not be downloaded \(OSError: name not known\)"):
        div2k.load(4, "train", data_dir=tmp_path)


def test_a_failed_download_tells_the_ways_out(monkeypatch, tmp_path):
    def fail(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", fail)
    with pytest.raises(ValueError, match="no route to host") as caught:
        div2k.load(4, "train", data_dir=tmp_path)
    for way_out in (str(tmp_path), "TFDS_DATA_DIR", "a folder with DIV2K_train_HR", '"sample"'):
        assert way_out in str(caught.value)
