/** How the connection is lost and won back: servers that go, fall silent or say no, networks that swallow, pages that leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Relay } from './relay.mjs';
import { QUICK, page, serve, server, site } from './scene.mjs';
import { connect, reaches } from './site.mjs';

/** A timeout that a busy machine keeps to, and that a test can wait for. */
const PATIENT = { ...QUICK, timeout: 1_500 };
/** Waits that no test outlives: what connects nevertheless has not waited. */
const SLOW = { backoff: { min: 3_600_000, max: 3_600_000 } };

async function connected(options, url = server.url) {
  await connect(page, url, options);
  const connection = await server.accept();
  await reaches(page, 'connected');
  return connection;
}

const states = () => page.run(() => window.states.map(([state]) => state));
const fire = (type) => page.run((name) => void window.dispatchEvent(new Event(name)), type);

/** Resolves when a connection that came after all that the page had to do has been made, and used. */
async function barrier() {
  await page.run(async (url) => {
    const { Realtime } = await import('/realtime.js');
    const other = new Realtime(url);
    await new Promise((resolve) => other.on('state', (state) => state === 'connected' && resolve()));
    other.close();
  }, server.url);
}

test('a connection has an id, and another one after every reconnect', async () => {
  const connection = await connected(QUICK);
  assert.equal(await page.run(() => window.rt.connectionId), 'c1');
  await page.run(() => window.rt.on('state', () => window.states.at(-1).push(window.rt.connectionId)));
  connection.destroy();
  await server.accept();
  await page.until(() => window.rt.connectionId === 'c2');
  assert.deepEqual(await page.run(() => window.states.slice(1).map(([state, , id]) => [state, id])), [
    ['disconnected', null],
    ['connecting', null],
    ['connected', 'c2'],
  ]);
});

for (const [name, end] of [
  ['closes', (connection) => connection.close(4012, 'going away')],
  ['vanishes', (connection) => connection.destroy()],
]) {
  test(`when the server ${name}, the client comes back with all subscriptions in one command`, async () => {
    const first = await connected(QUICK);
    await page.run(async () => {
      const subs = await Promise.all(['a', 'b', 'c', 'd'].map((channel) => window.listen(channel)));
      subs[3].unsubscribe();
    });
    end(first);
    const second = await server.accept();
    assert.deepEqual((await second.next()).channels, ['a', 'b', 'c']);
    second.send({ type: 'broadcast_update', channel: 'c', data: 1 });
    await page.until(() => window.got.c.length);
    assert.deepEqual(await page.run(() => [window.got.a, window.got.c]), [[], [1]]);
    assert.equal(second.received.length, 1);
  });
}

test('subscriptions made and ended while there is no connection count when there is one', async () => {
  const port = server.port;
  await server.stop();
  await connect(page, server.url, QUICK);
  await page.until(() => window.states.length > 3);
  await page.run(() => {
    for (const channel of ['a', 'b']) void window.listen(channel);
    window.rt.subscribe('c', () => {}).unsubscribe();
  });
  await server.start();
  assert.equal(server.port, port);
  const connection = await server.accept();
  assert.deepEqual(await connection.next(), { action: 'register', channels: ['a', 'b'], id: 1 });
});

test('a disconnect that forbids to come back closes for good', async () => {
  const connection = await connected(QUICK);
  connection.send({ type: 'disconnect', code: 4003, reason: 'forbidden', reconnect: false });
  await reaches(page, 'closed');
  assert.deepEqual(await page.run(() => window.states.at(-1)), ['closed', { code: 4003, reason: 'forbidden' }]);
  await connection.closed;
  for (const type of ['online', 'resume', 'pageshow', 'pagehide']) await fire(type);
  assert.deepEqual((await states()).slice(1), ['closed']);
  await page.run(() => window.rt.close());
  await barrier();
  assert.equal(server.connections.length, 2, 'only the barrier has connected');
  assert.deepEqual((await states()).slice(1), ['closed']);
  const code = await page.run(() => window.listen('a').catch((error) => error.code));
  assert.equal(code, 'closed');
});

test('a disconnect says how long to wait, and nothing shortens that', async () => {
  const connection = await connected(QUICK);
  connection.send({ type: 'disconnect', code: 4012, reason: 'going away', reconnect: true, after: 3_600_000 });
  await reaches(page, 'disconnected');
  assert.deepEqual(await page.run(() => window.states.at(-1)), [
    'disconnected',
    { code: 4012, reason: 'going away', retryIn: 3_600_000 },
  ]);
  await connection.closed;
  await fire('online');
  await fire('resume');
  await barrier();
  assert.deepEqual((await states()).slice(-1), ['disconnected']);
});

test('a short wait that the server asks for ends in a new connection', async () => {
  const connection = await connected(QUICK);
  connection.send({ type: 'disconnect', code: 4012, reason: 'going away', reconnect: true, after: 200 });
  await server.accept();
  await reaches(page, 'connected');
  const { retryIn } = await page.run(() => window.states.find(([state]) => state === 'disconnected')[1]);
  assert.ok(retryIn >= 200, `waited ${retryIn} ms`);
});

for (const wait of ['"soon"', '-5', '1e999', 'null']) {
  test(`a disconnect with "after": ${wait} does no harm`, async () => {
    const connection = await connected(QUICK);
    connection.sendText(`{"type":"disconnect","code":4012,"reason":"x","reconnect":true,"after":${wait}}`);
    const { retryIn } = await page.until(() => window.states.find(([state]) => state === 'disconnected')?.[1]);
    if (wait === '1e999') return assert.equal(retryIn, 2 ** 31 - 1);
    assert.ok(retryIn >= 10 && retryIn <= 50);
    await server.accept();
  });
}

test('the waits grow from the shortest to the longest, and chance spreads them', async () => {
  await server.stop();
  for (const [chance, waits] of [
    [0, [10, 10, 10, 10]],
    [1, [20, 40, 60, 60]],
  ]) {
    await page.run((luck) => void (Math.random = () => luck), chance);
    await connect(page, server.url, { backoff: { min: 10, max: 60 } });
    await page.until(() => window.states.filter(([state]) => state === 'disconnected').length >= 4);
    const measured = await page.run(() => {
      window.rt.close();
      return window.states.filter(([state]) => state === 'disconnected').map(([, info]) => info.retryIn);
    });
    assert.deepEqual(measured.slice(0, 4), waits);
  }
});

test('the waits start anew after a connection that lasted, not after one that was lost at once', async () => {
  await page.run(() => void (Math.random = () => 1));
  await connect(page, server.url, QUICK);
  for (const lasted of [0, 0, 60_000, 0]) {
    const connection = await server.accept();
    await reaches(page, 'connected');
    await page.run((ms) => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + ms;
    }, lasted);
    connection.destroy();
  }
  await server.accept();
  const waits = () => window.states.filter(([state]) => state === 'disconnected').map(([, { retryIn }]) => retryIn);
  assert.deepEqual(await page.run(waits), [20, 40, 20, 40]);
});

test('a server that takes the connection and says nothing is given up', async () => {
  await serve({ greet: false });
  await connect(page, server.url, PATIENT);
  await (
    await server.accept()
  ).closed;
  const second = await server.accept();
  second.send({ type: 'welcome', connection: 'late', version: 1, ping: 25 });
  await reaches(page, 'connected');
});

test('silence is answered by a ping, and an answer is enough', async () => {
  await serve({ ping: 0.1 });
  const connection = await connected(PATIENT);
  for (let i = 0; i < 3; i++) assert.deepEqual(await connection.next(), { type: 'ping' });
  assert.deepEqual(await states(), ['connected']);
});

test('a ping that brings nothing ends the connection', async () => {
  await serve({ ping: 0.1, answers: { ping: () => [] } });
  const connection = await connected(PATIENT);
  await connection.closed;
  assert.deepEqual(connection.received, [{ type: 'ping' }]);
  await server.accept();
  const [, info] = await page.run(() => window.states.find(([state]) => state === 'disconnected'));
  assert.equal(info.reason, 'the server fell silent');
});

test('a greeting without ping is not watched, nor its own deadline any longer', async () => {
  await serve({ ping: null });
  const connection = await connected(PATIENT);
  // Timers of a page run in their order, so the deadline, were it still set, has passed after this one.
  await page.run(() => new Promise((resolve) => setTimeout(resolve, 1_500)));
  assert.deepEqual(await states(), ['connected']);
  assert.deepEqual(connection.received, []);
});

test('a network that swallows everything is noticed, and left when it heals', async (t) => {
  await serve({ ping: 0.1 });
  const relay = await new Relay(server.port).start();
  t.after(() => relay.stop());
  const connection = await connected(PATIENT, relay.url);
  await page.run(() => window.listen('a').then(() => {}));
  relay.blackhole();
  await page.until(() => window.states.filter(([state]) => state === 'disconnected').length >= 2);
  relay.heal();
  await reaches(page, 'connected');
  const second = await server.accept();
  second.send({ type: 'broadcast_update', channel: 'a', data: 'back' });
  await page.until(() => window.got.a.includes('back'));
  connection.destroy();
  relay.cut();
  await server.accept();
  await reaches(page, 'connected');
  await page.run(() => window.rt.close());
});

for (const type of ['online', 'resume', 'visibilitychange']) {
  test(`at "${type}" a lost connection is tried at once`, async () => {
    const first = await connected(SLOW);
    first.destroy();
    await reaches(page, 'disconnected');
    await fire(type);
    await server.accept();
    await reaches(page, 'connected');
  });

  test(`at "${type}" a connection that seems to stand is asked first`, async () => {
    await serve({ answers: { ping: () => [] } });
    const connection = await connected(PATIENT);
    await fire(type);
    await fire(type);
    assert.deepEqual(await connection.next(), { type: 'ping' });
    await connection.closed;
    assert.equal(connection.received.length, 1);
    await server.accept();
  });
}

test('a page in the back/forward cache holds no connection, and has one when it is back', async () => {
  const first = await connected(SLOW);
  await page.run(() => window.listen('a').then(() => (window.before = true)));
  await page.goto(`${site.url}elsewhere`);
  assert.equal(await first.closed, 1005);
  await page.back();
  assert.equal(await page.run(() => window.before), true, 'it is the same page, not a new one');
  const second = await server.accept();
  assert.deepEqual(await second.next(), { type: 'subscribe', channel: 'a', id: 2 });
  await reaches(page, 'connected');
  assert.deepEqual(await states(), ['connected', 'disconnected', 'connecting', 'connected']);
});

test('leaving the page closes the connection', async () => {
  const connection = await connected();
  await page.goto('about:blank');
  assert.equal(await connection.closed, 1005);
});

for (const [name, moment] of [
  ['while connecting', () => {}],
  ['when connected', () => reaches(page, 'connected')],
  ['when disconnected', async () => (await server.accept()).destroy()],
]) {
  test(`close() ${name} ends everything`, async () => {
    await connect(page, server.url, SLOW);
    await moment();
    if (name === 'when disconnected') await reaches(page, 'disconnected');
    await page.run(() => window.rt.close());
    assert.deepEqual(await page.run(() => window.states.at(-1)), [
      'closed',
      { code: 1000, reason: 'closed by the page' },
    ]);
    await fire('online');
    await barrier();
    assert.equal(await page.run(() => window.rt.state), 'closed');
    assert.equal(await page.run(() => window.rt.connectionId), null);
  });
}

test('close() at the moment of the loss ends the wait for the next attempt too', async () => {
  const connection = await connected(QUICK);
  await page.run(() => window.rt.on('state', (state) => state === 'disconnected' && window.rt.close()));
  connection.destroy();
  await reaches(page, 'closed');
  // Timers of a page run in their order, so the attempt, were it still due, has begun after this one.
  await page.run((longest) => new Promise((resolve) => setTimeout(resolve, longest)), QUICK.backoff.max);
  assert.deepEqual((await states()).slice(-2), ['disconnected', 'closed']);
});

test('a listener may close in the middle of anything', async () => {
  const connection = await connected();
  await page.run(async () => {
    await window.listen('a');
    window.rt.subscribe('b', () => window.rt.close());
    window.late = [];
    const sub = window.rt.subscribe('b', (data) => window.late.push(data));
    await new Promise((resolve) => sub.on('subscribed', resolve));
  });
  connection.send({ type: 'broadcast_update', channel: 'b', data: 1 });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 2 });
  await connection.closed;
  assert.deepEqual(await page.run(() => [window.rt.state, window.late, window.got.a]), ['closed', [], []]);
});

test('who closes at "subscribed" is the last to be told', async () => {
  await connected();
  await page.run(async () => {
    window.told = [];
    for (const name of ['one', 'two']) {
      window.rt
        .subscribe('a', () => {})
        .on('subscribed', () => {
          window.told.push(name);
          window.rt.close();
        });
    }
  });
  await reaches(page, 'closed');
  assert.deepEqual(await page.run(() => window.told), ['one']);
});

test('what is no message is told, and the connection stays', async () => {
  const connection = await connected();
  connection.sendText('{"type":');
  connection.sendText('null');
  connection.sendText('[]');
  connection.sendText('7');
  connection.sendBinary(Buffer.from([1, 2]));
  connection.sendText('{"type":"something_new"}');
  connection.send({ type: 'message', data: 1 });
  await page.until(() => window.messages.length === 1);
  assert.deepEqual(await page.run(() => window.errors), Array(5).fill('bad_message'));
  assert.deepEqual(await states(), ['connected']);
});

test('userId is registered before anything else, on every connection', async () => {
  const first = await connected({ ...QUICK, userId: 'u7' });
  assert.deepEqual(await first.next(), { action: 'register', userId: 'u7', channels: [] });
  await page.until(() => window.rt.user === 'u7');
  await page.run(() => window.listen('user:u7:orders').then(() => {}));
  first.destroy();
  const second = await server.accept();
  assert.equal((await second.next()).userId, 'u7');
  assert.equal((await second.next()).channel, 'user:u7:orders');
});

test('a user that the server does not believe is an error, and the connection anonymous', async () => {
  await serve({ answers: { register: () => [{ type: 'connected', user: null }] } });
  await connected({ userId: 42 });
  await page.until(() => window.errors.length);
  assert.deepEqual(await page.run(() => [window.errors, window.rt.user]), [['anonymous'], null]);
});

test('messages to this connection or its user arrive with all that came along', async () => {
  const connection = await connected();
  const message = { type: 'message', event: 'progress', user: true, data: { done: 3 } };
  connection.send(message);
  await page.until(() => window.messages.length);
  assert.deepEqual(await page.run(() => window.messages), [[{ done: 3 }, message]]);
});

for (const type of ['classic', 'module']) {
  test(`it works in a ${type} worker`, async () => {
    await page.run(
      (kind, url) => {
        const load = {
          classic: `importScripts('${location.origin}/realtime.global.js');`,
          module: `import { Realtime } from '${location.origin}/realtime.js';`,
        }[kind];
        const body = `const rt = new Realtime('${url}', { backoff: { min: 10, max: 50 } });
          rt.subscribe('a', (data) => postMessage(data));`;
        const script = new Blob([load, body], { type: 'text/javascript' });
        window.worker = new Worker(URL.createObjectURL(script), { type: kind });
        window.worker.onmessage = ({ data }) => (window.fromWorker = data);
      },
      type,
      server.url,
    );
    (await server.accept()).destroy();
    const connection = await server.accept();
    await connection.next();
    connection.send({ type: 'broadcast_update', channel: 'a', data: 'hello' });
    assert.equal(await page.until(() => window.fromWorker), 'hello');
  });
}

test('an address may be relative to the page, and be written as http', async () => {
  const addresses = await page.run(async () => {
    const { Realtime } = await import('/realtime.js');
    const seen = [];
    const Original = window.WebSocket;
    window.WebSocket = class extends Original {
      constructor(url) {
        super(url);
        seen.push(url.replace(location.host, 'HOST'));
      }
    };
    for (const url of ['/', '/ws', `http://${location.host}/ws`, new URL('/ws#part', location.href)]) {
      new Realtime(url).close();
    }
    return seen;
  });
  assert.deepEqual(addresses, ['ws://HOST/', 'ws://HOST/ws', 'ws://HOST/ws', 'ws://HOST/ws']);
});
