import dataclasses
import json
import os
import pathlib
import resource

import h5py
import numpy as np
import pytest

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig

TINY = ModelConfig("rfdb", channels=4, num_blocks=1, attention="cca", reduction=2, scale=3)


@pytest.fixture(scope="module")
def model():
    return models.build(TINY)


def test_round_trip(tmp_path, model, rng):
    checkpoint.save(model, TINY, tmp_path / "new/a.h5", step=7, psnr_y=30.5)
    assert checkpoint.about(tmp_path / "new/a.h5") == (TINY, {"step": 7, "psnr_y": 30.5})
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.h5"]
    loaded, config = checkpoint.load(tmp_path / "new/a.h5", height=16, width=20)
    assert (config, loaded.input_shape) == (TINY, (None, 16, 20, 3))
    lr = rng.uniform(0, 255, (1, 16, 20, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(lr), model(lr))


def test_weights_of_mixed_precision_load_in_float32(tmp_path):
    trained = models.build(TINY, precision="bfloat16")
    checkpoint.save(trained, TINY, tmp_path / "a.h5")
    for a, b in zip(trained.get_weights(), checkpoint.load(tmp_path / "a.h5")[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_failure_while_writing_leaves_the_old_file(tmp_path, model, monkeypatch):
    path = tmp_path / "a.h5"
    checkpoint.save(model, TINY, path, step=1)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(model, TINY, path, step=object())  # no JSON: fails after the weights are written
    monkeypatch.setattr(pathlib.Path, "write_bytes", lambda path, _: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpoint.save(model, TINY, path, step=2)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("size", [0, 2000, 20000, 33000])
def test_a_full_disk_is_an_error_of_the_system(tmp_path, model, size):
    """HDF5 itself raises RuntimeError as it closes a file, and then crashes; here it writes to memory alone."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
        with pytest.raises(OSError, match="File too large"):
            checkpoint.save(model, TINY, tmp_path / "a.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert [*tmp_path.iterdir()] == []


def test_foreign_files_are_refused(tmp_path, model):
    model.save_weights(tmp_path / "keras.h5")
    (tmp_path / "text.h5").write_text("weights")
    checkpoint.save(model, TINY, tmp_path / "newer.h5")
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs[checkpoint.ATTRIBUTE] = '{"config": {"block": "rfdb", "depth": 3}}'
    for name in ("keras.h5", "text.h5", "newer.h5"):
        with pytest.raises(ValueError, match=f"{name} .*weight file of keras_rfdn"):
            checkpoint.load(tmp_path / name)
    with pytest.raises(ValueError, match=r"no weight file at .*absent\.h5; train one"):
        checkpoint.load(tmp_path / "absent.h5")


def test_a_workdir_stands_for_its_best_else_last(tmp_path, model):
    with pytest.raises(ValueError, match=r"no best\.h5 or last\.h5 in"):
        checkpoint.resolve(tmp_path)
    checkpoint.save(model, TINY, tmp_path / "last.h5")
    assert checkpoint.resolve(tmp_path) == tmp_path / "last.h5"
    checkpoint.save(model, TINY, tmp_path / "best.h5")
    assert checkpoint.resolve(str(tmp_path)) == tmp_path / "best.h5"
    assert checkpoint.resolve(tmp_path / "last.h5") == tmp_path / "last.h5"


def test_nothing_named_is_the_newest_run(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "nothing shipped")
    with pytest.raises(ValueError, match="no trained run in runs/, and no weights of e-rfdn-x4 are shipped, only none"):
        checkpoint.resolve()
    for name, age in (("a", 10), ("b", 0), ("c", 20)):
        path = checkpoint.RUNS / name / "best.h5"
        # Only the oldest is of another scale.
        checkpoint.save(model, dataclasses.replace(TINY, scale=2) if name == "c" else TINY, path)
        os.utime(path, (1e9 - age, 1e9 - age))
    (checkpoint.RUNS / "qat").mkdir()
    model.save_weights(checkpoint.RUNS / "qat" / "best.h5")  # the newest, but of int8 fine-tuning
    assert checkpoint.resolve() == pathlib.Path("runs/b/best.h5")
    assert checkpoint.resolve(scale=2) == pathlib.Path("runs/c/best.h5")
    with pytest.raises(ValueError, match="no trained run of rfdn x3 in runs/"):
        checkpoint.resolve(variant="rfdn", scale=3)


def test_a_damaged_newest_run_is_named_and_no_other_taken(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, age in (("new", 0), ("old", 10)):
        path = checkpoint.RUNS / name / "best.h5"
        checkpoint.save(model, TINY, path)
        os.utime(path, (1e9 - age, 1e9 - age))
    newest = checkpoint.RUNS / "new" / "best.h5"
    newest.write_bytes(newest.read_bytes()[:1000])
    for wanted in ({}, {"scale": 3}):
        with pytest.raises(ValueError, match=r"runs/new/best\.h5 is .* damaged .*\. It is the newest run's: delete it"):
            checkpoint.resolve(**wanted)
    newest.unlink()
    assert checkpoint.resolve() == pathlib.Path("runs/old/best.h5")


def test_names_that_older_weight_files_have(tmp_path):
    """ModelConfig's distillation_rate was called distillation, and the network image_residual anchored."""
    path, config = tmp_path / "a.h5", dataclasses.replace(TINY, network="image_residual", distillation_rate=0.25)
    checkpoint.save(models.build(config), config, path)
    with h5py.File(path, "r+") as file:
        facts = json.loads(file.attrs[checkpoint.ATTRIBUTE])
        fields = facts["config"] | {"network": "anchored"}
        fields["distillation"] = fields.pop("distillation_rate")
        file.attrs[checkpoint.ATTRIBUTE] = json.dumps(facts | {"config": fields})
    assert checkpoint.about(path)[0] == config
    assert checkpoint.load(path)[1] == config


def test_without_a_run_it_is_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint.resolve() == pretrained.FOLDER / "e-rfdn-x4.h5"
    assert checkpoint.resolve(scale=2) == pretrained.FOLDER / "e-rfdn-x2.h5"
    assert checkpoint.resolve(variant="rfdn-mobile", scale=4) == pretrained.FOLDER / "rfdn-mobile-x4.h5"


def test_a_shipped_one_by_name(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint.resolve("e-rfdn-x2") == pretrained.FOLDER / "e-rfdn-x2.h5"
    with pytest.raises(ValueError, match=r"no weight file at e-rfdn-x5; .* those shipped: e-rfdn-x2, .*e-rfdn-x4"):
        checkpoint.resolve("e-rfdn-x5")
    checkpoint.save(model, TINY, tmp_path / "e-rfdn-x2" / "best.h5")
    assert checkpoint.resolve("e-rfdn-x2") == pathlib.Path("e-rfdn-x2/best.h5"), "the user's own comes first"


def test_weights_of_another_network_than_asked_for(tmp_path, model):
    checkpoint.save(model, TINY, tmp_path / "a.h5")
    assert checkpoint.resolve(tmp_path / "a.h5", scale=3) == tmp_path / "a.h5"
    with pytest.raises(ValueError, match=r"a\.h5 holds rfdb x3, not e-rfdn x4"):
        checkpoint.resolve(tmp_path / "a.h5", variant="e-rfdn", scale=4)


def test_damage_anywhere_in_a_weight_file_is_named(tmp_path, model, monkeypatch):
    """Cut, or with bytes changed where HDF5 keeps names and places: the error says which file it is."""
    path, build = tmp_path / "a.h5", models.build
    checkpoint.save(model, TINY, path)
    monkeypatch.setattr(models, "build", lambda config, **options: model if config == TINY else build(config))
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), []
    for number in range(24):
        damaged = bytearray(content)
        for place in rng.integers(0, 4096, 4):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged if number % 4 else content[: rng.integers(len(content))])
        try:
            checkpoint.load(path)
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 12
    assert all(str(path) in message and "\n" not in message for message in refused)
