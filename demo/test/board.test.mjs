import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, afterEach, before, test } from 'node:test';

import { openBrowser } from '../../clients/js/test/webdriver.mjs';
import { freePort, startDemo, startServer, stop } from './harness.mjs';

let browser;
let port;
let server;
let demo;
const pages = [];

before(async () => {
  port = await freePort();
  server = await startServer(port);
  demo = await startDemo({ USE_SERVER: String(port), PORT: String(await freePort()) });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  if (demo) await stop(demo.child);
  if (server) await stop(server);
});
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.close()));
});

const liveIs = (state) => document.querySelector('#light').dataset.state === state;
const statusOf = (id) => document.querySelector(`#order-${id}`)?.dataset.status;
const statusIs = (id, status) => document.querySelector(`#order-${id}`)?.dataset.status === status;

/** A window with the board, live. */
async function openBoard() {
  const page = await browser.open(demo.url);
  pages.push(page);
  await page.until(liveIs, 'connected');
  return page;
}

/** Adds an order by the page's form and returns its id. */
async function addOrder(page, guest) {
  await page.type('#add input', guest);
  await page.click('#add button');
  return page.until((name) => {
    const cards = [...document.querySelectorAll('.card')];
    return cards.find((card) => card.querySelector('h3').textContent === name)?.id.replace('order-', '');
  }, guest);
}

/** Posts to the application as a page of `origin` would, or as no page at all. */
function post(body, origin) {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', ...(origin && { Origin: origin }) };
    const sent = request(new URL('api.php', demo.url), { method: 'POST', headers }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, answer: JSON.parse(text) });
    });
    sent.on('error', reject);
    sent.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

test('a click in one window changes both', async () => {
  const [a, b] = [await openBoard(), await openBoard()];
  const id = await addOrder(a, 'Ada');
  await b.until(statusIs, id, 'new');

  await b.click(`#next-${id}`);
  await Promise.all([a.until(statusIs, id, 'making'), b.until(statusIs, id, 'making')]);
  await a.click(`#next-${id}`);
  await Promise.all([a.until(statusIs, id, 'ready'), b.until(statusIs, id, 'ready')]);
});

test('what arrives is text, never markup', async () => {
  const [a, b] = [await openBoard(), await openBoard()];
  const id = await addOrder(a, '<img src=x onerror=alert(1)>');
  await b.until(statusIs, id, 'new');
  assert.equal(await b.run(() => document.querySelectorAll('#board img').length), 0);
  assert.equal(await b.text(`#order-${id} h3`), '<img src=x onerror=alert(1)>');
});

test('the progress of a long job moves only in the window that started it, and blocks no click', async () => {
  const [a, b] = [await openBoard(), await openBoard()];
  const id = await addOrder(a, 'Grace');
  await b.until(statusIs, id, 'new');
  await b.run(() => {
    window.bars = 0;
    new MutationObserver(() => (window.bars += document.querySelectorAll('.job').length)).observe(document.body, {
      childList: true,
      subtree: true,
    });
  });

  await a.click(`#invoice-${id}`);
  await a.until((order) => document.querySelector(`#order-${order} progress`)?.value > 0, id);
  await b.click(`#next-${id}`);
  await a.until(statusIs, id, 'making');
  assert.ok(
    await a.run((order) => document.querySelector(`#order-${order} progress`)?.value < 100, id),
    'still at work',
  );

  await a.until((order) => document.querySelector(`#order-${order} .job a`), id);
  // What comes later over b's connection has arrived, so the progress would have, too.
  await a.click(`#next-${id}`);
  await b.until(statusIs, id, 'ready');
  assert.equal(await b.run(() => window.bars), 0);
});

test('the details of an order follow its own channel while they are open', async () => {
  const [a, b] = [await openBoard(), await openBoard()];
  const id = await addOrder(a, 'Linus');
  await b.until(statusIs, id, 'new');
  const steps = () => document.querySelectorAll('#details[open] .steps li').length;

  await a.click(`#open-${id}`);
  await a.until((count) => document.querySelectorAll('#details[open] .steps li').length === count, 1);
  await b.click(`#next-${id}`);
  await a.until((count) => document.querySelectorAll('#details[open] .steps li').length === count, 2);
  assert.equal(await b.run(steps), 0);
  await a.click('#details button');
  await a.until(() => !document.querySelector('#details').open);
});

test('the page works while the server is gone, and catches up when it is back', async () => {
  const [a, b] = [await openBoard(), await openBoard()];
  const id = await addOrder(a, 'Edsger');
  await b.until(statusIs, id, 'new');

  await stop(server, 'SIGKILL');
  await Promise.all([a.until(liveIs, 'reconnecting'), b.until(liveIs, 'reconnecting')]);
  await a.click(`#next-${id}`);
  await a.until(statusIs, id, 'making');
  assert.match(await a.text('#toast'), /^Saved\./);
  assert.equal(await b.run(statusOf, id), 'new');

  server = await startServer(port);
  await Promise.all([a.until(liveIs, 'connected'), b.until(liveIs, 'connected')]);
  await b.until(statusIs, id, 'making');
  await b.click(`#next-${id}`);
  await a.until(statusIs, id, 'ready');
});

test('each window sees how many look on', async () => {
  const text = (words) => document.querySelector('#viewers').textContent === words;
  const a = await openBoard();
  await a.until(text, 'Just you');
  const b = await openBoard();
  await Promise.all([a.until(text, '2 watching'), b.until(text, '2 watching')]);
  pages.splice(pages.indexOf(b), 1);
  await b.close();
  await a.until(text, 'Just you');
});

test('a change between the rendering and the subscription is not lost, without asking again', async () => {
  await stop(server, 'SIGKILL');
  const page = await browser.open(demo.url);
  pages.push(page);
  await page.until(liveIs, 'offline');
  server = await startServer(port);
  await page.until(liveIs, 'connected');
  const reads = () => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/api.php')).length;
  // Loaded before the server was there, so without a position: once more when the subscription stood.
  await page.until(() => performance.getEntriesByType('resource').length > 0);
  const before = await page.run(reads);
  const other = await openBoard();
  const id = await addOrder(other, 'Radia');
  await page.until(statusIs, id, 'new');
  assert.equal(await page.run(reads), before);
});

test('a job that was running when the server was killed is followed to its end', async () => {
  const a = await openBoard();
  const id = await addOrder(a, 'Barbara');
  await a.click(`#invoice-${id}`);
  await a.until((order) => document.querySelector(`#order-${order} progress`)?.value > 0, id);
  await stop(server, 'SIGKILL');
  server = await startServer(port);
  await a.until((order) => document.querySelector(`#order-${order} .job a`), id);
});

test('a page that was opened without the server goes live when it comes', async () => {
  await stop(server, 'SIGKILL');
  const page = await browser.open(demo.url);
  pages.push(page);
  await page.until(liveIs, 'offline');
  await page.until(() => document.querySelectorAll('.card').length > 0);
  server = await startServer(port);
  await page.until(liveIs, 'connected');
});

test('nothing sticks out at the width of a phone', async () => {
  const page = await openBoard();
  const id = await addOrder(page, 'Wolfeschlegelsteinhausenbergerdorff');
  await page.resize(360, 740);
  const width = () => document.documentElement.scrollWidth;
  assert.equal(await page.run(width), 360);
  await page.click(`#open-${id}`);
  await page.until(() => document.querySelector('#details .steps li'));
  assert.equal(await page.run(width), 360);
  assert.ok(await page.run(() => document.querySelector('#details').scrollWidth <= 360));
});

test('pages of other sites change nothing', async () => {
  const origin = new URL(demo.url).origin;
  assert.equal((await post({ action: 'add' }, 'https://example.org')).status, 403);
  assert.equal((await post({ action: 'add' }, 'null')).status, 403);
  assert.equal((await post({ action: 'add' }, origin)).status, 200);
});

test('bad requests get an error that says why', async () => {
  for (const [body, status] of [
    ['{', 400],
    ['[]', 400],
    [{ action: 'fly' }, 400],
    [{ action: 'add', guest: ['x'] }, 400],
    [{ action: 'add', guest: 'x'.repeat(61) }, 400],
    [{ action: 'advance', order: 'x', from: 'new' }, 404],
    [{ action: 'advance', order: 41, from: 'done' }, 400],
    [{ action: 'invoice', order: 41 }, 400],
    [{ action: 'follow', job: 'none', connection: 'c' }, 404],
  ]) {
    const { status: got, answer } = await post(body);
    assert.equal(got, status, JSON.stringify(body));
    assert.equal(typeof answer.error, 'string');
  }
});
