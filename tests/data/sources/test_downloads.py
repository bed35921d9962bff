import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import checksums, resource

from keras_rfdn import prepare
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import div2k, downloads

SCALE = 4
SPLITS = {"train": range(1, 4), "valid": range(801, 803)}
RECORDS = [["train records", "3 of 3"], ["validation records", "2 of 2"]]


@pytest.fixture
def small_div2k(monkeypatch, tmp_path, rng):
    """DIV2K of three and two small images: four zip files in tmp_path/zips that tensorflow-datasets knows."""
    for split, numbers in SPLITS.items():
        with (
            zipfile.ZipFile(_zip(tmp_path, f"DIV2K_{split}_HR"), "w") as hr_zip,
            zipfile.ZipFile(_zip(tmp_path, f"DIV2K_{split}_LR_bicubic_X4"), "w") as lr_zip,
        ):
            for number in numbers:
                hr = rng.integers(0, 256, (32, 48, 3), np.uint8)
                _add(hr_zip, f"DIV2K_{split}_HR/{number:04d}.png", hr)
                _add(lr_zip, f"DIV2K_{split}_LR_bicubic/X4/{number:04d}x4.png", bicubic.downscale(hr, SCALE))
    monkeypatch.setattr(tfds.builder_cls("div2k"), "url_infos", {url: _info(tmp_path, url) for url in _urls()})
    monkeypatch.setattr(div2k, "NUMBERS", {f"DIV2K_{split}_HR": numbers for split, numbers in SPLITS.items()})
    monkeypatch.setattr(div2k.urllib.request, "getproxies", dict)
    monkeypatch.setattr(div2k.socket, "getaddrinfo", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr(tfds.download.DownloadManager, "_download", _no_network)
    (tmp_path / "downloads").mkdir()
    return tmp_path


@pytest.fixture
def default_folder(monkeypatch):
    """default_folder(path): as if TFDS_DATA_DIR had named it when tensorflow-datasets was imported."""
    return lambda path: monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(path))


def _no_network(_, resource):
    raise ConnectionError(f"would download {resource.url.rsplit('/', 1)[1]}")


def _zip(folder, name):
    path = folder / "zips" / f"{name}.zip"
    path.parent.mkdir(exist_ok=True)
    return path


def _add(archive, name, pixels):
    with archive.open(name, "w") as file:
        Image.fromarray(pixels).save(file, "PNG")


def _urls():
    return tfds.builder_cls("div2k").builder_configs[f"bicubic_x{SCALE}"].download_urls.values()


def _info(folder, url):
    return checksums.compute_url_info(folder / "zips" / url.rsplit("/", 1)[1])


def by_hand(folder):
    """Put the zip files where a user may; returns that folder."""
    return (folder / "zips").rename(folder / "downloads/manual")


def downloaded(folder):
    """Put the zip files where tensorflow-datasets does, with its .INFO files; returns the first."""
    (folder / "downloads/div2k").mkdir()
    paths = []
    for url, info in downloads.archives(SCALE).items():
        path = folder / "downloads/div2k" / resource.get_dl_fname(url, info.checksum)
        (folder / "zips" / info.filename).rename(path)
        resource.write_info_file(url, path, "div2k", info.filename, info)
        paths.append(path)
    return paths[0]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def load(folder):
    return div2k.load(SCALE, "train", data_dir=folder)


@pytest.mark.parametrize("put", [by_hand, downloaded])
def test_zip_files_that_are_there_are_taken(small_div2k, put, default_folder):
    put(small_div2k)
    assert [state for _, state in downloads.check(SCALE, small_div2k).rows] == ["not there yet", *["undamaged"] * 4]
    default_folder(small_div2k)
    found = prepare.main(prepare.PrepareConfig("div2k", download=True))
    assert (found.rows, found.problems, found.notes) == (RECORDS, [], [])
    assert [(lr.shape, hr.shape) for _, lr, hr in load(small_div2k)] == [((8, 12, 3), (32, 48, 3))] * 3


def test_before_the_first_download(small_div2k):
    found = downloads.check(SCALE, small_div2k / "fresh")
    assert [state for _, state in found.rows] == ["not there yet"] * 5
    assert found.problems == []
    assert not (small_div2k / "fresh").exists()


def test_the_sizes_that_are_published():
    # tensorflow-datasets' checksums.tsv: 3,530,603,713 + 448,993,893 + 246,914,039 + 31,505,881 bytes at x4.
    assert sum(int(info.size) for info in downloads.archives(4).values()) == 4_258_017_526


def test_a_truncated_download_is_trusted_until_it_is_deleted(small_div2k):
    path = downloaded(small_div2k)
    truncate(path)
    with pytest.raises(ValueError, match=r"(?s)ExtractError.*keras_rfdn\.prepare div2k says which file to delete"):
        load(small_div2k)
    (problem,) = downloads.check(SCALE, small_div2k).problems
    assert "cut short" in problem
    assert problem.endswith(f"Delete it and {path.name}.INFO; the next run downloads it again")
    path.unlink()
    resource.get_info_path(path).unlink()
    with pytest.raises(ValueError, match=r"would download DIV2K_train_LR_bicubic_X4\.zip"):
        load(small_div2k)


def test_an_altered_download_is_found(small_div2k):
    path = downloaded(small_div2k)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    (problem,) = downloads.check(SCALE, small_div2k).problems
    assert "its size but not its checksum" in problem


def test_a_download_without_info_is_not_taken(small_div2k):
    path = downloaded(small_div2k)
    resource.get_info_path(path).unlink()
    with pytest.raises(ValueError, match=r"would download DIV2K_train_LR_bicubic_X4\.zip"):
        load(small_div2k)
    found = downloads.check(SCALE, small_div2k)
    assert found.problems == []
    assert f"rename it to {small_div2k / 'downloads/manual/DIV2K_train_LR_bicubic_X4.zip'}" in found.notes[0]
    manual = small_div2k / "downloads/manual"
    manual.mkdir(exist_ok=True)
    path.rename(manual / "DIV2K_train_LR_bicubic_X4.zip")
    assert len(load(small_div2k)) == 3


def test_a_file_put_there_by_hand_is_checked(small_div2k):
    path = by_hand(small_div2k) / "DIV2K_train_HR.zip"
    truncate(path)
    with pytest.raises(ValueError, match=r"(?s)NonMatchingChecksumError.*replaced the file: unpack it yourself"):
        load(small_div2k)
    (problem,) = downloads.check(SCALE, small_div2k).problems
    assert problem.startswith(str(path))


def test_images_missing_from_what_was_unpacked(small_div2k):
    path = downloaded(small_div2k)  # the LR images of training
    load(small_div2k)
    (small_div2k / f"div2k/bicubic_x{SCALE}").rename(
        small_div2k / "records"
    )  # so that it is unpacked, but not prepared
    unpacked = small_div2k / f"downloads/extracted/ZIP.{path.name}"
    next(unpacked.rglob("*.png")).unlink()
    (problem,) = downloads.check(SCALE, small_div2k).problems
    assert problem == f"{unpacked} holds 2 images of 3. Delete it; the next run unpacks it again"
    assert len(load(small_div2k)) == 2  # and nothing would have been said


def test_truncated_records(small_div2k, default_folder):
    by_hand(small_div2k)
    load(small_div2k)
    (records,) = (small_div2k / f"div2k/bicubic_x{SCALE}").rglob("*train*tfrecord*")
    truncate(records)
    default_folder(small_div2k)
    with pytest.raises(ValueError, match="div2k is not ready for training"):
        prepare.main(prepare.PrepareConfig("div2k"))
    (problem,) = downloads.check(SCALE, small_div2k).problems
    assert "2 of 3 train images can be read (DataLossError)" in problem


def test_what_stopped_runs_left_is_named(small_div2k):
    left = [
        small_div2k / "downloads/div2k/a.zip.tmp.0123/DIV2K_train_HR.zip",
        small_div2k / "downloads/extracted/incomplete.4567_ZIP.a.zip/0001.png",
        small_div2k / "div2k/bicubic_x4/incomplete.89_2.0.0/a.tfrecord",
    ]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(10))
    notes = downloads.check(SCALE, small_div2k).notes
    for path in left:
        assert sum(f"{path.parent} (0.0 GB): left by a run that was stopped" in note for note in notes) == 1


def test_unpacked_images_are_no_download_folder(small_div2k):
    (small_div2k / "DIV2K_train_HR").mkdir()
    with pytest.raises(ValueError, match=r"images unpacked already; name that folder as the data"):
        load(small_div2k)
