import json
import shutil
import subprocess
import threading
import urllib.request

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import litert, reshaping, tiling
from web import build, serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not (shutil.which("node") and CHROMIUM), reason="needs node and chromium of the system"),
    pytest.mark.skipif(not (build.HERE / "node_modules/playwright-core").is_dir(), reason="npm ci --prefix web first"),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "dist"
    build.build(folder)
    return folder


def serving(server):
    """URL of a server, which runs until the generator is closed."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def url(dist):
    yield from serving(serve.open_server(dist))


@pytest.fixture
def bare_url(dist, tmp_path):
    """The page from a host that sends no headers of ours."""
    shutil.copytree(dist, tmp_path / "bare", ignore=shutil.ignore_patterns("_headers"))
    yield from serving(serve.open_server(tmp_path / "bare"))


def drive(url, **job):
    """What web/drive.mjs says of a job, after what holds for every one: no other host is asked, nothing is sent."""
    job = json.dumps(
        {"url": url, "chromium": CHROMIUM, **{k: str(v) if k in ("photo", "save") else v for k, v in job.items()}}
    )
    run = subprocess.run(["node", build.HERE / "drive.mjs", job], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["hosts"] == [url.removeprefix("http://")]
    assert result["sent"] == 0
    assert result["errors"] == []
    return result


def photograph(path, height, width):
    lr = sample.dead_leaves(max(height, width), seed=1)[:height, :width]
    Image.fromarray(lr).save(path)
    return lr


def whole(name, lr):
    """What Python makes of a photograph in the same tiles."""
    model = litert.Model(reshaping.reshape(pretrained.int8(name).read_bytes(), *build.TILE))
    return tiling.tiled(model.upscale, model.scale, build.TILE)(lr)


FIRST = "e-rfdn-x2"
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in pretrained.names() if name != FIRST]


@pytest.mark.parametrize("name", [FIRST, *OTHERS])
def test_one_tile_has_the_bytes_of_python(name, url, tmp_path):
    lr = photograph(tmp_path / "in.png", *build.TILE)
    network, scale = name.rsplit("-x", 1)
    drive(url, photo=tmp_path / "in.png", network=network, scale=scale, save=tmp_path / "out.png")
    interpreter = Interpreter(model_content=reshaping.reshape(pretrained.int8(name).read_bytes(), *build.TILE))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], lr[None])
    interpreter.invoke()
    sr = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), sr)


def test_cancelled_and_begun_again_a_photograph_has_the_bytes_of_python(url, tmp_path):
    lr = photograph(tmp_path / "in.png", 200, 330)
    result = drive(
        url,
        photo=tmp_path / "in.png",
        network="rfdn-mobile",
        scale=4,
        cancel=True,
        save=tmp_path / "out.png",
        how="paste",
    )
    cancelled, done = result["said"]
    assert cancelled == "Cancelled."
    assert done.startswith("1320 × 800 in ")
    assert "4 tiles, " in done
    assert "int8 on the CPU by WebAssembly" in done
    assert result["isolated"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), whole("rfdn-mobile-x4", lr))


def test_without_headers_one_thread_gives_the_same_bytes(bare_url, tmp_path):
    lr = photograph(tmp_path / "in.png", 70, 40)
    result = drive(
        bare_url, photo=tmp_path / "in.png", network="rfdn-mobile", scale=2, save=tmp_path / "out.png", how="drop"
    )
    assert not result["isolated"]
    assert "1 tile, " in result["said"][-1]
    assert "WebAssembly, 1 thread, " in result["said"][-1]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), whole("rfdn-mobile-x2", lr))


def test_what_is_no_image_is_named(url, tmp_path):
    (tmp_path / "notes.txt").write_text("no pixels")
    result = drive(url, photo=tmp_path / "notes.txt", how="drop")
    assert result["said"] == ["notes.txt is no image that this browser can read."]


def test_headers_allow_threads_and_no_other_host(url):
    with urllib.request.urlopen(f"{url}/worker.js") as answer:
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; ")


@pytest.mark.slow
def test_float_by_webgpu_is_within_a_grey_level_of_the_cpu(tmp_path):
    """On SwiftShader, Chromium's GPU in software: half a minute a tile."""
    build.build(tmp_path / "dist", float32=True)
    lr = photograph(tmp_path / "in.png", *build.TILE)
    files = {"photo": tmp_path / "in.png", "save": tmp_path / "out.png"}
    software = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    for url in serving(serve.open_server(tmp_path / "dist")):
        result = drive(url, **files, device="gpu", network="rfdn-mobile", scale=2, args=software)
    assert "float32 on the GPU by WebGPU" in result["said"][-1]
    sr = litert.Model(tmp_path / "dist/models/rfdn-mobile-x2_float32.tflite").upscale(lr)
    difference = np.abs(np.asarray(Image.open(tmp_path / "out.png")).astype(int) - sr)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
