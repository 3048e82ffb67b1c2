/** Positions that survive a reload of the page, whatever the storage does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from './fixture.mjs';
import { QUICK, page, server, site } from './scene.mjs';

const fixture = new Fixture();
const KEPT = { ...QUICK, persist: true };
const at = (offset, epoch = 'one') => ({ epoch, offset });
const publish = (channel, ...data) => data.forEach((value) => fixture.store.publish(channel, value));

/** Leaves the page and comes back to a new one. `meanwhile` happens in between. */
async function reloaded(options = KEPT, meanwhile = () => {}) {
  await page.goto(`${site.url}elsewhere`);
  await meanwhile();
  await page.goto(site.url);
  return fixture.connected(options);
}

/** What is stored, by the part of the key after the url. */
async function stored() {
  const all = await page.run(() => Object.entries(sessionStorage));
  return new Map(all.map(([key, value]) => [key.slice(key.indexOf('#') + 1), JSON.parse(value)]));
}

/** Follows `channel` and waits for `data`, so that there is a position. */
async function followed(channel, ...data) {
  await fixture.follow(channel);
  publish(channel, ...data);
  await fixture.logged(channel, 1 + data.length);
}

for (const channel of ['c', '__proto__', 'é#"\\ ']) {
  test(`what was missed during a reload comes, and the server is told who this was: ${channel}`, async () => {
    await fixture.connected(KEPT);
    await followed(channel, 1, 2);
    const connection = await reloaded(KEPT, () => publish(channel, 3));
    await fixture.follow(channel);
    const { since, previous } = await connection.next();
    assert.deepEqual([since, previous], [at(2), ['c1']]);
    assert.deepEqual(await fixture.logged(channel, 2), [{ subscribed: { recovered: true } }, 3]);
  });
}

test('every subscription made at the beginning goes on from the position, a later one from now', async () => {
  await fixture.connected(KEPT);
  await followed('c', 1);
  await reloaded(KEPT, () => publish('c', 2));
  await page.run(() => ['one', 'two'].forEach((name) => window.follow('c', { name })));
  for (const name of ['one', 'two']) assert.equal((await fixture.logged(name, 2))[1], 2);
  await fixture.follow('c', { name: 'late' });
  assert.deepEqual(await fixture.log('late'), [{ subscribed: {} }]);
});

test('a position that the page gives comes before the one that is stored', async () => {
  await fixture.connected(KEPT);
  await followed('c', 1);
  const connection = await reloaded(KEPT, () => publish('c', 2, 3));
  await fixture.follow('c', { since: at(2) });
  assert.deepEqual((await connection.next()).since, at(2));
});

test('messages to the user go on too, and not with the position of another user', async () => {
  const send = (data) => fixture.store.publish({ user: 'u7' }, data);
  await fixture.connected({ ...KEPT, userId: 'u7' });
  await page.until(() => window.rt.userPosition);
  send(1);
  await page.until(() => window.messages.length);
  const second = await reloaded({ ...KEPT, userId: 'u7' }, () => send(2));
  assert.deepEqual((await second.next()).user_since, at(1));
  assert.deepEqual(await page.until(() => window.messages.length && window.messages[0][0]), 2);
  const third = await reloaded({ ...KEPT, userId: 'u8' });
  assert.equal((await third.next()).user_since, undefined);
});

test('without persist nothing is stored, and nothing that is stored is used', async () => {
  await fixture.connected(QUICK);
  await followed('c', 1);
  assert.equal(await page.run(() => sessionStorage.length), 0);
  await reloaded(KEPT);
  await followed('c', 2);
  const connection = await reloaded(QUICK);
  await fixture.follow('c');
  assert.equal((await connection.next()).since, undefined);
});

test('a channel that was left is forgotten, one that was closed is not', async () => {
  await fixture.connected(KEPT);
  await followed('left', 1);
  await followed('closed', 1);
  await page.run(() => {
    window.subs.left.unsubscribe();
    window.rt.close();
  });
  assert.deepEqual([(await stored()).has('channel:left'), (await stored()).get('channel:closed')], [false, at(1)]);
});

test('a position of another life of the server is missed after the reload', async () => {
  await fixture.connected(KEPT);
  await followed('c', 1);
  await reloaded(KEPT, () => fixture.store.restart('two'));
  await fixture.follow('c');
  assert.deepEqual((await fixture.logged('c', 2))[1], { missed: { reason: 'epoch' } });
});

test('however much arrives in a turn is written once, and at the latest when the page goes', async () => {
  await page.run(() => {
    const Original = window.WebSocket;
    window.WebSocket = class extends Original {
      constructor(url) {
        super(url);
        window.socket = this;
      }
    };
  });
  await fixture.connected(KEPT);
  await followed('c', 0);
  const writes = await page.run(async () => {
    const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
    await settled();
    window.written = [];
    const { setItem } = Storage.prototype;
    Storage.prototype.setItem = function (key, value) {
      const name = key.slice(key.indexOf('#') + 1);
      if (name === 'channel:c') window.written.push([name, JSON.parse(value).offset]);
      setItem.call(this, key, value);
    };
    // Many messages of one turn: the socket's events, one after the other.
    const deliver = (offset) =>
      window.socket.onmessage({ data: JSON.stringify({ type: 'broadcast_update', channel: 'c', offset, data: 0 }) });
    for (let offset = 2; offset <= 50; offset++) deliver(offset);
    await settled();
    deliver(51);
    window.dispatchEvent(new PageTransitionEvent('pagehide'));
    return window.written;
  });
  assert.deepEqual(writes, [
    ['channel:c', 50],
    ['channel:c', 51],
  ]);
});

test('no more than five hundred are kept, those that moved last', async () => {
  const names = Array.from({ length: 520 }, (_, i) => `c${i}`);
  await fixture.connected(KEPT);
  await page.run((channels) => channels.forEach((channel) => window.follow(channel)), names);
  await page.until((channels) => channels.every((channel) => window.subs[channel].position), names);
  publish('c0', 1);
  await fixture.logged('c0', 2);
  await page.run(() => window.rt.close());
  const kept = await stored();
  assert.deepEqual([kept.get('connections'), kept.get('channel:c0'), kept.has('channel:c1')], [['c1'], at(1), false]);
  assert.equal(kept.size, 501);
});

test('the query of the address, which may hold a token, is not stored', async () => {
  server.url += '?token=secret';
  await fixture.connected(KEPT);
  await followed('c', 1);
  await page.run(() => window.rt.close());
  const keys = await page.run(() => Object.keys(sessionStorage));
  assert.ok(keys.length > 0 && keys.every((key) => !key.includes('secret')), keys.join());
});

for (const [what, spoil] of [
  ['cannot be had', () => Object.defineProperty(window, 'sessionStorage', { get: () => window.nothing.at.all })],
  ['is not there', () => Object.defineProperty(window, 'sessionStorage', { value: undefined })],
  [
    'throws whatever one does',
    () => {
      for (const name of ['getItem', 'setItem', 'removeItem']) {
        Storage.prototype[name] = () => {
          throw new DOMException('spoilt', 'QuotaExceededError');
        };
      }
    },
  ],
]) {
  test(`a storage that ${what} keeps nothing from working`, async () => {
    await page.run(spoil);
    const first = await fixture.connected(KEPT);
    await followed('c', 1);
    first.destroy();
    publish('c', 2);
    assert.equal((await fixture.logged('c', 4))[3], 2);
    await page.run(() => window.subs.c.unsubscribe());
    await fixture.follow('c', { name: 'again' });
    await page.run(() => window.rt.close());
    assert.deepEqual(await page.run(() => [window.errors, window.uncaught]), [[], []]);
  });
}

test('a storage that fills up keeps the position that it has', async () => {
  await fixture.connected(KEPT);
  await followed('c', 1);
  await page.run(async () => {
    await new Promise((resolve) => setTimeout(resolve, 0));
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  publish('c', 2);
  await fixture.logged('c', 3);
  const connection = await reloaded();
  await fixture.follow('c');
  assert.deepEqual((await connection.next()).since, at(1));
});

for (const rubbish of [
  '',
  '{',
  'null',
  '7',
  '"earliest"',
  '[]',
  '{"epoch":7,"offset":1}',
  '{"epoch":"e","offset":-1}',
]) {
  test(`${JSON.stringify(rubbish)} in the storage is no position`, async () => {
    await page.run(
      (origin, value) => {
        sessionStorage.setItem(`realtime ${origin}/#channel:c`, value);
        sessionStorage.setItem(`realtime ${origin}/#connections`, value);
      },
      server.url.replace(/\/$/, ''),
      rubbish,
    );
    const connection = await fixture.connected(KEPT);
    await fixture.follow('c');
    assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'c', id: 1 });
  });
}

test('a tab that is duplicated does not pass for the one it is a copy of', async () => {
  await fixture.connected(KEPT);
  await followed('c', 1);
  await page.until(() => Object.keys(sessionStorage).length);
  assert.equal((await stored()).has('connections'), false);
});
