// Drives the page in a headless Chromium, for tests/web and for screenshots:
//   node web/drive.mjs '{"url": "http://127.0.0.1:8000", "photo": "in.png", "save": "out.png"}'
// Further fields: network, scale, device (what to choose), how ("pick", "paste" or "drop"), cancel (true: after the first
// tile), screenshot (file), width, height, ratio (of the screen), dark, args (for Chromium), wait (seconds).
// Prints JSON: status (what the page says), isolated, hosts (asked for anything), errors, sent (bytes of request bodies).
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { chromium } from 'playwright-core';

const job = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: job.chromium ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...job.args ?? []],
});
try {
  const page = await browser.newPage({
    viewport: { width: job.width ?? 1280, height: job.height ?? 900 }, deviceScaleFactor: job.ratio ?? 1,
    colorScheme: job.dark ? 'dark' : 'light',
  });
  page.setDefaultTimeout((job.wait ?? 120) * 1e3);
  const hosts = new Set(), errors = [];
  let sent = 0;
  page.on('request', (request) => {
    if (/^https?:/.test(request.url())) hosts.add(new URL(request.url()).host);
    sent += request.postDataBuffer()?.length ?? 0;
  });
  page.on('pageerror', (error) => errors.push(error.message));
  // LiteRT writes what it has to say of itself to console.error.
  page.on('console', (message) => message.type() === 'error' && !/^(INFO|WARNING): /.test(message.text()) && errors.push(message.text()));

  await page.goto(job.url);
  await page.waitForSelector('html[data-ready]');
  for (const name of ['network', 'scale', 'device']) if (job[name]) await page.selectOption(`#${name}`, String(job[name]));
  const status = () => page.textContent('#status');
  if (job.photo) {
    await give(page);
    await page.waitForFunction(() => !document.querySelector('#start').disabled || document.querySelector('#status.error'));
  }
  if (job.save || job.cancel) {
    await page.click('#start');
    if (job.cancel) {
      await page.waitForFunction(() => document.querySelector('#progress').value > 0);
      if (job.screenshot) await page.screenshot({ path: job.screenshot });
      await page.click('#cancel');
    } else {
      await page.waitForFunction(() => !document.querySelector('#save').hidden || document.querySelector('#status.error'));
      if (await page.isVisible('#save')) {
        const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
        await download.saveAs(job.save);
      }
    }
  }
  if (job.script) await page.evaluate(job.script);
  if (job.screenshot && !job.cancel) await page.screenshot({ path: job.screenshot });
  const isolated = await page.evaluate(() => crossOriginIsolated);
  console.log(JSON.stringify({ status: await status(), isolated, hosts: [...hosts], errors, sent }));
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
