import ctypes.util
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import StoppedError, UserError
from tools import check_gpu

DRIVER = pathlib.Path(os.environ.get("VK_ICD_FILENAMES", check_gpu.DRIVER))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two HR images: one that needs several tiles, and one that is smaller than a tile."""
    folder = tmp_path_factory.mktemp("images")
    for seed, side in enumerate((112, 56)):
        Image.fromarray(sample.dead_leaves(112, seed=seed)[:side, :side]).save(folder / f"{seed}.png")
    return str(folder)


@pytest.fixture
def path(fixed_tflite, tmp_path):
    """A tiny network in float32 for 32x40, x2."""
    copy = tmp_path / "tiny.tflite"
    copy.write_bytes(pathlib.Path(fixed_tflite).read_bytes())
    return copy


@pytest.fixture
def driver():
    """SwiftShader; a test that asks for it is skipped where it is not."""
    if not DRIVER.is_file() or not ctypes.util.find_library("vulkan"):
        pytest.skip(f"no {DRIVER} or no Vulkan loader: apt-get install chromium libvulkan1")
    return DRIVER


@pytest.fixture
def stand_in(monkeypatch):
    """stand_in(levels, accelerated): in the GPU's place the CPU, whose outputs are so many grey levels higher."""
    run = check_gpu.run

    def replace(levels, accelerated):
        def changed(runtime, path, driver):
            outputs, _ = run("compiled-cpu", path, driver)
            return (outputs + levels, accelerated) if runtime == "compiled-gpu" else (outputs, False)

        monkeypatch.setattr(check_gpu, "run", changed)

    return replace


def test_the_gpu_takes_a_network_wholly(driver, path, images):
    row = check_gpu.check(path, images, driver)
    assert row.accelerated
    assert 0 < row.rmse < row.largest < 0.01
    assert row.gpu == pytest.approx(row.cpu, abs=0.001)


def test_differences_are_in_grey_levels(stand_in, path, images):
    stand_in(2, True)
    row = check_gpu.check(path, images, DRIVER)
    assert (row.name, row.accelerated) == ("tiny", True)
    assert row.largest == pytest.approx(2, abs=1e-4)
    assert row.rmse == pytest.approx(2, abs=1e-4)
    assert row.gpu != row.cpu


def test_psnr_is_that_of_the_tiled_network(stand_in, path, images):
    stand_in(0, True)
    row = check_gpu.check(path, images, DRIVER)
    model = check_gpu.litert.Model(path.read_bytes())
    upscale = check_gpu.tiling.tiled(model.upscale, model.scale, model.tile)
    scores = check_gpu.scoring.evaluate(upscale, check_gpu.folders.find_pairs(images, 2), 2)
    assert row.gpu == row.cpu == pytest.approx(np.mean([score.psnr for score in scores.values()]), abs=1e-6)


def test_a_refused_operator_is_a_failure(stand_in, images, monkeypatch, tmp_path, capsys):
    stand_in(0, False)
    (tmp_path / "driver.json").touch()
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "driver.json"))
    monkeypatch.setattr(check_gpu.ctypes.util, "find_library", lambda name: name)
    monkeypatch.setattr(check_gpu, "SIDE", 28)
    with pytest.raises(SystemExit) as stopped:
        check_gpu.exit_with_verdict(check_gpu.CheckGpuConfig(images, networks=("rfdn-mobile-x4",)))
    assert stopped.value.code == 1
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert [row.split()[0] for row in rows] == ["rfdn-mobile-x4_int8", "rfdn-mobile-x4_float32"]
    assert all("not all" in row for row in rows)


def test_a_crash_is_told(path):
    np.save(path.with_suffix(".npy"), np.zeros((1, 32, 40, 3), np.uint8))
    path.write_bytes(b"no model")
    with pytest.raises(StoppedError, match=r"tiny.tflite on compiled-cpu: exit status 1"):
        check_gpu.run("compiled-cpu", path, DRIVER)


def test_a_missing_driver_is_named(images, monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", "nowhere.json")
    with pytest.raises(UserError, match=r"driver at nowhere\.json .* apt-get install chromium libvulkan1"):
        check_gpu.main(check_gpu.CheckGpuConfig(images))
