"""Cards: what release writes, and that the shipped ones are of that form and true."""

import json
import re

import pytest

from keras_rfdn import train
from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.system import files
from keras_rfdn.evaluation import published
from keras_rfdn.evaluation.reports import Report, Result, SetResult
from keras_rfdn.evaluation.scoring import Score
from keras_rfdn.networks import complexity
from keras_rfdn.tflite import qat
from keras_rfdn.training import recipes
from tools import model_card

NAMES = [f"{network}-x{scale}" for network in ("e-rfdn", "rfdn-mobile", "rfdn") for scale in (2, 3, 4)]
SETS = ("Set5", "Set14", "B100")


def result(model, psnr):
    scores = {name: SetResult(name, psnr, 0.9, {"0": Score(psnr, 0.9)}) for name in SETS}
    return Result(model, f"{model}.h5", model[:1] * 64, False, 433_448, 1, {}, scores)


@pytest.fixture
def run(tmp_path):
    """A finished run's workdir, as far as cards read it."""
    summary = {
        "variant": "e-rfdn", "scale": 4, "parameters": 433_448, "hours": 1.25, "steps": 9000, "best_step": 8500,
        "best_psnr_y": 28.68, "bicubic_psnr_y": 26.69,
    }  # fmt: skip
    settings = vars(train.TrainConfig(variant="e-rfdn", data="/mine/photos", valid="/mine/crops", steps=9000, batch=8))
    (tmp_path / "qat").mkdir()
    tuning = vars(qat.QatConfig(data="/mine/photos", shape="dynamic", steps=300, accurate=True))
    contents = {"summary.json": summary, "config.json": settings, "qat/config.json": tuning}
    for name, values in contents.items():
        (tmp_path / name).write_text(json.dumps(values))
    return tmp_path


def write_records(run, psnrs):
    lines = (json.dumps({"step": 150 * i, "psnr_y": psnr}) + "\n" for i, psnr in enumerate(psnrs))
    (run / "qat" / "metrics.jsonl").write_text("".join(lines))


REPORT = Report("y", 4, 4, (result("bicubic", 28.43), result("e-rfdn", 31.9), result("tflite", 31.875)))


def test_a_card_of_three_sets_is_a_page(run):
    write_records(run, [30.0, 30.2, 30.1])
    card = model_card.card("e-rfdn-x4", run, REPORT, "Photographs of mine.", picture="p.png")
    assert len(card.splitlines()) <= model_card.MOST_LINES
    assert max(map(len, card.splitlines())) <= 120
    assert "| int8 | 31.88 / 0.9000 | 31.88 / 0.9000 | 31.88 / 0.9000 |" in card
    assert "| the paper's RFDN, 550K | 32.24 / 0.8952 | 28.61 / 0.7819 | 27.57 / 0.7360 |" in card
    text = " ".join(card.split())
    assert "9,000 updates of 8 patches of 64x64 LR pixels by this project's trainer, in 1.2 hours:" in text
    assert "python -m keras_rfdn.train --variant e-rfdn --data photos --valid crops --steps 9000 --batch 8 The" in text
    assert "update 8,500 of 9,000, the best on validation: 28.68 dB on luma (bicubic 26.69)" in text
    assert "made by quantization-aware training, `python tflite/qat.py --data photos --weights e-rfdn-x4" in text
    assert "--shape dynamic --accurate --steps 300`: update 150 of 300, the best" in text


def test_training_that_did_not_help_is_not_claimed(run):
    write_records(run, [30.2, 30.1])
    card = " ".join(model_card.card("e-rfdn-x4", run, REPORT, "Photographs of mine.").split())
    assert "is calibrated by `python tflite/qat.py" in card
    assert "its training did not improve on that (update 0)" in card
    assert "quantization-aware" not in card


def test_weights_that_no_update_improved_are_called_so(run):
    write_records(run, [30.2])
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "best_step": 0}))
    card = " ".join(model_card.card("e-rfdn-x4", run, REPORT, "Photographs of mine.").split())
    assert "No update was better on validation, and so the weights are those that it starts from: 28.68 dB on" in card


def test_too_much_text_is_refused(run):
    write_records(run, [30.2])
    with pytest.raises(ValueError, match="lines, 60 at most; shorten about"):
        model_card.card("e-rfdn-x4", run, REPORT, "Photographs. " * 100)


def test_a_recipes_settings_are_not_repeated():
    settings = {**vars(train.TrainConfig()), "recipe": "paper-rfdn-x2", "variant": "rfdn", "scale": 2, "seed": 3}
    command = model_card.command_line("-m keras_rfdn.train", train.TrainConfig(), settings)
    assert command == "python -m keras_rfdn.train --recipe paper-rfdn-x2 --seed 3"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("cpu-rfdn-mobile-x4", "It starts from the release of `rfdn-mobile-x4.h5` with SHA-256"),
        (
            "cpu-e-rfdn-x4",
            "authors' `RFDN_AIM.pth`, their E-RFDN x4, trained on DIV2K and Flickr2K (njulj/RFDN, MIT), with",
        ),
    ],
)
def test_a_card_prints_its_recipe(run, name, start):
    """The command, the weights that it starts from, and who runs it."""
    row = recipes.RECIPES[name]
    settings = train.TrainConfig(
        recipe=name, init="/work/start/w.h5", data="/mine/pairs_x4", valid="/mine/crops", **row.settings()
    )
    write_records(run, [30.2])
    (run / "config.json").write_text(json.dumps(vars(settings)))
    card = model_card.card("e-rfdn-x4", run, REPORT, "Photographs of mine.", picture="p.png")
    assert len(card.splitlines()) <= model_card.MOST_LINES
    text = " ".join(card.split())
    assert f"hours: python -m tools.reproduce SHARED --only {name} It starts from the" in text
    assert f"{row.stages[0].steps:,} updates of 16 patches of" in text
    assert start in text
    assert f"SHA-256 `{row.init_sha256}`. The weights are those of update" in text


def read(name):
    return (pretrained.FOLDER / f"{name}.md").read_text()


def test_every_shipped_network_has_a_card():
    assert pretrained.names() == NAMES == sorted(path.stem for path in pretrained.FOLDER.glob("*.md"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_card_is_a_page(name):
    lines = read(name).splitlines()
    assert len(lines) <= model_card.MOST_LINES
    assert max(map(len, lines)) <= 120
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Data", "## How it was made", "## Scores", "## Limits"]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_card_begins_with_metadata(name):
    """Hugging Face's: its numbers are those of the table below."""
    _, front, body = read(name).split("---\n", 2)
    values = dict(re.findall(r"^(\w[\w-]*): *(.*)$", front, re.MULTILINE))
    assert values["license"] == "mit"
    assert values["library_name"] == "keras-rfdn"
    assert values["pipeline_tag"] == "image-to-image"
    assert values["tags"].startswith("[super-resolution, rfdn,")
    assert values["metrics"] == "[psnr, ssim]"
    assert f"\n- name: {name}\n  results:\n" in front
    for column, of_set in enumerate(SETS):
        (metrics,) = re.findall(rf"dataset: {{name: {of_set}, .*\n *metrics: (\[.*\])}}\n", front)
        found = dict(re.findall(r"name: PSNR (\w+), value: ([\d.]+)", metrics))
        for precision in ("float32", "int8"):
            (row,) = re.findall(rf"^\| {precision} \| (.*) \|$", body, re.MULTILINE)
            assert row.split(" | ")[column].split(" / ")[0] == found[precision]


def test_metadata_is_yaml():
    yaml = pytest.importorskip("yaml")  # which nothing here needs otherwise
    for name in NAMES:
        (entry,) = yaml.safe_load(read(name).split("---\n")[1])["model-index"]
        assert (entry["name"], len(entry["results"])) == (name, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_card_tells_no_tales(name):
    card, config = read(name), checkpoint.about(pretrained.FOLDER / f"{name}.h5")[0]
    for file in (f"{name}.h5", f"{name}_int8.tflite"):
        assert f"SHA-256 `{files.sha256(pretrained.FOLDER / file)}`" in card
    cost = complexity.of_config(config, 32, 32)
    assert f"\n{cost.parameters:,} parameters;" in card
    (paper,) = (row for row in published.TABLE_3[config.scale] if row.variant == "rfdn")
    scores = " | ".join(str(paper.scores[of_set]) for of_set in SETS)
    assert f"| the paper's RFDN, {paper.thousand_parameters}K | {scores} |" in card
    # Either a recipe made these weights, which the card prints, or no single command did.
    text = " ".join(card.split())
    made_by = re.findall(r"tools\.reproduce SHARED --only ([\w-]+)", card)
    assert bool(made_by) != ("No single command reproduces them" in text)
    for recipe in made_by:
        row = recipes.recipe(recipe)
        assert f"{row.variant}-x{row.scale}" == name
        assert f"SHA-256 `{row.init_sha256}`" in text
    # Training is credited with an int8 file only where it improved on the calibration.
    if "(update 0)" in text:
        assert re.search(r"is calibrated by `[^`]*tflite/qat\.py[^`]*`; its training did not improve on that", text)
        assert "quantization-aware" not in text
    else:
        made = r"made by quantization-aware training(, | \()`[^`]*tflite/qat\.py[^`]*`\)?: update \d+ of \d+, the best"
        assert re.search(made, text)
    for picture in re.findall(r"\]\((.*?\.png)\)", card):
        assert (pretrained.FOLDER / picture).is_file()
