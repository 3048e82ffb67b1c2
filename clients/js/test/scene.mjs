/** What the tests of one file play on: a browser and a site, and for each test a page and a server of its own. */
import { after, afterEach, before, beforeEach } from 'node:test';
import { FakeServer } from './fake-server.mjs';
import { Site } from './site.mjs';
import { openBrowser } from './webdriver.mjs';

export { QUICK } from './site.mjs';

let browser;
export let site, page, server;

/** A server with these `settings` in place of the one before, on `port` or any that is free. */
export async function serve(settings, port) {
  await server?.stop();
  server = await Object.assign(new FakeServer(settings), { port }).start();
}

before(async () => {
  site = await new Site().start();
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await site?.stop();
});
beforeEach(async () => {
  await serve();
  page = await browser.open(site.url);
});
afterEach(async () => {
  await page.close();
  await server.stop();
  server = undefined;
});
