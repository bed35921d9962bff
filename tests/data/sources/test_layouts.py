import pytest
from PIL import Image

from keras_rfdn.data.sources import layouts

LARGE, SMALL = (64, 48), (16, 12)


def save(folder, *names, size=LARGE):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (1, 2, 3)).save(folder / name)


def found(folder, scale=4):
    """(pairs, notes), paths within the folder."""
    layout = layouts.find(folder, scale)
    pairs = [
        (str(hr.relative_to(folder)), lr and str(lr.relative_to(folder))) for s in layout.sets for hr, lr in s.files
    ]
    return pairs, layout.notes


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/{}.png", "LR_bicubic/X4/{}x4.png"),  # EDSR's benchmarks
        ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_unknown/X4/{}x4.png"),
        ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_mild/{}x4m.png"),
        ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_difficult/{}x4d.png"),
        ("DIV2K_train_HR/{}.png", "DIV2K_train_LR_wild/{}x4w1.png"),
        ("DIV2K_train_HR_sub/{}_s001.png", "DIV2K_train_LR_bicubic/X4_sub/{}_s001.png"),  # BasicSR
        ("DF2K_HR_sub/{}.png", "DF2K_LR_bicubic_X4_sub/{}.png"),
        ("GTmod12/{}.png", "LRbicx4/{}.png"),
        ("Set5/GTmod12/{}.png", "Set5/LRbicx4/{}.png"),
        ("train_sharp/000/{}.png", "train_sharp_bicubic/X4/000/{}.png"),  # REDS
        ("gt/{}.png", "lq/{}.png"),  # Real-ESRGAN's flags
        ("GT/{}.png", "LQ/{}.png"),
        ("trainH/{}.png", "trainL/{}.png"),  # KAIR
        ("H/{}.png", "L/{}.png"),
        ("HR/Set5/x4/{}_HR_x4.png", "LR/LRBI/Set5/x4/{}_LRBI_x4.png"),  # RCAN
        ("Set5/{}.png", "Set5_LR/x4/{}.png"),  # IMDN
        ("Set5/{}.png", "Set5_bicLRx4/{}.png"),  # ESRGAN
        ("image_SRF_4/{}_SRF_4_HR.png", "image_SRF_4/{}_SRF_4_LR.png"),  # SelfExSR
        ("Test/4/{}_HR.png", "Test/4/{}_LR4.png"),  # RealSR
        ("HR/{}.png", "LR/{}.png"),
        ("hr/{}.png", "lr/{}.png"),
        ("HR/{}.png", "LR/x4_{}.png"),
        ("HR/{}.png", "LR/{}_x4.png"),
        ("HR/{}.png", "LR/{}_LR.png"),
        ("HR/{}.png", "LR/{}-lowres.jpg"),
        ("HR_x4/{}.png", "lr_x4/{}.png"),
        ("hr_images/{}.png", "lr_images/{}.png"),
        ("HighRes/{}.png", "LowRes/{}.png"),
        ("high_resolution/{}.png", "low_resolution/{}.png"),
        ("HR/{}.png", "X4/{}.png"),
        ("HR/{}.png", "bicubic_x4/{}.png"),
        ("HR/{}.png", "downsampled/{}.png"),
        ("gt/{}.png", "input/{}.png"),
        ("target/{}.png", "input/{}.png"),
        ("high/{}.png", "low/{}.png"),
        ("original/{}.png", "source/{}.png"),
        ("train/HR/{}.png", "train/LR/{}.png"),
        ("HR/train/{}.png", "LR/train/{}.png"),
        ("trainHR/{}.png", "trainLR/{}.png"),
        ("{}.png", "LR/{}.png"),
        ("{}.png", "x4/{}.png"),
        ("{}.png", "{}x4.png"),
        ("{}.png", "{}_LR.png"),
        ("{}_gt.png", "{}_lq.png"),
        ("HR/{}x4.png", "LR/{}x4.png"),  # a name that looks like a scale
        ("HR/{}_x2.png", "LR/{}_x2.png"),
    ],
)
@pytest.mark.parametrize("stems", [("0801", "0802"), ("a[1] b", "ä")])
def test_layouts_of_other_projects(tmp_path, hr, lr, stems):
    save(tmp_path, *map(hr.format, stems))
    save(tmp_path, *map(lr.format, stems), size=SMALL)
    pairs, notes = found(tmp_path)
    assert sorted(pairs) == sorted((hr.format(stem), lr.format(stem)) for stem in stems)
    assert notes == ()


def test_several_sets_in_one_folder(tmp_path):
    for name in ("Set5", "Set14"):
        save(tmp_path, f"{name}/HR/0.png", f"{name}/HR/1.png")
    save(tmp_path, "Set5/LR_bicubic/X4/0x4.png", "Set5/LR_bicubic/X4/1x4.png", size=SMALL)
    save(tmp_path, "Set5/LR_bicubic/X2/0x2.png", "Set5/LR_bicubic/X2/1x2.png", size=(32, 24))
    pairs, notes = found(tmp_path)
    assert pairs == [
        ("Set14/HR/0.png", None),
        ("Set14/HR/1.png", None),
        ("Set5/HR/0.png", "Set5/LR_bicubic/X4/0x4.png"),
        ("Set5/HR/1.png", "Set5/LR_bicubic/X4/1x4.png"),
    ]
    assert notes == ()
    assert found(tmp_path, 2)[0][2] == ("Set5/HR/0.png", "Set5/LR_bicubic/X2/0x2.png")


def test_hr_images_are_of_the_scale_where_there_are_several(tmp_path):
    rcan, selfex = tmp_path / "rcan", tmp_path / "selfex"
    for scale in (2, 4):
        small = 64 // scale, 48 // scale
        save(rcan, f"HR/Set5/x{scale}/baby_HR_x{scale}.png")
        save(rcan, f"LR/LRBI/Set5/x{scale}/baby_LRBI_x{scale}.png", size=small)
        save(selfex, f"image_SRF_{scale}/img_SRF_{scale}_HR.png", f"image_SRF_{scale}/img_SRF_{scale}_A+.png")
        save(selfex, f"image_SRF_{scale}/img_SRF_{scale}_LR.png", size=small)
    for scale in (2, 4):
        pair = f"HR/Set5/x{scale}/baby_HR_x{scale}.png", f"LR/LRBI/Set5/x{scale}/baby_LRBI_x{scale}.png"
        assert found(rcan, scale) == ([pair], ())
    pairs, (note,) = found(selfex)
    assert pairs == [("image_SRF_4/img_SRF_4_HR.png", "image_SRF_4/img_SRF_4_LR.png")]
    assert note.startswith("nothing is read from")  # another method's result is no HR image


def test_subfolders_of_one_name_each_have_their_own(tmp_path):
    save(tmp_path, "HR/0/a.png", "HR/1/a.png")
    save(tmp_path, "LR/0/a.png", "LR/1/a.png", size=SMALL)
    assert found(tmp_path)[0] == [("HR/0/a.png", "LR/0/a.png"), ("HR/1/a.png", "LR/1/a.png")]


def test_suffixes_tell_images_of_one_stem_apart(tmp_path):
    save(tmp_path, "HR/a.png", "HR/a.jpg")
    save(tmp_path, "LR/a.png", "LR/a.jpg", size=SMALL)
    assert found(tmp_path)[0] == [("HR/a.jpg", "LR/a.jpg"), ("HR/a.png", "LR/a.png")]


def test_every_lr_image_of_the_wild_track_is_one_of_its_hr_image(tmp_path):
    save(tmp_path, "D_HR/0001.png")
    save(tmp_path, *(f"D_LR_wild/0001x4w{i}.png" for i in range(1, 5)), size=SMALL)
    assert found(tmp_path)[0] == [("D_HR/0001.png", f"D_LR_wild/0001x4w{i}.png") for i in range(1, 5)]


def test_bicubic_goes_before_other_tracks(tmp_path):
    save(tmp_path, "D_HR/0001.png")
    save(tmp_path, "D_LR_bicubic/X4/0001x4.png", "D_LR_unknown/X4/0001x4.png", "D_LR_mild/0001x4m.png", size=SMALL)
    pairs, (note,) = found(tmp_path)
    assert pairs == [("D_HR/0001.png", "D_LR_bicubic/X4/0001x4.png")]
    assert "D_LR_unknown" in note


@pytest.mark.parametrize(
    "names",
    [
        ("people/a.png", "city/a.png"),
        ("clip0/0000.png", "clip1/0000.png"),
        ("low/a.png", "high/b.png"),  # classes of something
        ("low/a.png", "high/a.png"),  # of one size: no LR images
        ("input/a.png",),
        ("input/a.png", "people/b.png"),
        ("10x/a.png", "20x/a.png"),  # a microscope's
        ("sea.png", "sea_low.png", "icon.png", "icon@2x.png", "a_source.png"),
        ("HRV/a.png", "lrwx/a.png", "hills/a.png"),
        (".ipynb_checkpoints/a-checkpoint.png", "a.png"),
    ],
)
def test_plain_folders_are_hr_images(tmp_path, names):
    save(tmp_path, *names)
    pairs, notes = found(tmp_path)
    assert {hr for hr, _ in pairs} == {name for name in names if not name.startswith(".")}
    assert all(lr is None for _, lr in pairs)
    assert notes == ()


def test_what_is_beside_hr_folders_is_named(tmp_path):
    save(tmp_path, "HR/a.png", "masks/a.png", "cover.png")
    pairs, (note,) = found(tmp_path)
    assert pairs == [("HR/a.png", None)]
    assert note.startswith("nothing is read from")
    assert "cover.png, masks" in note


@pytest.mark.parametrize(
    ("large", "small", "message"),
    [
        (["HR/a.png"], ["mystery/a.png"], r"mystery seems to hold the LR images of .*HR: the same names"),
        (["one/a.png", "one/b.png"], ["two/a.png", "two/b.png"], r"two seems to hold the LR images of .*one"),
        (["photos/a.png"], ["LR/a.png"], "LR holds LR images, but no name tells where their HR images are"),
        ([], ["LR_bicubic/X4/ax4.png"], "LR_bicubic holds LR images, but no name"),
        (["HR/a.png"], ["LR_unknown/X2/ax2.png"], r"LR_unknown holds LR images of x2 only; for x4 add theirs"),
        (["HR/a.png"], ["LR/a.png", "lq/a.png"], r"HR/a\.png may have its LR image in LR/a\.png and lq/a\.png"),
        (["HR/a.png"], ["LR/a.png", "LR/ax4.png"], r"may have its LR image in LR/a\.png and LR/ax4\.png"),
        (["HR/a.png"], ["LR/a.png", "LR/a.bmp"], r"may have its LR image in LR/a\.bmp and LR/a\.png"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(tmp_path, large, small, message):
    save(tmp_path, *large)
    save(tmp_path, *small, size=SMALL)
    with pytest.raises(ValueError, match=message):
        layouts.find(tmp_path, 4)


def test_lr_images_themselves_are_no_set(tmp_path):
    save(tmp_path, "Set5/gt/a.png", "Set5/LR_bicubic/X4/a.png", "alone/LR/a.png")
    for name in ("Set5/LR_bicubic", "Set5/LR_bicubic/X4"):
        with pytest.raises(ValueError, match=r"X?4? holds the LR images of .*Set5/gt; name the folder above both"):
            layouts.find(tmp_path / name, 4)
    assert len(layouts.find(tmp_path / "Set5/gt", 4).sets[0].files) == 1
    assert len(layouts.find(tmp_path / "alone/LR", 4).sets[0].files) == 1  # of Lightroom, say


def test_empty_folders_are_named(tmp_path):
    save(tmp_path, "HR/a.png")
    (tmp_path / "HR/b").mkdir()
    assert len(found(tmp_path)[0]) == 1
    (tmp_path / "LR_bicubic/X4").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no image in .*LR_bicubic; add its LR images, or move it away"):
        layouts.find(tmp_path, 4)
    (tmp_path / "LR_bicubic").rename(tmp_path / "D_valid_HR")
    with pytest.raises(ValueError, match=r"no image in .*D_valid_HR; add some"):
        layouts.find(tmp_path, 4)


def test_unreadable_files_are_left_to_the_reader(tmp_path):
    save(tmp_path, "one/a.png")
    (tmp_path / "input").mkdir()
    (tmp_path / "input/a.png").write_bytes(b"broken")
    assert len(found(tmp_path)[0]) == 2


def test_a_large_set_is_found_by_names_alone(tmp_path, monkeypatch):
    save(tmp_path, *(f"HR/{i}.png" for i in range(50)))
    save(tmp_path, *(f"LR/{i}.png" for i in range(50)), size=SMALL)
    monkeypatch.setattr(layouts, "_size", None)
    assert len(found(tmp_path)[0]) == 50
    assert all(lr is not None for _, lr in found(tmp_path)[0])
