import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { freePort, startDemo, stop } from './harness.mjs';

/** Processes that run with this TMPDIR: everything that the runner has started. */
async function processesIn(directory) {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const environments = await Promise.all(all.map((pid) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')));
  return all.filter((_, i) => environments[i].split('\0').includes(`TMPDIR=${directory}`));
}

/** Starts the demo on ports of its own, and gives `use` the demo and the directory of its files. */
async function withDemo(variables, use) {
  const directory = await mkdtemp(join(tmpdir(), 'demo-test-'));
  let demo;
  try {
    const ports = { PORT: String(await freePort()), SERVER_PORT: String(await freePort()) };
    demo = await startDemo({ ...ports, ...variables, TMPDIR: directory });
    await use(demo, directory);
  } finally {
    if (demo) await stop(demo.child);
    await rm(directory, { recursive: true });
  }
}

test('a taken port is named and another one used', async () => {
  const occupant = createServer().listen(0, '127.0.0.1');
  await once(occupant, 'listening');
  const taken = String(occupant.address().port);
  try {
    await withDemo({ PORT: taken }, async (demo) => {
      assert.match(demo.output(), new RegExp(`Port ${taken} is taken, so the application uses \\d+`));
      assert.notEqual(new URL(demo.url).port, taken);
      assert.equal((await fetch(demo.url)).status, 200);
    });
  } finally {
    occupant.close();
  }
});

test('Ctrl-C leaves no process and no file', async () => {
  await withDemo({}, async (demo, directory) => {
    assert.notEqual((await processesIn(directory)).length, 0);
    const ended = once(demo.child, 'exit');
    process.kill(-demo.child.pid, 'SIGINT');
    await ended;
    assert.deepEqual(await processesIn(directory), []);
    assert.deepEqual(await readdir(directory), []);
  });
});

test('shown to the network, PHP publishes with a key of its own and strangers cannot', async () => {
  await withDemo({ HOST: '0.0.0.0' }, async (demo) => {
    const body = JSON.stringify({ action: 'add' });
    const { live } = await (await fetch(new URL('api.php', demo.url), { method: 'POST', body })).json();
    assert.equal(live, true);
    const publication = JSON.stringify({ type: 'broadcast_update', channel: 'board', data: 1 });
    // Where it really is: somebody else may have taken the port that was asked for.
    const [, server] = /name="realtime" content="([^"]+)"/.exec(await (await fetch(demo.url)).text());
    const refused = await fetch(`http:${server}/broadcast`, { method: 'POST', body: publication });
    assert.equal(refused.status, 401);
  });
});
