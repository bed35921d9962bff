"""The command: what it prints, writes and refuses."""

import json

import pytest
from PIL import Image

from keras_rfdn import evaluate
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.data.sources import sample
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import reports
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=4, scale=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two HR images, one of an odd size."""
    folder = tmp_path_factory.mktemp("hr")
    for seed, (h, w) in enumerate([(60, 70), (45, 51)]):
        Image.fromarray(sample.dead_leaves(80, seed=seed)[:h, :w]).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    checkpoint.save(models.build(TINY), TINY, path)
    return path


def test_one_set_is_printed_image_by_image(folder, weights, capsys):
    report = evaluate.main(evaluate.EvaluateConfig((str(folder),), (str(weights),)))
    by_bicubic, by_network = (result.sets[folder.name] for result in report.results)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{weights} on {folder}"
    assert lines[1].startswith("x2: PSNR in dB / SSIM on BT.601 luma, 2 pixels shaved")
    assert [line.split()[0] for line in lines[-4:]] == ["-----", "0", "1", "mean"]
    assert lines[-1].split() == f"mean {by_bicubic.score} {by_network.score}".split()


def test_what_would_spoil_the_mean_is_named(weights, tmp_path, capsys):
    for seed in (0, 1):
        (tmp_path / f"clip{seed}").mkdir()
        Image.fromarray(sample.dead_leaves(48, seed=seed)).save(tmp_path / f"clip{seed}/0.png")
    Image.new("RGB", (48, 48), "grey").save(tmp_path / "blank.png")
    config = evaluate.EvaluateConfig((str(tmp_path),), (str(weights),), out=str(tmp_path / "out/t"))
    report = evaluate.main(config)
    printed = capsys.readouterr().out.splitlines()
    line = f"left out of {tmp_path.name}: blank: HR image of one colour"
    assert line in printed
    assert [row.split()[0] for row in printed if row.startswith(("clip", "blank"))] == ["clip0/0", "clip1/0"]
    assert f"- {line}" in (tmp_path / "out/t.md").read_text()
    assert reports.read(tmp_path / "out/t.json") == report


def test_several_sets_and_networks_make_one_table(folder, weights, tmp_path, capsys):
    other = tmp_path / "Set5"
    (other / "HR").mkdir(parents=True)
    for seed in range(5):
        Image.fromarray(sample.dead_leaves(40, seed=seed)).save(other / "HR" / f"{seed}.png")
    checkpoint.save(models.build(TINY), TINY, tmp_path / "second.h5")
    report = evaluate.main(
        evaluate.EvaluateConfig(
            (str(folder), str(other / "HR")),
            (str(weights), str(tmp_path / "second.h5")),
            images=5,
            out=str(tmp_path / "new/a.b"),
        )
    )
    assert [list(result.sets) for result in report.results] == [[folder.name, "Set5"]] * 3
    printed = capsys.readouterr().out
    rfdn = next(line for line in printed.splitlines() if line.startswith("RFDN "))
    assert rfdn.split() == ["RFDN", "published", "534", "120.9", "–", "38.05", "/", "0.9606"]
    assert sum(line.startswith("rfdb (") for line in printed.splitlines()) == 2
    suffixes = (".json", ".md", ".csv", "_parameters.png", "_mult_adds.png")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"a.b{suffix}" for suffix in suffixes}
    assert "| RFDN | published | 534 | 120.9 | – | 38.05 / 0.9606 |" in (tmp_path / "new/a.b.md").read_text()
    assert f"rfdb ({files.sha256(weights)[:8]}),here,y,2," in (tmp_path / "new/a.b.csv").read_text()
    assert json.loads((tmp_path / "new/a.b.json").read_text()) == json.loads(json.dumps(report.to_json()))
    # Alone again, from the file.
    assert evaluate.main(evaluate.EvaluateConfig(earlier=(str(tmp_path / "new/a.b.json"),))) == report
    assert isinstance(report, reports.Report)


def test_times_of_tflite_files_stand_beside_their_scores(folder, open_tflite, tmp_path, capsys):
    latency = {"median_ms": 12.34}
    times = {"threads": 2, "models": [{"model": open_tflite, "size_bytes": 5000, "lr": [18, 32], "latency": latency}]}
    files.write_json(tmp_path / "times.json", times)
    evaluate.main(
        evaluate.EvaluateConfig(
            (str(folder),), (open_tflite, open_tflite), latency=str(tmp_path / "times.json"), out=str(tmp_path / "t")
        )
    )
    assert "Latency: median for LR of 32x18, 2 threads" in capsys.readouterr().out
    assert "| – | – | 12.3 | 5 |" in (tmp_path / "t.md").read_text()
    assert (tmp_path / "t_latency_ms.png").exists()


def test_what_cannot_be_is_refused(folder, weights):
    with pytest.raises(ValueError, match="name folders of HR images, or earlier results by --with"):
        evaluate.main(evaluate.EvaluateConfig())
    with pytest.raises(ValueError, match="--images must be 1 or above, got 0"):
        evaluate.main(evaluate.EvaluateConfig((str(folder),), (str(weights),), images=0))


def test_command_line(capsys):
    parsed = command._parse(
        evaluate.EvaluateConfig, ["", "A", "B", "--weights", "c", "d.pth", "--with", "e.json", "--ensemble"]
    )
    assert parsed == evaluate.EvaluateConfig(("A", "B"), ("c", "d.pth"), earlier=("e.json",), ensemble=True)
    assert command._parse(evaluate.EvaluateConfig, ["evaluate", "A"]) == evaluate.EvaluateConfig(("A",))
    with pytest.raises(SystemExit):
        command._parse(evaluate.EvaluateConfig, ["evaluate", "A", "--protocol", "luma"])
    assert "invalid choice: 'luma'" in capsys.readouterr().err
