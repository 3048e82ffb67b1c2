/** As scene.mjs, with the real server, and as many pages as a test opens. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { RealServer } from './real-server.mjs';
import { Site } from './site.mjs';
import { openBrowser } from './webdriver.mjs';

export { QUICK } from './site.mjs';

let browser, pages, usual;
/** `folder`: where the server's configuration is, and what else belongs to one file of tests. */
export let site, server, folder;

/**
 * Registers the hooks of a test file. `rules`: the server's configuration; `settings`: its REALTIME_* variables besides; `flags`:
 * the browser's.
 */
export function stage({ rules = '', dev = true, settings = {}, flags } = {}) {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'realtime-scene-'));
    await writeFile(join(folder, 'realtime.toml'), rules);
    usual = { dev, settings: { REALTIME_CONFIG: join(folder, 'realtime.toml'), ...settings } };
    site = await new Site().start();
    browser = await openBrowser({ flags });
  });
  after(async () => {
    await browser?.close();
    await site?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    pages = [];
    server = new RealServer();
    await start();
  });
  afterEach(async () => {
    await Promise.all(pages.map((page) => page.close()));
    await server.stop();
  });
}

/** Starts the server, again if it was stopped, with other `settings` where they differ. */
export const start = (settings = {}) => server.start({ ...usual, settings: { ...usual.settings, ...settings } });

/** A page that is closed at the end of the test. */
export async function open(url = site.url) {
  const page = await browser.open(url);
  pages.push(page);
  return page;
}
