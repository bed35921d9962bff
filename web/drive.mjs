// Drives the page in a headless Chromium, for tests/web and for screenshots:
//   node web/drive.mjs '{"url": "http://127.0.0.1:8000", "photo": "in.png", "save": "out.png"}'
// Further fields: network, scale, device (what to choose); how ("pick", "paste" or "drop"); cancel (true: after the first
// tile, and then save, if asked to, starts again); screenshot (file); width, height, ratio, dark (of the screen); args
// (for Chromium).
// Prints JSON: said (the page's messages when it stops, in turn), isolated, hosts (asked for anything), sent (bytes of
// requests' bodies), errors.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { chromium } from 'playwright-core';

const job = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: job.chromium ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ...job.args ?? []],
});
try {
  const page = await browser.newPage({
    viewport: { width: job.width ?? 1280, height: job.height ?? 900 }, deviceScaleFactor: job.ratio ?? 1,
    colorScheme: job.dark ? 'dark' : 'light',
  });
  page.setDefaultTimeout(120e3);
  const hosts = new Set(), errors = [];
  let sent = 0;
  page.on('request', (request) => {
    if (/^https?:/.test(request.url())) hosts.add(new URL(request.url()).host);
    sent += request.postDataBuffer()?.length ?? 0;
  });
  page.on('pageerror', (error) => errors.push(error.message));
  // LiteRT writes what it has to say of itself to console.error.
  page.on('console', (message) => {
    if (message.type() === 'error' && !/^(INFO|WARNING): /.test(message.text())) errors.push(message.text());
  });

  await page.goto(job.url);
  await page.waitForSelector('html[data-ready]');
  for (const name of ['network', 'scale', 'device']) if (job[name]) await page.selectOption(`#${name}`, String(job[name]));
  const said = [], listen = async () => said.push(await page.textContent('#status'));
  if (job.photo) {
    await give(page);
    await page.waitForFunction(() => !document.querySelector('#start').disabled || document.querySelector('#status.error'));
  }
  if (job.cancel) {
    await page.click('#start');
    await page.waitForFunction(() => document.querySelector('#progress').value > 0);
    if (job.screenshot) await page.screenshot({ path: job.screenshot });
    await page.click('#cancel');
    await listen();
  }
  if (job.save) {
    await page.click('#start');
    await page.waitForSelector('#save:not([hidden]), #status.error');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save', { timeout: 5e3 })]);
    await download.saveAs(job.save);
  }
  if (job.screenshot && !job.cancel) await page.screenshot({ path: job.screenshot });
  if (job.save || !job.cancel) await listen();
  const isolated = await page.evaluate(() => crossOriginIsolated);
  console.log(JSON.stringify({ said, isolated, hosts: [...hosts], sent, errors }));
} finally {
  await browser.close();
}

async function give(page) {
  if ((job.how ?? 'pick') === 'pick') return page.setInputFiles('#file', job.photo);
  await page.evaluate(({ how, name, bytes }) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(bytes)], name));
    document.body.dispatchEvent(how === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
      : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  }, { how: job.how, name: basename(job.photo), bytes: [...readFileSync(job.photo)] });
}
