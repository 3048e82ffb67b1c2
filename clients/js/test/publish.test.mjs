/** What pages publish. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUICK, page, serve, server } from './scene.mjs';
import { connect, reaches } from './site.mjs';

/** A server that answers publications with what `answer` returns, and the page connected to it. */
async function connected(answer) {
  await serve({ answers: answer ? { publish: answer } : {} });
  await connect(page, server.url, QUICK);
  const connection = await server.accept();
  await reaches(page, 'connected');
  return connection;
}

/** Publishes; resolves with the acknowledgement or the error's code. */
const publish = (...args) =>
  page.run((...given) => window.rt.publish(...given).catch(({ code, name }) => code ?? name), ...args);

test('a publication is acknowledged', async () => {
  const connection = await connected(({ id }) => [{ type: 'ack', id, receivers: 3, epoch: 'e', offset: 58 }]);
  assert.deepEqual(await publish('chat', { text: 'hi' }, { event: 'said', excludeSelf: true }), {
    receivers: 3,
    position: { epoch: 'e', offset: 58 },
  });
  const { key, ...command } = await connection.next();
  assert.deepEqual(command, {
    type: 'publish',
    channel: 'chat',
    data: { text: 'hi' },
    event: 'said',
    exclude: 'self',
    id: 1,
  });
  assert.match(key, /^~[\w-]{22}\.1$/);
  await publish('chat', null);
  const { key: next, data } = await connection.next();
  assert.deepEqual([next, data], [key.replace(/1$/, '2'), null]);
});

test('without history it has no position', async () => {
  await connected();
  assert.deepEqual(await publish('chat', 1), { receivers: 1 });
});

test('what is refused rejects with the code, and what is a matter of time is sent again', async () => {
  const codes = ['forbidden', 'rate_limited'];
  const connection = await connected(({ id }) => {
    const code = codes.shift();
    return [code ? { type: 'error', id, code, message: 'm' } : { type: 'ack', id, receivers: 0 }];
  });
  assert.equal(await publish('chat', 1), 'forbidden');
  assert.deepEqual(await publish('chat', 2), { receivers: 0 });
  const [, first, second] = [await connection.next(), await connection.next(), await connection.next()];
  assert.deepEqual([first.data, first.key], [second.data, second.key]);
});

test('what has no answer when the connection breaks is sent again, in order and under the same keys', async () => {
  let mute = true;
  const first = await connected(({ id }) => (mute ? [] : [{ type: 'ack', id, receivers: 1 }]));
  await page.run(() => {
    const message = { text: 'one' };
    window.acks = [window.rt.publish('chat', message), window.rt.publish('chat', 'two')];
    message.text = 'changed afterwards';
  });
  const sent = [await first.next(), await first.next()];
  mute = false;
  first.destroy();
  const second = await server.accept();
  const again = [await second.next(), await second.next()];
  const essence = ({ data, key }) => [data, key];
  assert.deepEqual(again.map(essence), sent.map(essence));
  assert.deepEqual(sent[0].data, { text: 'one' });
  assert.deepEqual(await page.run(() => Promise.all(window.acks)), [{ receivers: 1 }, { receivers: 1 }]);
});

test('one that has to wait is not overtaken, and waits as long as the server says', async () => {
  let refusals = 1;
  const connection = await connected(({ id }) => {
    refusals -= 1;
    return [refusals < 0 ? { type: 'ack', id, receivers: 0 } : { type: 'error', id, code: 'rate_limited', after: 60 }];
  });
  const first = publish('chat', 1);
  assert.equal((await connection.next()).data, 1);
  // A question's answer comes after the refusal.
  await page.run(() => window.rt.subscribe('chat', () => {}).on('subscribed', () => (window.stands = true)) && null);
  await page.until(() => window.stands);
  await page.run(() => Promise.all([2, 3].map((data) => window.rt.publish('chat', data))).then(() => {}));
  await first;
  assert.deepEqual(
    connection.received.filter(({ type }) => type === 'publish').map(({ data }) => data),
    [1, 1, 2, 3],
  );
});

test('many are sent no faster than the server takes them, and questions do not wait for them', async () => {
  const connection = await connected(() => []);
  await page.run(() => {
    for (let data = 0; data < 160; data += 1) void window.rt.publish('chat', data).catch(() => {});
  });
  await page.run(
    () => new Promise((resolve) => window.rt.subscribe('chat', () => {}).on('subscribed', () => resolve())),
  );
  const sent = connection.received.findIndex(({ type }) => type === 'subscribe');
  // What a connection may publish at once by default, and what may come in addition in a second.
  assert.ok(sent >= 0 && sent < 100 + 50, `${sent} publications at once`);
});

test('what rests after a refusal and is sent on a new connection meanwhile is not sent there twice', async () => {
  const first = await connected(({ id, data }, { id: connection }) => {
    if (data === 'end') return [{ type: 'ack', id, receivers: 1 }];
    return connection === 'c1' ? [{ type: 'error', id, code: 'rate_limited', message: 'm' }] : [];
  });
  await page.run(() => void window.rt.publish('chat', 'once').catch(() => {}));
  await first.next();
  // The refusal has come when what was sent after it has.
  first.send({ type: 'message', data: 1 });
  await page.until(() => window.messages.length);
  first.destroy();
  const second = await server.accept();
  assert.equal((await second.next()).data, 'once');
  // Timers of a page run in their order, so its rest is over after this one.
  await page.run(() => new Promise((resolve) => setTimeout(resolve, 1_100)));
  await publish('chat', 'end');
  assert.deepEqual(
    second.received.map(({ data }) => data),
    ['once', 'end'],
  );
});

test('what is published while there is no connection goes out on the next one', async () => {
  await connected();
  await server.stop();
  await reaches(page, 'disconnected');
  await page.run(() => void (window.ack = window.rt.publish('chat', 'late')));
  await server.start();
  const second = await server.accept();
  assert.equal((await second.next()).data, 'late');
  assert.deepEqual(await page.run(() => window.ack), { receivers: 1 });
});

test('what cannot be published rejects at once', async () => {
  await connected();
  assert.equal(await publish('', 1), 'TypeError');
  const circle = await page.run(() => {
    const data = {};
    data.data = data;
    return window.rt.publish('chat', data).catch(({ name }) => name);
  });
  assert.equal(circle, 'TypeError');
  await page.run(() => window.rt.close());
  assert.equal(await publish('chat', 1), 'closed');
});

test('who has published shows on the publication', async () => {
  const connection = await connected();
  await page.run(() => {
    window.sub = window.rt.subscribe('chat', (data, { user }) => (window.from = [data, user]));
    return new Promise((resolve) => window.sub.on('subscribed', () => resolve()));
  });
  connection.send({ type: 'broadcast_update', channel: 'chat', data: 1, user: 'u7' });
  assert.deepEqual(await page.until(() => window.from), [1, 'u7']);
});
