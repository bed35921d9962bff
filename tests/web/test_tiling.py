import json
import shutil
import subprocess

import numpy as np
import pytest

from keras_rfdn.upscaling import tiling
from web import build

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="needs node (apt-get install nodejs)")

# Doubles each pixel, and keeps what each tile was given.
SCRIPT = """
import { cut, tiles, usedPart } from %s;
import { readFileSync } from 'node:fs';
const { image, tile } = JSON.parse(readFileSync(0, 'utf8'));
const double = (pixels, [height, width]) => Array.from({ length: 12 * height * width }, (_, i) => {
  const row = Math.floor(i / (6 * width)), column = Math.floor(i / 3) %% (2 * width);
  return pixels[3 * ((row >> 1) * width + (column >> 1)) + i %% 3];
});
console.log(JSON.stringify(tiles(image, tile).map((place) => {
  const given = cut(image, tile, place.y, place.x);
  const { data, ...part } = usedPart(double(given, tile), place, tile, 2);
  return { given: [...given], ...part, data: [...data] };
})));
"""

SMALL = 12, 20
CASES = [
    *((SMALL, size) for size in [(1, 1), (1, 30), (3, 50), (40, 9)]),  # a side is smaller than a tile, even by half
    *((SMALL, size) for size in [(12, 20), (13, 21), (21, 50), (41, 71)]),  # 21: a tile would start at 4.5
    ((70, 90), (120, 150)),  # all of the overlap
]


@pytest.mark.parametrize(("tile", "size"), CASES, ids=str)
def test_tiles_are_those_of_python(tile, size, rng):
    lr = rng.integers(0, 256, (*size, 3), np.uint8)
    image = {"height": size[0], "width": size[1], "data": lr.ravel().tolist()}
    script = SCRIPT % json.dumps((build.HERE / "tiling.js").as_uri())
    output = subprocess.run(
        ["node", "--input-type=module", "-e", script], input=json.dumps({"image": image, "tile": tile}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tiles = json.loads(output.stdout)
    given = []

    def double(tile):
        given.append(tile)
        return tile.repeat(2, axis=0).repeat(2, axis=1)

    parts = list(tiling.parts(double, lr, 2, tile))
    assert [t["given"] for t in tiles] == [tile.ravel().tolist() for tile in given]
    assert [(t["top"], t["left"]) for t in tiles] == [(top, left) for top, left, _ in parts]
    for t, (_, _, part) in zip(tiles, parts, strict=True):
        rgba = np.array(t["data"], np.uint8).reshape(t["height"], t["width"], 4)
        np.testing.assert_array_equal(rgba[..., :3], part)
        assert (rgba[..., 3] == 255).all()
