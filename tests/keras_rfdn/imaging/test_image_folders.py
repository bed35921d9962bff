import os
import pathlib
import threading
import time

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import image_folders


@pytest.fixture
def folder(tmp_path):
    """folder(name, ...) -> folder with an image of 6x4 pixels under each name."""

    def make(*names, root="in"):
        for number, name in enumerate(names):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 4), (10 * number, 0, 0)).save(path)
        return tmp_path / root

    return make


def targets(plan, target):
    return [str(path.relative_to(target)) for _, path in plan.pairs]


def run(source, target, upscale, **options):
    return list(image_folders.upscale_files(image_folders.plan(source, target).pairs, upscale, 2, **options))


def test_names_and_subfolders_are_kept(folder, tmp_path):
    source = folder("b.png", "sub/a.JPG", "sub/c.tif", "d.gif", "e.avif", "f.jfif", "g.jp2", "h.tga")
    plan = image_folders.plan(source, tmp_path / "out")
    found = targets(plan, tmp_path / "out")
    assert found == ["b.png", "d.gif", "e.avif", "f.jfif", "g.jp2", "h.tga", "sub/a.JPG", "sub/c.tif"]
    assert (plan.done, plan.passed_over, plan.renamed) == (0, "", 0)


def test_formats_that_are_not_written_become_png_and_collide_with_nothing(folder, tmp_path):
    source = folder("a.png", "a.ico", "a.im", "b.ico", "c.ico.png", "c.ico", "c.png")
    plan = image_folders.plan(source, tmp_path / "out")
    found = {path.name: target.name for path, target in plan.pairs}
    assert found == {
        "a.png": "a.png", "a.ico": "a.ico.png", "a.im": "a.im.png", "b.ico": "b.png", "c.ico.png": "c.ico.png",
        "c.ico": "c.ico.1.png", "c.png": "c.png",
    }  # fmt: skip
    assert plan.renamed == 4


@pytest.mark.parametrize("same", [False, True])
def test_names_that_differ_in_case_alone(folder, tmp_path, monkeypatch, same):
    monkeypatch.setattr(image_folders, "is_case_insensitive", lambda folder: same)
    plan = image_folders.plan(folder("A.png", "a.png", "Photo.PNG", "photo.png"), tmp_path / "out")
    assert targets(plan, tmp_path / "out") == (
        ["A.png", "Photo.PNG", "a.png.png", "photo.png.png"] if same else ["A.png", "Photo.PNG", "a.png", "photo.png"]
    )


def test_this_disk_tells_names_by_case(tmp_path):
    (tmp_path / "a").touch()
    assert image_folders.is_case_insensitive(tmp_path / "absent") == (tmp_path / "A").exists()


def test_what_is_passed_over_is_named(folder, tmp_path):
    source = folder("a.png")
    for name in ("b.heic", "c.HEIC", "notes.txt", "README", "._a.png", "Thumbs.db", ".DS_Store"):
        (source / name).write_text("")
    plan = image_folders.plan(source, tmp_path / "out")
    assert plan.passed_over == "2 .heic (b.heic), 1 .txt (notes.txt), 1 without suffix (README)"


def test_a_second_run_does_what_is_not_done(folder, tmp_path, repeat):
    source = folder("a.png", "b.png", "c.im")
    assert [o.error for o in run(source, tmp_path / "out", repeat)] == [None] * 3
    (tmp_path / "out/b.png").unlink()
    plan = image_folders.plan(source, tmp_path / "out")
    assert (targets(plan, tmp_path / "out"), plan.done) == (["b.png"], 2)
    assert len(image_folders.plan(source, tmp_path / "out", overwrite=True).pairs) == 3


def test_folders_that_will_not_do(folder, tmp_path):
    source = folder("a.png")
    with pytest.raises(UserError, match=r"lies in .*whose images are read"):
        image_folders.plan(source, source / "out")
    with pytest.raises(UserError, match=r"is a file, but .* a folder; name a folder"):
        image_folders.plan(source, source / "a.png")
    with pytest.raises(UserError, match="is not a folder"):
        image_folders.plan(tmp_path / "absent", tmp_path / "out")


def test_nothing_of_one_file_stops_the_others(folder, tmp_path, repeat, monkeypatch):
    names = "a.png wide.jpg long.png z.png vanished.png forbidden.png cut.png odd.png huge.png"
    source = folder(*names.split())
    Image.new("L", (40_000, 1)).save(source / "wide.jpg")
    (source / "empty.png").write_bytes(b"")
    (source / "text.png").write_text("no image")
    (source / "cut.png").write_bytes((source / "a.png").read_bytes()[:-30])
    (source / "link.png").symlink_to(tmp_path / "nowhere")
    (source / "raw.png").write_bytes(b"II*\0" + bytes(40))
    os.rename(source / "odd.png", os.fsencode(source) + b"/\xff\xfe.png")
    plan = image_folders.plan(source, tmp_path / "out")
    (source / "vanished.png").unlink()
    opened = Image.open

    def no_right(path, *arguments, **options):
        if isinstance(path, os.PathLike) and pathlib.Path(path).name == "forbidden.png":
            raise PermissionError(13, "Permission denied", str(path))
        if isinstance(path, os.PathLike) and pathlib.Path(path).name == "huge.png":
            raise MemoryError
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Image, "open", no_right)
    outcomes = list(image_folders.upscale_files(plan.pairs, repeat, 2))
    done = [o.target.name for o in outcomes if o.error is None]
    assert done == ["a.png", "long.png", "z.png", "\udcff\udcfe.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(done)
    errors = {o.source.name: o.error for o in outcomes if o.error}
    wanted = {
        "wide.jpg": "80000x2 pixels are more than JPEG's 65,500 a side; write",
        "empty.png": "is not a readable image (it is empty); remove it",
        "text.png": "is not a readable image (damaged at its start, or of a format that Pillow doesn't read)",
        "cut.png": "is not a readable image (",
        "link.png": "is not there any more",
        "vanished.png": "is not there any more",
        "forbidden.png": "may not be read; give yourself the right to (chmod u+r)",
        "huge.png": "needs more memory than there is; close other programs",
        "raw.png": "is ",
    }
    assert errors.keys() == wanted.keys()
    for name, words in wanted.items():
        assert errors[name].startswith(f"{source / name}"), errors[name]
        assert words in errors[name]
        assert "\n" not in errors[name]


def test_what_the_headers_tell_comes_before_the_network_runs(folder, tmp_path):
    source = folder("a.png", "z.jpg")
    Image.new("L", (40_000, 1)).save(source / "z.jpg")
    ran = []

    def upscale(lr):
        ran.append(lr.shape)
        return lr.repeat(2, axis=0).repeat(2, axis=1)

    outcomes = image_folders.upscale_files(image_folders.plan(source, tmp_path / "out").pairs, upscale, 2)
    assert next(outcomes).source.name == "z.jpg"
    assert ran == []
    assert [o.source.name for o in outcomes] == ["a.png"]


def test_a_name_with_a_line_break_is_one_line(folder, tmp_path, repeat):
    source = folder("a.png")
    (source / "two\nlines\x1b[31m.png").write_text("no image")
    (error,) = [o.error for o in run(source, tmp_path / "out", repeat) if o.error]
    assert "two?lines?[31m.png is not a readable image" in error


def test_no_room_on_the_disk_is_told_for_each_file(folder, tmp_path, repeat, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_rfdn.imaging.image_targets.save", full)
    errors = [o.error for o in run(folder("a.png", "b.png"), tmp_path / "out", repeat)]
    assert all("has no room on its disk; free some and start again" in error for error in errors)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_defect_costs_one_file(folder, tmp_path, repeat):
    def upscale(lr):
        if lr[0, 0, 0] == 10:
            raise ZeroDivisionError("of ours")
        return repeat(lr)

    outcomes = run(folder("a.png", "b.png", "c.png"), tmp_path / "out", upscale)
    assert [o.error is None for o in outcomes] == [True, False, True]
    assert "b.png can't be upscaled (ZeroDivisionError: of ours); please report this" in outcomes[1].error


def test_notes_come_with_their_file(folder, tmp_path, repeat):
    source = folder("a.png", "b.jpg")
    Image.new("RGBA", (4, 4), (0, 0, 0, 99)).save(source / "c.png")
    pairs = [(source / "a.png", tmp_path / "a.png"), (source / "c.png", tmp_path / "c.jpg")]
    outcomes = list(image_folders.upscale_files(pairs, repeat, 2))
    assert [o.notes for o in outcomes] == [(), ("its transparency is laid on white: JPEG holds none",)]


def test_decoder_network_and_encoder_work_side_by_side(folder, tmp_path, repeat, monkeypatch):
    """While one file is in the network, the next is read and the last one is written."""
    reading, writing = threading.Event(), threading.Event()
    source = folder("a.png", "b.png", "c.png")
    read, write = image_folders.Job.read, image_folders.Job.write

    def noted_read(job):
        read(job)
        if pathlib.Path(job.source).name == "c.png":
            reading.set()

    def noted_write(job):
        writing.set()
        return write(job)

    def upscale(lr):
        assert threading.current_thread() is threading.main_thread()
        if lr[0, 0, 0] == 10:  # b.png
            assert reading.wait(10)
            assert writing.wait(10)
        return repeat(lr)

    monkeypatch.setattr(image_folders.Job, "read", noted_read)
    monkeypatch.setattr(image_folders.Job, "write", noted_write)
    outcomes = run(source, tmp_path / "out", upscale)
    assert [(o.source.name, o.error) for o in outcomes] == [("a.png", None), ("b.png", None), ("c.png", None)]


def test_a_large_result_waits_for_the_one_before(folder, tmp_path, repeat, monkeypatch):
    monkeypatch.setattr(image_folders, "LARGE_BYTES", 0)
    events, write = [], image_folders.Job.write

    def slow_write(job):
        time.sleep(0.05)
        events.append("written")
        return write(job)

    def upscale(lr):
        events.append("network")
        return repeat(lr)

    monkeypatch.setattr(image_folders.Job, "write", slow_write)
    run(folder("a.png", "b.png"), tmp_path / "out", upscale)
    assert events == ["network", "written", "network", "written"]


def test_ctrl_c_leaves_whole_files_alone(folder, tmp_path, repeat):
    def upscale(lr):
        if lr[0, 0, 0] == 20:
            raise KeyboardInterrupt
        return repeat(lr)

    source = folder(*(f"{i}.png" for i in range(6)))
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", upscale)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["0.png", "1.png"]
    for name in written:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
    assert threading.active_count() < 5


def test_animations_and_16_bits_go_through_folders_too(tmp_path, repeat):
    source = tmp_path / "in"
    source.mkdir()
    frames = [Image.new("RGB", (6, 4), (60 * i, 0, 0)) for i in range(3)]
    frames[0].save(source / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    Image.fromarray(np.full((4, 6), 30_000, np.uint16)).save(source / "b.png")
    Image.new("RGB", (6, 4), "red").save(source / "c.png")
    assert [(o.source.name, o.error) for o in run(source, tmp_path / "out", repeat)] == [
        ("a.gif", None), ("b.png", None), ("c.png", None),
    ]  # fmt: skip
    with Image.open(tmp_path / "out/a.gif") as image:
        assert image.n_frames == 3
    with Image.open(tmp_path / "out/b.png") as image:
        assert (image.mode, image.getextrema()) == ("I;16", (30_000, 30_000))
