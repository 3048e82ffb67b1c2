/**
 * Draws docs/demo.png, the picture in the README: `node demo/test/screenshot.mjs` after `make build`. One board on a
 * desktop and on a phone; the invoice's progress shows only where it was ordered.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../../clients/js/test/webdriver.mjs';
import { freePort, startDemo, stop } from './harness.mjs';

const TARGET = fileURLToPath(new URL('../../docs/demo.png', import.meta.url));
const live = () =>
  document.querySelector('#light').dataset.state === 'connected' && document.querySelectorAll('.card').length > 0;

/** A window's picture as a data URL. */
async function shot(page, directory) {
  const file = join(directory, 'shot.png');
  await page.screenshot(file);
  return `data:image/png;base64,${(await readFile(file)).toString('base64')}`;
}

const directory = await mkdtemp(join(tmpdir(), 'screenshot-'));
const demo = await startDemo({ PORT: String(await freePort()), SERVER_PORT: String(await freePort()) });
const browser = await openBrowser({ flags: ['--hide-scrollbars'] });
try {
  const desktop = await browser.open(demo.url);
  const phone = await browser.open(demo.url);
  await desktop.resize(1120, 580);
  await phone.resize(360, 580);
  await phone.cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: 'dark' }] });
  for (const page of [desktop, phone]) {
    await page.until(live);
    await page.click('#hint button');
  }
  await desktop.click('[data-status=ready] .invoice');
  await desktop.until(() => document.querySelector('progress')?.value >= 60);
  const pictures = [await shot(desktop, directory), await shot(phone, directory)];

  const page = await browser.open('about:blank');
  await page.resize(1584, 650);
  await page.run((sources) => {
    document.body.style =
      'margin:0;height:100vh;display:flex;align-items:center;justify-content:center;gap:24px;background:#fbdcc4';
    for (const [i, source] of sources.entries()) {
      const image = new Image();
      image.src = source;
      image.style = `border-radius:${i ? 34 : 14}px;box-shadow:0 0 0 1px #7c2d1230;${i ? 'border:8px solid #131316;background:#131316' : ''}`;
      document.body.append(image);
    }
    return Promise.all([...document.images].map((image) => image.decode()));
  }, pictures);
  await page.screenshot(TARGET);
} finally {
  await browser.close();
  await stop(demo.child);
  await rm(directory, { recursive: true });
}
