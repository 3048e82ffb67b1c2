/** What is sent to the user, in a server that keeps it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from './fixture.mjs';
import { QUICK, page, server } from './scene.mjs';

const fixture = new Fixture();
const U7 = { user: 'u7' };
const at = (offset, epoch = 'one') => ({ epoch, offset });
const send = (...data) => data.forEach((value) => fixture.store.publish(U7, value));
const got = () => page.run(() => window.messages.map(([data]) => data));
const gone = () => page.run(() => window.gone);

async function brought(count) {
  await page.until((number) => window.messages.length >= number, count);
  return got();
}

/** Connects as u7, and waits until the personal stream stands. */
async function connected(options = {}) {
  const connection = await fixture.connected({ ...QUICK, userId: 'u7', ...options });
  await page.until(() => window.rt.userPosition);
  return connection;
}

test('messages missed while away come after the reconnect, in order and once', async () => {
  send('before');
  const first = await connected();
  assert.deepEqual(await first.next(), { action: 'register', userId: 'u7', channels: [] });
  send(1);
  await brought(1);
  first.destroy();
  send(2, 3);
  const second = await server.accept();
  const { user_since, previous } = await second.next();
  assert.deepEqual([user_since, previous], [at(2), ['c1']]);
  assert.deepEqual(await brought(3), [1, 2, 3]);
  assert.deepEqual(await page.run(() => window.rt.userPosition), at(4));
});

test('userSince is where they begin', async () => {
  send(1, 2, 3);
  await connected({ userSince: at(1) });
  assert.deepEqual(await brought(2), [2, 3]);
});

test('earliest brings all that are kept', async () => {
  send(1, 2);
  await connected({ userSince: 'earliest' });
  assert.deepEqual(await brought(2), [1, 2]);
});

test('messages that come twice are given once, and those without offset always', async () => {
  const connection = await connected();
  const frame = fixture.store.publish(U7, 'kept');
  for (const message of [frame, frame, { type: 'message', user: true, data: 'plain' }]) connection.send(message);
  connection.send({ type: 'message', data: 'to this window' });
  connection.send(frame);
  send('last');
  assert.deepEqual(await brought(4), ['kept', 'plain', 'to this window', 'last']);
});

test('what the server does not have any more is told as missed, of the user', async () => {
  const first = await connected();
  fixture.store.restart('two');
  await fixture.cut(first);
  assert.deepEqual(await page.until(() => window.gone.length && window.gone), [{ user: true, reason: 'epoch' }]);
  send('new');
  assert.deepEqual(await brought(1), ['new']);
});

test('a gap is closed from the last position', async () => {
  const connection = await connected();
  await connection.next();
  fixture.store.losing(1);
  send(1, 2);
  assert.deepEqual((await connection.next()).user_since, at(0));
  send(3);
  assert.deepEqual([await brought(3), await gone()], [[1, 2, 3], []]);
});

test('missed that can be recovered is, and missed for good is told', async () => {
  const connection = await connected();
  await connection.next();
  const missed = { type: 'missed', user: true, epoch: 'one', reason: 'slow' };
  fixture.store.losing(1);
  send(1);
  connection.send({ ...missed, from: 1, to: 1, offset: 1, recoverable: true });
  assert.deepEqual((await connection.next()).user_since, at(0));
  assert.deepEqual([await brought(1), await gone()], [[1], []]);
  fixture.store.losing(1);
  send(2);
  connection.send({ ...missed, from: 2, to: 2, offset: 2, recoverable: false });
  send(3);
  assert.deepEqual([await brought(2), await gone()], [[1, 3], [{ user: true, reason: 'slow', from: 2, to: 2 }]]);
});

test('position frames move on without a message', async () => {
  const connection = await connected();
  connection.send({ type: 'position', user: true, offset: 9 });
  await page.until(() => window.rt.userPosition.offset === 9);
  assert.deepEqual(await got(), []);
});
