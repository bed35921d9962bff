import zipfile

from keras_rfdn.data.sources import checks


def truncate(path, size=200):
    path.write_bytes(path.read_bytes()[:size])


def check(folder, **settings):
    return checks.check_folder(folder, **{"scale": 4, "patch": 4} | settings)


def test_lr_images_of_another_scale_are_made(benchmark_set):
    found = check(benchmark_set, scale=2)
    assert found.rows == [["HR", 3, "", "made by bicubic", 0, 0, 0]]
    assert found.notes == [f"{benchmark_set}: LR_bicubic holds LR images of x4 only; those of x2 are made by bicubic"]


def test_every_broken_file_is_named(benchmark_set, save_noise):
    truncate(benchmark_set / "HR/a.png")
    truncate(benchmark_set / "LR_bicubic/X4/ax4.png", 40)
    (benchmark_set / "LR_bicubic/X4/bx4.png").unlink()
    save_noise(benchmark_set / "LR_bicubic/X4/cx4.png", 8, 12)
    save_noise(benchmark_set / "HR/d.png", 3, 30)
    save_noise(benchmark_set / "LR_bicubic/X4/dx4.png", 1, 7)
    found = check(benchmark_set)
    assert found.rows == [["HR", 4, "", 3, 2, 2, 0]]
    for wanted in (
        r"lacks the LR images of b:",
        r"HR/a.png is not a readable image",
        r"X4/ax4.png is not a readable image",
        r"cx4.png is 8x12, but x4 of c.png needs 4x6",
        r"d.png is smaller than 4 pixels",
    ):
        assert sum(wanted in problem for problem in found.problems) == 1, wanted
    assert len(found.problems) == 5
    assert found.notes == ["HR: with skip_broken training leaves out what is unreadable"]


def test_images_that_div2k_lacks(tmp_path, save_noise):
    for number in (1, 2, 800):
        save_noise(tmp_path / f"DIV2K_train_HR/{number:04d}.png")
    for number in (*range(801, 850), *range(851, 901)):
        save_noise(tmp_path / f"DIV2K_valid_HR/{number:04d}.png")
    found = check(tmp_path)
    assert found.rows == [
        ["DIV2K_train_HR", 3, 800, "made by bicubic", 0, 0, 0],
        ["DIV2K_valid_HR", 99, 100, "made by bicubic", 0, 0, 0],
    ]
    train, valid = found.problems
    assert "has 3 of 800 images: 0003, 0004, " in train
    assert train.endswith(" and 777 more missing")
    assert valid.endswith("DIV2K_valid_HR has 99 of 100 images: 0850 missing")


def pack(path, folder, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(folder / name, name)


def test_zip_files(benchmark_set):
    pack(benchmark_set / "unpacked.zip", benchmark_set, ["HR/a.png", "HR/b.png"])
    pack(benchmark_set / "packed.zip", benchmark_set, ["HR/a.png", "HR/c.png"])
    pack(benchmark_set / "short.zip", benchmark_set, ["HR/a.png"])
    pack(benchmark_set / "altered.zip", benchmark_set, ["HR/a.png"])
    pack(benchmark_set / "DIV2K_valid_HR.zip", benchmark_set, ["HR/a.png"])
    truncate(benchmark_set / "short.zip")
    altered = bytearray((benchmark_set / "altered.zip").read_bytes())
    altered[100] ^= 1
    (benchmark_set / "altered.zip").write_bytes(altered)
    (benchmark_set / "HR/c.png").rename(benchmark_set / "HR/d.png")
    (benchmark_set / "LR_bicubic/X4/cx4.png").rename(benchmark_set / "LR_bicubic/X4/dx4.png")
    found = check(benchmark_set)
    assert found.notes == [f"{benchmark_set / 'unpacked.zip'} is undamaged and unpacked; it may be deleted"]
    for wanted in (
        "packed.zip: 1 of 2 images are not unpacked",
        "short.zip is no whole zip file",
        "altered.zip is broken at HR/a.png",
        "of 448,993,893: cut short, or another file",
    ):
        assert sum(wanted in problem for problem in found.problems) == 1, wanted
    assert len(found.problems) == 4


def test_a_folder_of_zip_files_alone(tmp_path, benchmark_set):
    folder = tmp_path / "zips"
    folder.mkdir()
    pack(folder / "set.zip", benchmark_set, ["HR/a.png"])
    unpack, none = check(folder).problems
    assert unpack.endswith(f"set.zip: 1 of 1 images are not unpacked: unzip it in {folder}")
    assert none.endswith("or unpack set.zip there")
