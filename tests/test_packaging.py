"""The wheel and the editable installation: what is installed, under which names, and that commands start."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy as np
import pytest
from PIL import Image

import keras_rfdn
from keras_rfdn.data.sources import sample

PACKAGES = {"data": "keras_rfdn/data", "keras_rfdn": "keras_rfdn", "tflite": "keras_rfdn/tflite"}  # folder: in a wheel


@pytest.fixture(scope="module")
def sources(root):
    """Files of the working tree that git tracks or would track, relative to root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    return [path for path in map(pathlib.PurePosixPath, listed) if (root / path).is_file()]


@pytest.fixture(scope="module")
def wheel_file(root, sources, tmp_path_factory):
    """Path of a wheel built from a copy of the sources."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for path in sources:
        if path.parts[0] not in ("tests", "docs"):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, copy / path)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy]
    built = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file):
    """The wheel, opened."""
    with zipfile.ZipFile(wheel_file) as opened:
        yield opened


def test_a_wheel_holds_one_package_and_nothing_beside_it(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    (metadata,) = top - {"keras_rfdn"}
    assert metadata.startswith("keras_rfdn-")
    assert metadata.endswith(".dist-info")
    assert {f"{metadata}/licenses/LICENSE", f"{metadata}/licenses/NOTICE"} < set(wheel.namelist())
    assert "\nLicense-Expression: MIT\n" in wheel.read(f"{metadata}/METADATA").decode()


def test_every_module_and_weight_file_is_in_the_wheel(wheel, sources):
    """A folder that is missing from pyproject.toml's list of packages fails here."""
    expected = {
        f"{PACKAGES[path.parts[0]]}/{path.relative_to(path.parts[0])}"
        for path in sources
        if path.parts[0] in PACKAGES
        and (path.suffix in (".py", ".json") or (path.parent.name == "weights" and path.suffix != ".png"))
    }
    assert sum(name.endswith(".h5") for name in expected) >= 6
    assert expected == {name for name in wheel.namelist() if name.startswith("keras_rfdn/")}


def test_the_wheel_finds_its_weights_and_its_parts_from_anywhere(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    code = (
        "import keras_rfdn, keras_rfdn.data, keras_rfdn.tflite; from keras_rfdn.checkpoints import pretrained;"
        "print(keras_rfdn.tflite.__file__, *pretrained.names())"
    )
    file, *names = _output([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(tmp_path / "site")).split()
    assert pathlib.Path(file) == tmp_path / "site/keras_rfdn/tflite/__init__.py"
    assert "e-rfdn-x4" in names


def test_a_photograph_is_upscaled_where_the_wheel_alone_is_installed(wheel_file, tmp_path):
    """In an empty environment, into which pip brings what pyproject.toml says: no TensorFlow."""
    venv.create(tmp_path / "venv", with_pip=True)
    python, rfdn = tmp_path / "venv/bin/python", tmp_path / "venv/bin/rfdn"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel_file]
    subprocess.run(pip, cwd=tmp_path, check=True, capture_output=True)
    lr = sample.dead_leaves(48, seed=1)
    Image.fromarray(lr).save(tmp_path / "in.png")
    _output([rfdn, "in.png", "out.png", "--scale", "2"], tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), keras_rfdn.upscale_image(lr, scale=2))
    code = (
        "import importlib.util as u; print([n for n in ('tensorflow', 'tf_keras', 'data', 'tflite') if u.find_spec(n)])"
    )
    assert _output([python, "-I", "-c", code], tmp_path).strip() == "[]"
    for words in (["-m", "keras_rfdn.train"], ["-m", "keras_rfdn.upscale", "in.png", "float.png", "--float"]):
        done = subprocess.run([python, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count('pip install "keras-rfdn[train]"') == 1
        assert "Traceback" not in done.stderr


def test_nothing_called_data_or_tflite_is_installed(root, tmp_path):
    """PyPI has a package tflite, which may be there; ours must not be found under that name."""
    code = (
        "import importlib.util as u; print(*(getattr(u.find_spec(name), 'origin', None) "
        "for name in ('data', 'tflite', 'keras_rfdn.data', 'keras_rfdn.tflite')))"
    )
    *outside, data, tflite = _output([sys.executable, "-c", code], tmp_path).split()
    assert not [origin for origin in outside if pathlib.Path(origin).is_relative_to(root / "data")]
    assert not [origin for origin in outside if pathlib.Path(origin).is_relative_to(root / "tflite")]
    assert [pathlib.Path(data), pathlib.Path(tflite)] == [root / "data/__init__.py", root / "tflite/__init__.py"]


def test_commands_start_from_a_clone(root):
    """By their path and by their module's name. They run side by side, since each imports TensorFlow."""
    commands = (["tflite/convert.py"], ["-m", "keras_rfdn.tflite.convert"], ["-m", "keras_rfdn.train"])
    running = [
        subprocess.Popen([sys.executable, *command, "--help"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    for command, process in zip(commands, running, strict=True):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, (command, errors.decode())
        assert b"--weights" in output or b"--variant" in output, command


def _output(command, cwd, **environment):
    return subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    ).stdout
