// The page: takes a photograph, gives it to the worker, shows what comes back and saves it.

const $ = (id) => document.getElementById(id);
const { tile, models } = await (await fetch('models.json')).json();
const context = $('after').getContext('2d', { alpha: false });
let photo = null; // {name, width, height, data: Uint8 RGB, url}
let worker = null; // while it works, or waits with a model loaded

const count = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;
const seconds = (ms) => ms < 10e3 ? `${(ms / 1e3).toFixed(1)} s` : ms < 90e3 ? `${Math.round(ms / 1e3)} s` : `${Math.round(ms / 6e4)} min`;

// Settings

const chosen = () => models.find((m) => m.network === $('network').value && m.scale === Number($('scale').value));

function offerScales() {
  const wanted = $('scale').value;
  const scales = models.filter((m) => m.network === $('network').value).map((m) => m.scale);
  $('scale').replaceChildren(...scales.map((scale) => new Option(`${scale} times`, scale)));
  $('scale').value = scales.includes(Number(wanted)) ? wanted : Math.max(...scales);
  offer();
}

function offer() {
  const { scale } = chosen();
  $('start').disabled = !photo;
  $('start').textContent = photo
    ? `Enlarge ${photo.width} × ${photo.height} to ${photo.width * scale} × ${photo.height * scale}` : 'Enlarge';
}

async function offerGpu() {
  const adapter = models.some((m) => m.float32) && await navigator.gpu?.requestAdapter().catch(() => null);
  $('device-label').hidden = !adapter;
  if (adapter && !adapter.info?.isFallbackAdapter) $('device').value = 'gpu';
}

// The photograph

async function choose(file) {
  if (!file || $('settings').disabled) return;
  try {
    const bitmap = await createImageBitmap(file); // turned as EXIF says, and in sRGB
    const { width, height } = bitmap;
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const pixels = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    pixels.fillStyle = '#fff'; // for what is transparent
    pixels.fillRect(0, 0, width, height);
    pixels.drawImage(bitmap, 0, 0);
    bitmap.close();
    const rgba = pixels.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < data.length; from += 4) {
      data[to++] = rgba[from];
      data[to++] = rgba[from + 1];
      data[to++] = rgba[from + 2];
    }
    if (photo) URL.revokeObjectURL(photo.url);
    photo = { name: file.name, width, height, data, url: URL.createObjectURL(file) };
  } catch {
    return say(`${file.name} is no image that this browser can read.`, true);
  }
  $('chosen').textContent = `${photo.name}, ${photo.width} × ${photo.height}`;
  $('drop').classList.add('small');
  $('before').src = photo.url;
  showResult(false);
  say('');
  offer();
  $('start').focus();
}

// Upscaling

function start() {
  const model = chosen(), { width, height } = photo;
  const gpu = !$('device-label').hidden && $('device').value === 'gpu' && model.float32;
  if (!makeCanvas(width * model.scale, height * model.scale)) {
    return say(`${width * model.scale} × ${height * model.scale} is more than this browser holds in a picture: take a smaller scale or photograph.`, true);
  }
  showResult(false);
  $('viewer').hidden = false;
  $('full').checked = false;
  $('split').value = 0; // tiles are seen as they come
  fit();
  busy(true);
  say('Loading the network …');
  worker ??= new Worker('worker.js');
  worker.onerror = (event) => fail(event.message);
  worker.onmessage = ({ data: { failed, loaded, part, share, msLeft, done } }) => {
    if (failed) return fail(failed);
    if (loaded) say(`Working: ${loaded}`);
    if (part) {
      context.putImageData(new ImageData(part.data, part.width, part.height), part.left, part.top);
      $('progress').value = share;
      $('remaining').textContent = share < 1 ? `${Math.round(100 * share)} %, ${seconds(msLeft)} left` : '';
    }
    if (done) finish(model, done);
  };
  const { data } = photo;
  worker.postMessage({ image: { width, height, data }, tile, scale: model.scale, file: gpu ? model.float32 : model.int8, gpu });
}

/** Whether the browser can hold a canvas of that size; one that it cannot hold stays black. */
function makeCanvas(width, height) {
  Object.assign($('after'), { width, height });
  context.fillStyle = '#fff';
  context.fillRect(width - 1, height - 1, 1, 1);
  const held = context.getImageData(width - 1, height - 1, 1, 1).data[0] === 255;
  if (held) context.drawImage($('before'), 0, 0, width, height); // until tiles come
  return held;
}

function finish(model, { runtime, tiles, ms, loadMs }) {
  busy(false);
  photo.saveAs = `${photo.name.replace(/\.\w+$/, '')}_${model.network}-x${model.scale}.png`;
  showResult(true);
  $('full').checked = true;
  $('split').value = 50;
  fit();
  $('frame').scrollTo(($('picture').clientWidth - $('frame').clientWidth) / 2, ($('picture').clientHeight - $('frame').clientHeight) / 2);
  say(`${$('after').width} × ${$('after').height} in ${seconds(ms)}: ${count(tiles, 'tile')}, ${Math.round(ms / tiles)} ms each; `
    + `${runtime}, loaded in ${seconds(loadMs)}.`);
  $('split').focus({ preventScroll: true });
}

/** Ends the worker at once, in the middle of a tile too; the next start makes a new one. */
function stop() {
  worker.terminate();
  worker = null;
  busy(false);
  $('start').focus();
}

function cancel() {
  stop();
  $('viewer').hidden = true;
  say('Cancelled.');
}

function fail(message) {
  stop();
  $('viewer').hidden = true;
  say(`That failed: ${message}${$('device-label').hidden ? '' : '; try the other choice of "Runs on"'}`, true);
}

function busy(is) {
  $('settings').disabled = $('start').hidden = is;
  $('cancel').hidden = $('progress').hidden = !is;
  $('progress').value = 0;
  $('remaining').textContent = '';
  if (is) $('cancel').focus();
}

function say(text, isError = false) {
  $('status').textContent = text;
  $('status').classList.toggle('error', isError);
}

function showResult(is) {
  $('save').hidden = !is;
  if (!is) $('viewer').hidden = true;
}

function save() {
  $('after').toBlob((blob) => {
    if (!blob) return say('This browser has no memory left for the PNG.', true);
    const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: photo.saveAs });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
  });
}

// Before and after

/** Size of the picture: as large as fits, or one pixel of the result for one of the screen. */
function fit() {
  const { width, height } = $('after');
  const fitting = Math.min($('frame').clientWidth, innerHeight * 0.62 * width / height);
  const shown = $('full').checked ? width / devicePixelRatio : fitting;
  $('picture').style.width = `${shown}px`;
  $('picture').style.height = `${shown * height / width}px`;
  place();
}

/** Left and right end of what can be seen of the picture, in CSS pixels. */
function visible() {
  const frame = $('frame').getBoundingClientRect(), picture = $('picture').getBoundingClientRect();
  return [Math.max(frame.left, picture.left), Math.min(frame.left + $('frame').clientWidth, picture.right)];
}

function place() {
  const [left, right] = visible();
  const x = left + (right - left) * $('split').value / 100;
  $('after').style.setProperty('--cut', `${x - $('picture').getBoundingClientRect().left}px`);
  $('divider').style.setProperty('--split', `${x - $('frame').getBoundingClientRect().left}px`);
}

function drag(event) {
  if (!$('divider').hasPointerCapture(event.pointerId)) return;
  const [left, right] = visible();
  $('split').value = 100 * (event.clientX - left) / (right - left);
  place();
}

// Events

$('file').onchange = () => choose($('file').files[0]);
document.onpaste = (event) => choose(event.clipboardData.files[0]);
document.ondragover = (event) => { event.preventDefault(); $('drop').classList.add('over'); };
document.ondragleave = () => $('drop').classList.remove('over');
document.ondrop = (event) => {
  event.preventDefault();
  $('drop').classList.remove('over');
  choose(event.dataTransfer.files[0]);
};
$('network').onchange = offerScales;
$('scale').onchange = offer;
$('form').onsubmit = (event) => { event.preventDefault(); start(); };
$('cancel').onclick = cancel;
$('save').onclick = save;
$('full').onchange = fit;
$('split').oninput = place;
$('frame').onscroll = place;
$('divider').onpointerdown = (event) => $('divider').setPointerCapture(event.pointerId);
$('divider').onpointermove = drag;
new ResizeObserver(fit).observe($('frame'));

$('network').replaceChildren(...new Map(models.map((m) => [m.network, new Option(m.label, m.network)])).values());
offerScales();
await offerGpu();
document.documentElement.dataset.ready = '';
