// Tiling: an upscaler of one fixed size becomes one for images of any size. The same tiles, padding and cuts as
// keras_rfdn/upscaling/tiling.py makes for a given tile, so that the bytes are the same as Python's.
// An image is {height, width, data}, data: Uint8 RGB, rows first.

const OVERLAP = 16; // LR pixels of context around the part of a tile that is used

/** Tiles of an image: [{y, x, top, left, bottom, right}], rows first: where a tile starts and which part of it is used,
 * all in LR pixels of the image. tile: [height, width]. */
export function tiles(image, tile) {
  const overlap = Math.min(OVERLAP, Math.floor(Math.min(...tile) / 4));
  const columns = windows(image.width, tile[1], overlap);
  return windows(image.height, tile[0], overlap).flatMap(([y, top, bottom]) =>
    columns.map(([x, left, right]) => ({ y, x, top, left, bottom, right })));
}

/** Along one axis: [start of the tile, start and end of the part that is used] for each tile. */
function windows(size, tile, overlap) {
  const count = size <= tile ? 1 : Math.ceil((size - 2 * overlap) / (tile - 2 * overlap));
  const step = count > 1 ? (size - tile) / (count - 1) : 0;
  const starts = Array.from({ length: count }, (_, i) => roundHalfEven(i * step));
  const cuts = [0, ...starts.slice(1).map((next, i) => Math.floor((starts[i] + tile + next) / 2)), size];
  return starts.map((start, i) => [start, cuts[i], cuts[i + 1]]);
}

/** As NumPy rounds. */
function roundHalfEven(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

/** Pixels of a tile that starts at y, x: Uint8 RGB of [height, width]. What lies outside the image is its reflection. */
export function cut(image, [height, width], y, x) {
  const pixels = new Uint8Array(height * width * 3);
  const columns = Array.from({ length: width }, (_, i) => 3 * reflect(x + i, image.width));
  for (let row = 0, to = 0; row < height; row++) {
    const from = 3 * image.width * reflect(y + row, image.height);
    for (const column of columns) {
      pixels[to++] = image.data[from + column];
      pixels[to++] = image.data[from + column + 1];
      pixels[to++] = image.data[from + column + 2];
    }
  }
  return pixels;
}

/** Index inside 0..size-1 whose pixel stands at an index of 0 or above: 0 1 2 3 2 1 0 1 ... for a size of 4. */
function reflect(index, size) {
  const period = Math.max(1, 2 * (size - 1));
  return Math.min(index % period, period - (index % period));
}

/** Part of an upscaled tile that is used, as RGBA, which is what a canvas takes: {top, left, height, width, data} in SR
 * pixels. sr: Uint8 RGB of a tile. */
export function usedPart(sr, { y, x, top, left, bottom, right }, [, tileWidth], scale) {
  const height = (bottom - top) * scale, width = (right - left) * scale;
  const data = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let row = 0, to = 0; row < height; row++) {
    let from = 3 * (((top - y) * scale + row) * tileWidth * scale + (left - x) * scale);
    for (let column = 0; column < width; column++, to += 4) {
      data[to] = sr[from++];
      data[to + 1] = sr[from++];
      data[to + 2] = sr[from++];
    }
  }
  return { top: top * scale, left: left * scale, height, width, data };
}
