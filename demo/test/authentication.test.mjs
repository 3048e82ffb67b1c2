/** The example at the beginning of docs/authentication.md, as it stands there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../../clients/js/test/webdriver.mjs';
import { freePort, line, stop } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { REALTIME_SERVER, REALTIME_EXTENSION } = process.env;
const SERVER = REALTIME_SERVER ?? `${ROOT}target/release/realtime-server`;
const EXTENSION = REALTIME_EXTENSION ?? `${ROOT}target/release/librealtime.so`;

/** The page, around the manual's JavaScript; and a login, which is the application's own business. */
const page = (script, url) => `<?php
session_start();
if (isset($_GET['login'])) { $_SESSION['user'] = $_GET['login']; }
?><!doctype html><html lang="en"><link rel="icon" href="data:,"><title>test</title>
<script type="module">
import { Realtime } from '${url.replace('ws:', 'http:')}/realtime.js';
const id = 'u7';
const show = (data) => { window.shown = data; };
${script.replace('wss://realtime.example.com', url)}
window.rt = rt;
rt.on('message', (data) => { window.message = data; });
</script></html>`;

test('three lines of PHP and five of configuration are enough', async (t) => {
  const manual = await readFile(`${ROOT}docs/authentication.md`, 'utf8');
  const secret = '0123456789abcdef0123456789abcdef';
  const first = (kind) => new RegExp(`\`\`\`${kind}\n([^]*?)\`\`\``).exec(manual)[1].replace('4f7a…', secret);
  assert.equal(first('php').trim().split('\n').length, 3);
  assert.equal(first('toml').trim().split('\n').filter(Boolean).length, 5);

  const directory = await mkdtemp(join(tmpdir(), 'realtime-manual-'));
  t.after(() => rm(directory, { recursive: true }));
  const [port, site] = [await freePort(), await freePort()];
  const url = `ws://127.0.0.1:${port}`;
  await writeFile(join(directory, 'token.php'), first('php'));
  await writeFile(join(directory, 'index.php'), page(first('js'), url));
  await writeFile(join(directory, 'realtime.toml'), first('toml'));
  // PHP publishes without a key here, as it would over the unix socket.
  const ini = `extension=${EXTENSION}\nrealtime.url=${url}\nsession.save_path=${directory}\n${first('ini')}`;
  await writeFile(join(directory, 'php.ini'), ini);

  const args = ['--dev', '--config', `${directory}/realtime.toml`, '--listen', `127.0.0.1:${port}`];
  const server = spawn(SERVER, ['start', ...args, '--unix-socket', 'off'], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => stop(server));
  await line(server, server.stderr, /listening on/);
  const web = ['-c', `${directory}/php.ini`, '-S', `127.0.0.1:${site}`, '-t', directory];
  const php = spawn('php', web, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => stop(php));
  await line(php, php.stderr, /Development Server.*started/);
  const browser = await openBrowser();
  t.after(() => browser.close());

  // PHP that publishes; the number of connections that get it.
  const run = async (code) => {
    const script = spawn('php', ['-c', `${directory}/php.ini`, '-r', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    return Number((await script.stdout.toArray()).join(''));
  };
  const toUser = 'echo (new RealtimeClient())->sendToUser("u7", "hello")->receivers;';
  const home = `http://127.0.0.1:${site}/`;

  const visitor = await browser.open(home);
  await visitor.until(() => window.rt?.state === 'connected');
  await visitor.run(() => new Promise((resolve) => window.rt.subscribe('user:u7:x', () => {}).on('error', resolve)));
  assert.equal(await visitor.run(() => window.rt.user), null);
  assert.equal(await run(toUser), 0);
  await visitor.goto(`${home}?login=u7`);
  await visitor.until(() => window.rt?.user === 'u7');
  assert.equal(await run(toUser), 1);
  await visitor.until(() => window.message === 'hello');
  await visitor.run((channel) => {
    return new Promise((stands) => window.rt.subscribe(channel, () => {}).on('subscribed', () => stands()));
  }, 'user:u7:orders');
  assert.equal(await run('echo (new RealtimeClient())->broadcast("user:u7:orders", "news")->receivers;'), 1);
  await visitor.until(() => window.shown === 'news');
});
