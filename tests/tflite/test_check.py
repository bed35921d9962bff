import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from data import sample
from keras_rfdn import checkpoint
from tflite import check


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model, tiny_weights, tiny_upscale):
    """A folder as the command takes it: a weight file, one that is 2 grey levels brighter, and images.

    The images' HR is 3 levels from what the float network gives, one half of them above and the other below.
    """
    folder = tmp_path_factory.mktemp("check")
    model, config = checkpoint.load(tiny_weights)
    checkpoint.save(model, config, folder / "tiny.h5")
    last = model.get_layer("upsampler.0")
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + 2 / 255])
    checkpoint.save(model, config, folder / "brighter.h5")
    for name in ("HR", "LR_bicubic/X2"):
        (folder / "set" / name).mkdir(parents=True)
    for i in range(2):
        lr = sample.dead_leaves(64, seed=i)[:40, :48]
        sr = tiny_upscale(lr)
        Image.fromarray(lr).save(folder / f"set/LR_bicubic/X2/img{i}x2.png")
        Image.fromarray((sr + np.where(np.arange(sr.shape[1])[:, None] % 2, 3, -3)).astype(np.uint8)).save(
            folder / f"set/HR/img{i}.png"
        )
    return folder


@pytest.fixture(scope="module")
def int8_file(folder):
    """tiny.h5 converted, in the folder."""
    bound = check._within(check.Bound("tiny.h5", "set", 1.0, calibration="set"), folder)
    return pathlib.Path(check._converted(bound, folder / "int8.tflite")).name


def _bound(loss_db, model=None):
    return check.Bound("tiny.h5", "set", loss_db, model=model)


def test_a_good_file_passes_and_a_worse_one_does_not(folder, int8_file, tmp_path, capsys):
    config = check.CheckConfig(str(folder), json=str(tmp_path / "check.json"))
    (good,) = check.main(config, [_bound(1.0, int8_file)])
    assert good["problems"] == []
    assert "good" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text()) == [json.loads(json.dumps(good))]

    loss = good["measured"]["loss_db"]
    assert loss > 0.01
    (worse,) = check.main(config, [_bound(loss - 0.005, int8_file)])
    assert len(worse["problems"]) == 1
    assert worse["problems"][0].startswith(f"loses {loss:.3f} dB")


def test_a_row_without_a_file_converts_its_weights(folder, int8_file):
    config = check.CheckConfig(str(folder))
    bounds = [check.Bound("tiny.h5", "set", 1.0, calibration="set"), _bound(1.0, int8_file)]
    converted, taken = check.main(config, bounds)
    assert converted["measured"] == taken["measured"]


def test_rows_of_the_same_options_share_a_conversion(folder, monkeypatch, capsys):
    made = []

    def convert(bound, out):
        made.append(bound.options)
        return original(bound, out)

    original = check._converted
    monkeypatch.setattr(check, "_converted", convert)
    few = {"calibration_frames": 2}
    bounds = [check.Bound("tiny.h5", "set", 1.0, calibration="set", options=o) for o in ({}, few, few)]
    plain, *same = check.main(check.CheckConfig(str(folder)), bounds)
    assert made == [{}, few]
    assert same[0]["measured"] == same[1]["measured"] != plain["measured"]
    assert "tiny.h5 calibration_frames" in capsys.readouterr().out


def test_a_shift_of_colour_is_found(folder, int8_file):
    file, bound = str(folder / int8_file), check.Bound("brighter.h5", "set", 9.0, drift=0.2)
    own, shifted = (check.measure(file, check._within(b, folder))["drift"] for b in (_bound(9.0), bound))
    assert np.subtract(shifted, own) == pytest.approx([-2] * 3, abs=0.1)
    assert check.problems(file, {"loss_db": 0.0, "drift": own}, bound) == []
    (problem,) = check.problems(file, {"loss_db": 0.0, "drift": shifted}, bound)
    assert problem.startswith("colours shift by -")


def test_float_operations_and_types_are_found(open_tflite):
    problems = check.problems(open_tflite, {"loss_db": 0.0, "drift": [0.0, 0.0, 0.0]}, _bound(1.0))
    assert [problem.split(" ")[0] for problem in problems] == ["float", "input", "output"]
    assert "CONV_2D" in problems[0]


def test_the_command_exits_with_status_1(folder, int8_file, monkeypatch):
    monkeypatch.setattr(check.main, "__defaults__", ([_bound(-9.0, int8_file)],))
    with pytest.raises(SystemExit) as stopped:
        check.checked(check.CheckConfig(str(folder)))
    assert stopped.value.code == 1


def test_the_rows_name_what_is_measured():
    rows = {(bound.weights, bound.images, bound.model, str(bound.options)) for bound in check.BOUNDS}
    assert len(rows) == len(check.BOUNDS)
    assert all(0 < bound.loss_db < 1 for bound in check.BOUNDS)
