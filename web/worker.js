// The worker: upscales a photograph by LiteRT.js, tile by tile. A classic worker, because LiteRT.js loads its WebAssembly
// by importScripts. In: see onmessage. Out: {loaded}, then {part, share, msLeft} for each tile, then {done}, or {failed}.

const LITERT = new URL('litert/', self.location.href).href;
// Else the WebAssembly and its threads' script would be looked for under the name of this worker.
self.Module = { locateFile: (file) => LITERT + file, mainScriptUrlOrBlob: `${LITERT}litert_wasm_threaded_internal.js` };

const imports = Promise.all([import('./tiling.js'), import('./litert/core.js')]);
let runtime = null; // what LiteRT.js runs on, in words, once it is loaded
let opened = { file: null, model: null };

/** image: {height, width, data: Uint8 RGB}. tile: [height, width] of the model in file. */
self.onmessage = async ({ data: { image, tile, scale, file, gpu } }) => {
  try {
    const [{ tiles, cut, usedPart }, litert] = await imports;
    let started = performance.now();
    const model = await open(litert, file, gpu);
    const loadMs = performance.now() - started;
    postMessage({ loaded: runtime });

    started = performance.now();
    const all = tiles(image, tile);
    for (const [index, place] of all.entries()) {
      const sr = await upscale(litert, model, cut(image, tile, place.y, place.x), tile);
      const part = usedPart(sr, place, tile, scale);
      const share = (index + 1) / all.length;
      const msLeft = (performance.now() - started) * (1 / share - 1);
      postMessage({ part, share, msLeft }, [part.data.buffer]);
    }
    postMessage({ done: { runtime, tiles: all.length, ms: performance.now() - started, loadMs } });
  } catch (error) {
    postMessage({ failed: error.message ?? String(error) });
  }
};

/** The model in a file, compiled; the last one is kept. */
async function open(litert, file, gpu) {
  if (opened.file === file) return opened.model;
  const threads = self.crossOriginIsolated && await litert.supportsFeature('threads') && await litert.supportsFeature('relaxedSimd');
  if (!litert.getGlobalLiteRtPromise()) await litert.loadLiteRt(LITERT, { threads });
  opened.model?.delete();
  opened = { file: null, model: null };
  const model = await litert.loadAndCompile(new URL(file, self.location.href), { accelerator: gpu ? 'webgpu' : 'wasm' });
  opened = { file, model };
  const onGpu = model.options.accelerator === 'webgpu' && model.isFullyAccelerated;
  const [{ dtype }] = model.getInputDetails();
  runtime = onGpu ? `${dtype} on the GPU by WebGPU`
    : `${dtype === 'uint8' ? 'int8' : dtype} on the CPU by WebAssembly, ${threads ? `${navigator.hardwareConcurrency} threads` : '1 thread'}`;
  return model;
}

/** Uint8 RGB of a tile -> Uint8 RGB of the same, upscaled. */
async function upscale(litert, model, pixels, [height, width]) {
  const isFloat = model.getInputDetails()[0].dtype === 'float32';
  const input = new litert.Tensor(isFloat ? Float32Array.from(pixels) : pixels, [1, height, width, 3]);
  const [output] = await model.run(input);
  const data = await output.data();
  const sr = isFloat ? Uint8ClampedArray.from(data) : data.slice(); // rounded as NumPy does, and clipped
  input.delete();
  output.delete();
  return sr;
}
