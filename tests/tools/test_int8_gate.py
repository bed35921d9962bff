import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from tools import int8_gate


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
    bound = int8_gate._within(int8_gate.Threshold("tiny.h5", "set", 1.0, calibration="set"), folder)
    return pathlib.Path(int8_gate.convert_row(bound, folder / "int8.tflite")).name


def _bound(loss_db, model=None):
    return int8_gate.Threshold("tiny.h5", "set", loss_db, model=model)


def test_a_good_file_passes_and_a_worse_one_does_not(folder, int8_file, tmp_path, capsys):
    config = int8_gate.GateConfig(str(folder), json=str(tmp_path / "check.json"))
    (good,) = int8_gate.main(config, [_bound(1.0, int8_file)])
    assert good.problems == ()
    assert "good" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text()) == [json.loads(json.dumps(dataclasses.asdict(good)))]

    loss = good.measured.loss_db
    assert loss > 0.01
    (worse,) = int8_gate.main(config, [_bound(loss - 0.005, int8_file)])
    assert len(worse.problems) == 1
    assert worse.problems[0].startswith(f"loses {loss:.3f} dB")


def test_rows_without_a_file_convert_their_weights_once(folder, int8_file, monkeypatch, capsys):
    made = []

    def convert_row(threshold, out):
        made.append(threshold)
        return str(folder / int8_file)  # convert_row itself made it

    monkeypatch.setattr(int8_gate, "convert_row", convert_row)
    rows = [
        int8_gate.Threshold("tiny.h5", "set", 1.0, calibration="set", accurate=accurate)
        for accurate in (False, True, True)
    ]
    *converted, taken = int8_gate.main(int8_gate.GateConfig(str(folder)), [*rows, _bound(1.0, int8_file)])
    assert [(row.weights, row.accurate) for row in made] == [(str(folder / "tiny.h5"), a) for a in (False, True)]
    assert {verdict.measured for verdict in converted} == {taken.measured}
    assert "tiny.h5 --accurate" in capsys.readouterr().out


def test_a_shift_of_colour_is_found(folder, int8_file):
    file, bound = str(folder / int8_file), int8_gate.Threshold("brighter.h5", "set", 9.0, colour_bias=0.2)
    own, shifted = (int8_gate.measure(file, int8_gate._within(b, folder)).colour_bias for b in (_bound(9.0), bound))
    assert np.subtract(shifted, own) == pytest.approx([-2] * 3, abs=0.1)
    assert int8_gate.problems(file, int8_gate.Measurement(0.0, own), bound) == []
    (problem,) = int8_gate.problems(file, int8_gate.Measurement(0.0, shifted), bound)
    assert problem.startswith("colours shift by -")


def test_float_operations_and_types_are_found(open_tflite):
    problems = int8_gate.problems(open_tflite, int8_gate.Measurement(0.0, (0.0, 0.0, 0.0)), _bound(1.0))
    assert [problem.split(" ")[0] for problem in problems] == ["float", "input", "output"]
    assert "CONV_2D" in problems[0]


def test_the_command_exits_with_status_1(folder, int8_file, monkeypatch):
    monkeypatch.setattr(int8_gate.main, "__defaults__", ([_bound(-9.0, int8_file)],))
    with pytest.raises(SystemExit) as stopped:
        int8_gate.exit_with_verdict(int8_gate.GateConfig(str(folder)))
    assert stopped.value.code == 1


def test_the_rows_name_what_is_measured():
    rows = {(bound.weights, bound.images, bound.model, bound.accurate) for bound in int8_gate.THRESHOLDS}
    assert len(rows) == len(int8_gate.THRESHOLDS)
    assert all(0 < bound.loss_db < 1 for bound in int8_gate.THRESHOLDS)
