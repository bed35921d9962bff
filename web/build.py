"""Builds the browser page as a folder of static files, for any web server: the page, LiteRT.js, networks.

npm ci --prefix web                    LiteRT.js, of the version in web/package-lock.json
python web/build.py                    web/dist
python web/build.py --float32          float networks as well, for WebGPU; needs TensorFlow
"""

import dataclasses
import json
import pathlib
import re
import shutil

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system.errors import UserError

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint, pretrained
    from keras_rfdn.tflite.conversion import converter
    from keras_rfdn.upscaling import reshaping

HERE = pathlib.Path(__file__).resolve().parent
DIST = HERE / "dist"
PAGE = ("index.html", "style.css", "page.js", "worker.js", "tiling.js")
TILE = 180, 320  # height, width in LR pixels
LABELS = {"e-rfdn": "E-RFDN, the best", "rfdn-mobile": "RFDN mobile, the fastest", "rfdn": "RFDN"}  # first: chosen
# A host that reads _headers sends these, and web/serve.py does. The first two allow threads; the last keeps the page
# from asking other hosts for anything.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:",
}


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """Build the browser page into web/dist."""

    float32: bool = False  # float networks as well, for WebGPU; needs TensorFlow and takes a minute


def main(config):
    """Writes web/dist anew and returns its path. Raises UserError where LiteRT.js is not installed."""
    if DIST.exists():
        shutil.rmtree(DIST)
    build(DIST, float32=config.float32)
    size = sum(path.stat().st_size for path in DIST.rglob("*") if path.is_file())
    print(f"{DIST}: {size / 1e6:.0f} MB; python web/serve.py serves it")
    return DIST


def build(folder, *, float32=False):
    """Writes the page into a folder, which it makes. Raises UserError as main does."""
    litert = HERE / "node_modules/@litertjs"
    if not litert.is_dir():
        raise UserError("LiteRT.js is not installed; run: npm ci --prefix web")
    (folder / "models").mkdir(parents=True)
    for name in PAGE:
        shutil.copy(HERE / name, folder)
    _copy_litert(litert, folder / "litert")
    models = {"tile": TILE, "models": _write_models(folder, float32)}
    (folder / "models.json").write_text(json.dumps(models, indent=1))
    (folder / "_headers").write_text("/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items()))


def _copy_litert(source, target):
    """LiteRT.js as one folder. Workers know no import map, so its one import by name becomes one by path."""
    shutil.copytree(source / "core/wasm", target, ignore=shutil.ignore_patterns("*jspi*"))
    core = (source / "core/dist/index.js").read_text()
    (target / "core.js").write_text(core.replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"'))
    shutil.copy(source / "wasm-utils/dist/index.js", target / "wasm-utils.js")


def _write_models(folder, float32):
    """Writes the networks, for tiles alone, and returns what the page needs to know of each."""
    models = []
    names = [re.fullmatch(r"(.+)-x(\d)", name).groups() for name in pretrained.names()]
    for network, scale in sorted(names, key=lambda pair: (list(LABELS).index(pair[0]), pair[1])):
        name = f"{network}-x{scale}"
        contents = {"int8": reshaping.reshape(pretrained.int8(name).read_bytes(), *TILE)}
        if float32:
            model, config = checkpoint.load(pretrained.named(name))
            contents["float32"] = converter.convert(model, config, "float32", height=TILE[0], width=TILE[1])
        files = {precision: f"models/{name}_{precision}.tflite" for precision in contents}
        for precision, content in contents.items():
            (folder / files[precision]).write_bytes(content)
        models.append({"network": network, "label": LABELS[network], "scale": int(scale), **files})
    return models


if __name__ == "__main__":
    command.run(main, BuildConfig)
