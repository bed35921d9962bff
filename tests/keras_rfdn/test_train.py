import dataclasses
import json
import pathlib
import shutil
import signal
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_rfdn import train
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources import folders
from keras_rfdn.data.streams import pipeline
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks.config import VARIANTS, ModelConfig, ZooConfig
from keras_rfdn.train import TrainConfig
from keras_rfdn.training import loop, recipes, workdir
from keras_rfdn.training.trainer import DivergedError, Trainer

TINY = ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=2, scale=2)


@pytest.fixture(scope="module", autouse=True)
def tiny_variant():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """(TrainConfig, returned record) of a run of four steps."""
    config = TrainConfig(
        variant="tiny", scale=2, data=str(photos), workdir=str(tmp_path_factory.mktemp("finished") / "run"), steps=4,
        batch=2, patch=16, validate_every=2, learning_rate=1e-3,
    )  # fmt: skip
    return config, train.main(config)


@pytest.fixture
def config(finished, tmp_path):
    """Settings of the finished run, in a workdir yet to be made."""
    return dataclasses.replace(finished[0], workdir=str(tmp_path / "run"))


@pytest.fixture
def batches(photos):
    """stream(stage, start, shard, shards) as train.main makes it."""
    pairs = pipeline.cache(folders.find_pairs(photos, 2).split(1)[0])
    return lambda stage, start, *_: pipeline.stream(pairs, lr_patch=16, batch=2, start=start)


@pytest.fixture
def valid(photos):
    return list(folders.find_pairs(photos, 2).split(1)[1])


def fit(config, batches, valid, **changes):
    config = dataclasses.replace(config, **changes)
    trainer = Trainer(TINY, train.stages_of(config), valid, pathlib.Path(config.workdir))
    return loop.fit(trainer, batches, validate_every=config.validate_every)


def test_a_run_leaves_what_it_promises(finished, photos):
    config, record = finished
    folder = pathlib.Path(config.workdir)
    assert json.loads((folder / "config.json").read_text()) == dataclasses.asdict(config)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[-1] == record
    assert record["best_psnr_y"] == max(line["psnr_y"] for line in lines)
    assert 0 < record["loss"] < 255
    assert not [*folder.glob("*.tmp*")]

    # The best weights score what the record says, computed by hand on the file that was held out.
    model, _ = checkpoint.load(folder)
    model_config, facts = checkpoint.about(folder / checkpoint.BEST)
    hr = image_files.read(photos / "5.png")
    ((_, lr, _),) = folders.find_pairs(photos, 2).split(1)[1]
    sr = model(lr[None].astype(np.float32))[0].numpy().round().clip(0, 255).astype(np.uint8)
    assert metrics.psnr_y(sr, hr, shave=2) == pytest.approx(record["best_psnr_y"], abs=1e-3)
    assert (model_config, facts["psnr_y"]) == (TINY, record["best_psnr_y"])
    assert checkpoint.about(folder / checkpoint.LAST)[1] == {"step": 4}

    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["variant"], summary["scale"], summary["steps"], summary["recipe"]) == ("tiny", 2, 4, None)
    assert summary["parameters"] == sum(weight.size for weight in model.get_weights())
    assert summary["best_psnr_y"] == record["best_psnr_y"]
    assert summary["bicubic_psnr_y"] == pytest.approx(metrics.psnr_y(bicubic.upscale(lr, 2), hr, shave=2))
    assert 0 < record["data_wait"] < 1
    assert 0 < summary["hours"] == record["hours"] < 1
    assert image_files.read(folder / "curve.png").std() > 10

    found = {}
    for file in (folder / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    assert found["train/data_wait"].keys() == found["train/images_per_second"].keys() == {2, 4}
    assert found["train/loss"].keys() == found["valid/psnr_y"].keys() == {2, 4}
    assert found["train/loss"][4] == pytest.approx(record["loss"])
    assert found["train/learning_rate"][4] == pytest.approx(1e-3)
    assert found["valid/psnr_y"][4] == pytest.approx(record["psnr_y"])
    picture = tf.io.decode_png(found["valid/bicubic_network_original"][4][2]).numpy()  # after width and height
    assert picture.shape == (48, 3 * 48, 3)
    np.testing.assert_array_equal(picture[:, 96:], hr)


def test_stages_of_a_config_without_recipe():
    config = TrainConfig(steps=7, batch=3, patch=20, learning_rate=1e-3, schedule="cosine", warmup=2, loss="l2")
    assert train.stages_of(config) == (
        recipes.Stage(7, 3, 20, 1e-3, "cosine", 200_000, 2, "l2"),
    )  # fmt: skip


def test_stages_of_a_recipe():
    row = recipes.RECIPES["aim2020-erfdn"]
    config = TrainConfig(recipe="aim2020-erfdn", **row.settings())
    assert train.stages_of(config) == row.stages
    assert config.steps == 1_200_000
    with pytest.raises(ValueError, match=r"--batch 3 contradicts recipe aim2020-erfdn, which fixes 64"):
        train.stages_of(dataclasses.replace(config, batch=3))
    with pytest.raises(ValueError, match=r"--scale 4 contradicts recipe paper-rfdn-x2, which fixes 2"):
        train.stages_of(TrainConfig(recipe="paper-rfdn-x2"))
    with pytest.raises(ValueError, match=r"unknown recipe 'paper'; choose from paper-rfdn-x2"):
        train.stages_of(TrainConfig(recipe="paper"))


@pytest.mark.parametrize("words", [["--recipe", "paper-rfdn-x2"], ["--recipe=paper-rfdn-x2", "--steps", "3"]])
def test_preset_of_a_command_line(words):
    fields = train.preset(["train", "--data", "sample", *words])
    assert fields == {"recipe": "paper-rfdn-x2", **recipes.RECIPES["paper-rfdn-x2"].settings()}
    assert fields["scale"] == 2


def test_no_preset_without_a_recipe():
    assert train.preset(["train", "--scale", "2"]) == {}


def test_finished_run_is_not_started_again(finished):
    config, record = finished[:2]
    before = (pathlib.Path(config.workdir) / "metrics.jsonl").read_text()
    assert train.main(config) == record
    assert (pathlib.Path(config.workdir) / "metrics.jsonl").read_text() == before


def test_steps_are_part_of_a_cosine(config, tmp_path):
    cosine = dataclasses.replace(config, schedule="cosine")
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps(dataclasses.asdict(cosine)))
    with pytest.raises(ValueError, match="steps was 4 and is now 9"):
        train.main(dataclasses.replace(cosine, steps=9))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_noted_and_their_handlers_come_back(number):
    handler = signal.getsignal(number)
    with loop.stop_signals() as stopped:
        assert not stopped()
        signal.raise_signal(number)
        assert stopped()
    assert signal.getsignal(number) is handler


def test_divergence_leaves_the_last_good_weights(finished, config, batches, valid):
    folder = pathlib.Path(config.workdir)
    shutil.copytree(finished[0].workdir, folder)
    before = {name: (folder / name).read_bytes() for name in (checkpoint.BEST, checkpoint.LAST)}
    with pytest.raises(DivergedError, match=r"no finite number by step 6 .*last\.h5.*smaller learning_rate"):
        fit(config, batches, valid, learning_rate=1e30, steps=9)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert {p.name for p in (folder / "state").glob("*.index")} == {"ckpt-2.index", "ckpt-4.index"}


@pytest.mark.parametrize(
    ("flag", "error"),
    [
        ({"variant": "rdfn"}, "unknown variant 'rdfn'"),
        ({"scale": 5}, "--scale must be one of 2, 3, 4, got 5"),
        ({"steps": 0}, "--steps must be above 0, got 0"),
        ({"learning_rate": -1e-4}, "--learning_rate must be above 0"),
        ({"patch": 14}, "--patch must be 15 or above, got 14"),
        ({"warmup": -1}, "--warmup must be 0 or above, got -1"),
        ({"schedule": "linear"}, "--schedule must be one of halving, cosine, constant, got linear"),
        ({"mixed_precision": "float8"}, "--mixed_precision must be one of float32, float16, bfloat16, got float8"),
        ({"loss": "l3"}, "--loss must be one of l1, l2, charbonnier, got l3"),
        ({"strategy": "tpu"}, "--strategy must be one of one, mirrored, multiworker, got tpu"),
        ({"ema": 1.0}, "--ema must be 0 or above and below 1, got 1"),
        ({"clip_norm": -1}, "--clip_norm must be 0 or above, got -1"),
        ({"validate_every": 0}, "--validate_every must be above 0, got 0"),
        ({"init": "/absent"}, "no weight file at /absent"),
        ({"extra_data": "/absent"}, "/absent is not a folder"),
        ({"patch": 30}, "no image has LR sides of 30 pixels"),
        ({"valid": "/absent"}, "/absent is not a folder"),
    ],
)
def test_bad_flags(config, flag, error):
    with pytest.raises(ValueError, match=error):
        train.main(dataclasses.replace(config, **flag))


def test_no_readable_validation_image(config, tmp_path):
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/a.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="no validation image could be read"):
        train.main(dataclasses.replace(config, valid=str(tmp_path / "valid"), skip_broken=True))


def values(folder):
    """{name: array} of the newest state in a workdir, but for the seconds that it took."""
    reader = tf.train.load_checkpoint(folder / workdir.STATE)
    names = [name for name in reader.get_variable_to_dtype_map() if not name.startswith(("_CHECK", "seconds", "save_"))]
    return {name: reader.get_tensor(name) for name in names}


def measured(folder):
    """metrics.jsonl without what the machine and the clock decide."""
    machine = {"time", "hours", "images_per_second", "data_wait"}
    return [{key: line[key] for key in line.keys() - machine} for line in workdir.records(folder)]


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
def test_killed_and_started_again_equals_never_stopped(start_training, tmp_path, precision, rng):
    flags = ["--mixed_precision", precision, "--validate_every", 4]
    straight = start_training(tmp_path / "straight", *flags)
    # In the first run a state is saved where it validates alone, so that updates are lost; in the second after every
    # update, so that the kill comes in the middle of saving.
    for step, minutes in ((rng.integers(5, 12), 10), (rng.integers(13, 17), 0)):
        killed = start_training(tmp_path / "killed", *flags, "--save_minutes", minutes)
        killed.wait_for(f"step {step}/18")
        time.sleep(rng.random() / 10)
        killed.process.kill()
        assert killed.wait() == -signal.SIGKILL
    last = start_training(tmp_path / "killed", *flags)
    assert (straight.wait(), last.wait()) == (0, 0)
    assert "resumed at step 1" in last.text()
    ours, theirs = values(tmp_path / "killed"), values(tmp_path / "straight")
    assert int(ours["step/.ATTRIBUTES/VARIABLE_VALUE"]) == 18
    assert ours.keys() == theirs.keys()
    assert sum("average" in name or "optimizer" in name for name in ours) > 30
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    assert measured(tmp_path / "killed") == measured(tmp_path / "straight")
    for name in (checkpoint.BEST, checkpoint.LAST):
        a, b = (checkpoint.load(tmp_path / run / name)[0].get_weights() for run in ("killed", "straight"))
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_sigterm_saves_and_exits_cleanly(start_training, tmp_path):
    training = start_training(tmp_path / "run", "--validate_every", 1000)
    training.wait_for("step 3/18")
    training.process.terminate()
    assert training.wait() == 0
    step = checkpoint.about(tmp_path / "run" / checkpoint.LAST)[1]["step"]
    assert 3 <= step < 18
    assert f"stopped at step {step}; the same command resumes there" in training.text()
    assert not (tmp_path / "run" / checkpoint.BEST).exists()  # it does not validate first: a SIGTERM may not wait long
    again = start_training(tmp_path / "run", "--validate_every", 1000)
    assert again.wait() == 0
    assert f"resumed at step {step}" in again.text()
    assert checkpoint.about(tmp_path / "run" / checkpoint.LAST)[1]["step"] == 18


def test_a_network_of_the_zoo(config):
    train.main(dataclasses.replace(config, variant="fsrcnn", steps=1, validate_every=1))
    assert checkpoint.about(pathlib.Path(config.workdir) / checkpoint.BEST)[0] == ZooConfig("fsrcnn", 2)


def test_what_is_saved_of_a_network_with_branches_is_merged(config, monkeypatch):
    row = dataclasses.replace(VARIANTS["ecbsr-mobile"], channels=8, num_blocks=1)
    monkeypatch.setitem(VARIANTS, "branches", row)
    train.main(dataclasses.replace(config, variant="branches", steps=1, validate_every=1))
    saved, _ = checkpoint.load(pathlib.Path(config.workdir))
    kernels = [(3, 8), (8, 8), (8, 12)]  # input and output channels of the convolutions
    parameters = sum(9 * inputs * outputs + outputs for inputs, outputs in kernels)
    assert saved.count_params() == parameters
    assert json.loads((pathlib.Path(config.workdir) / "summary.json").read_text())["parameters"] == parameters


def test_a_recipe_may_start_from_anothers_weights(config, monkeypatch, tmp_path, finished):
    row = recipes.Recipe("here", "leaves", "little", 0, "tiny", 4, train.stages_of(config), init_from="first")
    monkeypatch.setitem(recipes.RECIPES, "second", row)
    config = dataclasses.replace(config, recipe="second", **row.settings())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="recipe second starts from the weights of first: train that first, or name"):
        train.initial_weights(config)
    shutil.copytree(finished[0].workdir, tmp_path / checkpoint.RUNS / "first")
    assert train.initial_weights(config) == checkpoint.RUNS / "first" / checkpoint.BEST
    named = dataclasses.replace(config, init=finished[0].workdir)
    assert train.initial_weights(named) == pathlib.Path(finished[0].workdir) / checkpoint.BEST
    assert train.initial_weights(dataclasses.replace(finished[0])) is None


def test_a_recipe_may_pin_a_release_of_weights(config, monkeypatch, finished):
    best = pathlib.Path(finished[0].workdir) / checkpoint.BEST
    row = recipes.Recipe(
        "here", "leaves", "little", 0, "tiny", 2, train.stages_of(config), init_from=finished[0].workdir,
        init_sha256=files.sha256(best),
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "pinned", row)
    config = dataclasses.replace(config, recipe="pinned", **row.settings())
    assert train.initial_weights(config) == best
    last = str(best.with_name(checkpoint.LAST))
    with pytest.raises(ValueError, match=r"pinned starts from the weights .* of SHA-256 .*, and .*last\.h5 are others"):
        train.initial_weights(dataclasses.replace(config, init=last))


def test_a_training_never_ends_worse_than_it_started(config, finished):
    """What it starts from is measured as update 0, and kept where no update is better."""
    start = pathlib.Path(finished[0].workdir) / checkpoint.BEST
    config = dataclasses.replace(config, init=str(start), steps=1, learning_rate=10.0)
    record = train.main(config)
    folder = pathlib.Path(config.workdir)
    first, last = workdir.records(folder)
    assert (first["step"], first["loss"], last["step"]) == (0, None, 1)
    assert first["psnr_y"] == record["best_psnr_y"] > last["psnr_y"]
    kept, begun = (checkpoint.load(path)[0].get_weights() for path in (folder / checkpoint.BEST, start))
    assert all((a == b).all() for a, b in zip(kept, begun, strict=True))
    assert json.loads((folder / "summary.json").read_text())["best_step"] == 0


def test_a_recipe_that_starts_from_the_authors_weights_wants_their_file(config):
    name = "cpu-e-rfdn-x2"
    config = dataclasses.replace(config, recipe=name, **recipes.recipe(name).settings())
    with pytest.raises(ValueError, match=rf"{name} starts from the authors' RFDN_AIM\.pth: name that file with --init"):
        train.initial_weights(config)


def test_extra_data_is_trained_on_too(finished, config, photos, caplog):
    caplog.set_level("INFO", logger="absl")
    train.main(dataclasses.replace(config, extra_data=str(photos), steps=1))
    assert "11 training images, 1 to validate on" in caplog.text


def test_an_image_is_left_out_of_stages_alone_whose_patch_it_is_too_small_for(config, tmp_path, monkeypatch):
    rows = (recipes.Stage(steps=1, batch=8, patch=16), recipes.Stage(steps=1, batch=8, patch=24))
    monkeypatch.setattr(train, "stages_of", lambda config: rows)
    (tmp_path / "data").mkdir()
    levels = {40: 10, 64: 200}  # HR side of an image: its grey level
    for side, level in levels.items():
        Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(tmp_path / f"data/{side}.png")
    batches = []
    monkeypatch.setattr(train.trainers, "Trainer", lambda *_, **__: types.SimpleNamespace(steps=2))
    monkeypatch.setattr(
        train.loop, "fit", lambda _, stream, **__: batches.extend(next(iter(stream(i, 0, 0, 1))) for i in (0, 1)) or {}
    )
    train.main(dataclasses.replace(config, data=str(tmp_path / "data"), valid=config.data))
    first, second = batches
    assert set(np.unique(first[0])) == {10, 200}
    assert set(np.unique(second[0])) == {200}


def test_fewer_steps_than_are_done_before_the_first_validation(config):
    """A run is stopped before it has validated and is started again with fewer steps than it has made."""
    folder = pathlib.Path(config.workdir)
    trainer = Trainer(TINY, train.stages_of(config), [], folder)
    trainer.state.step.assign(3)
    trainer.save()
    assert train.main(dataclasses.replace(config, steps=2)) == {}
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("chief", [True, False])
def test_only_the_chief_checks_and_saves_when_a_save_is_due(config, batches, valid, monkeypatch, chief):
    """The other workers never save: their time since a save only grows, and must not cost them every update."""
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    stage = recipes.Stage(steps=6, batch=2, patch=16)
    trainer = Trainer(TINY, (stage,), valid, pathlib.Path(config.workdir))
    trainer.chief = chief
    calls = {"check_finite": [], "save": []}
    for name, steps in calls.items():
        method = getattr(trainer, name)
        monkeypatch.setattr(
            trainer, name, lambda *a, method=method, steps=steps: steps.append(int(trainer.state.step)) or method(*a)
        )
    loop.fit(trainer, batches, validate_every=4, save_minutes=0)
    every = [*range(1, 7)]
    assert calls == ({"check_finite": every, "save": every} if chief else {"check_finite": [4, 5, 6], "save": []})


def test_a_record_between_two_reports_has_its_own_loss_and_speed(config, batches, valid, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1000)
    record = fit(config, batches, valid, steps=3, validate_every=2)
    first, last = workdir.records(pathlib.Path(config.workdir))
    assert (first["step"], last) == (2, record)
    assert all(np.isfinite(first[key]) for key in ("loss", "images_per_second", "data_wait"))


def test_a_disk_that_is_full_when_a_record_is_written(config, batches, valid, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(workdir, "add_record", full)
    with pytest.raises(StoppedError, match=r"step 2 could not be saved \(No space left .*Make room in .*run"):
        fit(config, batches, valid)
