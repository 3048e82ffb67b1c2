/** The client and the server together, in two windows where it takes two. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUICK, open, server, site, stage } from './real-scene.mjs';
import { Relay } from './relay.mjs';
import { connect, reaches } from './site.mjs';

/** A DNS name that is this machine's only in this browser: a page that the server has not been told of. */
const STRANGER = 'stranger.example';

stage({ flags: [`--host-resolver-rules=MAP ${STRANGER} 127.0.0.1`] });

/** A window whose client is connected and listens to `channels`. */
async function listening(channels, options = QUICK, url = server.url) {
  const page = await open();
  await connect(page, url, options);
  await reaches(page, 'connected');
  await page.run((names) => Promise.all(names.map((name) => window.listen(name))).then(() => {}), channels);
  return page;
}

const got = (page, channel) => page.run((name) => window.got[name], channel);

/** Waits until `channel` has brought `count` things, and returns them. */
async function brought(page, channel, count) {
  await page.until((name, number) => window.got[name].length >= number, channel, count);
  return got(page, channel);
}

/** Publishes until somebody gets it, for connections that come back in their own time. */
async function publishUntilReceived(publication, receivers) {
  while ((await server.publish(publication)).receivers < receivers);
}

/** Publishes until the page has it: while the server holds a dead connection, its count of receivers says nothing. */
async function publishUntilSeen(page, channel, data) {
  do await server.publish({ channel, data });
  while (!(await got(page, channel)).includes(data));
}

test('what is published shows in two windows, in order, and elsewhere not', async () => {
  const [a, b] = [await listening(['orders.42', 'mine']), await listening(['orders.42'])];
  const data = [1, 'two', { three: [3, null, '😀'] }, null, false];
  for (const value of data) {
    assert.equal((await server.publish({ channel: 'orders.42', data: value })).receivers, 2);
  }
  await server.publish({ channel: 'mine', data: 'a only' });
  assert.deepEqual(await brought(a, 'mine', 1), ['a only']);
  assert.deepEqual(await brought(a, 'orders.42', data.length), data);
  assert.deepEqual(await brought(b, 'orders.42', data.length), data);
});

test('a publication can leave one connection out, or be for one only', async () => {
  const [a, b] = [await listening(['c']), await listening(['c'])];
  const connection = await a.run(() => window.rt.connectionId);
  assert.equal((await server.publish({ channel: 'c', data: 'not for a', exclude: connection })).receivers, 1);
  assert.equal((await server.publish({ connection, event: 'progress', data: 80 })).receivers, 1);
  await server.publish({ channel: 'c', data: 'for all' });
  assert.deepEqual(await brought(b, 'c', 2), ['not for a', 'for all']);
  assert.deepEqual(await brought(a, 'c', 1), ['for all']);
  const [[data, message]] = await a.run(() => window.messages);
  assert.deepEqual([data, message.event, message.user], [80, 'progress', undefined]);
  assert.deepEqual(await b.run(() => window.messages), []);
});

test('a message to a user reaches all of the user’s windows', async () => {
  const one = await listening([], { ...QUICK, userId: 7 });
  const two = await listening([], { ...QUICK, userId: '7' });
  const other = await listening([], { ...QUICK, userId: 'eight' });
  for (const [page, user] of [
    [one, '7'],
    [two, '7'],
    [other, 'eight'],
  ]) {
    await page.until((id) => window.rt.user === id, user);
  }
  assert.equal((await server.publish({ user: '7', data: 'hello' })).receivers, 2);
  for (const page of [one, two]) {
    await page.until(() => window.messages.length === 1);
    const [[data, message]] = await page.run(() => window.messages);
    assert.deepEqual([data, message.user], ['hello', true]);
  }
  await server.publish({ user: 'eight', data: 'bye' });
  await other.until(() => window.messages.length === 1);
  assert.equal(await other.run(() => window.messages[0][0]), 'bye');
});

test('without insecure_identity a claimed user is an error and nobody', async () => {
  await server.stop();
  await server.start({ dev: false });
  const page = await listening(['c'], { ...QUICK, userId: 'u7' });
  await page.until(() => window.errors.length);
  assert.deepEqual(await page.run(() => [window.errors, window.rt.user]), [['anonymous'], null]);
  assert.equal((await server.publish({ user: 'u7', data: 1 })).receivers, 0);
});

for (const [signal, code] of [
  ['SIGKILL', 1006],
  ['SIGTERM', 4012],
]) {
  test(`the server ends by ${signal} and starts again: all windows come back with all channels`, async () => {
    const [a, b] = [await listening(['x', 'y']), await listening(['x'])];
    await server.publish({ channel: 'x', data: 'before' });
    await Promise.all([brought(a, 'x', 1), brought(b, 'x', 1)]);
    await server.stop(signal);
    await Promise.all(
      [a, b].map((page) => page.until(() => window.states.some(([state]) => state === 'disconnected'))),
    );
    const why = await a.run(() => window.states.find(([state]) => state === 'disconnected')[1]);
    assert.equal(why.code, code);
    const port = server.port;
    await server.start();
    assert.equal(server.port, port);
    await Promise.all([reaches(a, 'connected'), reaches(b, 'connected')]);
    await publishUntilReceived({ channel: 'x', data: 'after' }, 2);
    await publishUntilReceived({ channel: 'y', data: 'after' }, 1);
    for (const page of [a, b]) assert.equal((await brought(page, 'x', 2)).at(-1), 'after');
    assert.equal((await brought(a, 'y', 1)).at(-1), 'after');
  });
}

test('offline and back: what stood still goes on', async () => {
  const page = await listening(['c']);
  await page.run(() => void window.addEventListener('offline', () => (window.wentOffline = true)));
  await page.setOffline(true);
  await page.until(() => window.wentOffline);
  await page.setOffline(false);
  await reaches(page, 'connected');
  await publishUntilSeen(page, 'c', 'back');
});

test('offline while the connection breaks: back at once when online', async (t) => {
  const relay = await new Relay(server.port).start();
  t.after(() => relay.stop());
  const page = await listening(['c'], { backoff: { min: 3_600_000, max: 3_600_000 } }, relay.url);
  await page.setOffline(true);
  relay.cut();
  await reaches(page, 'disconnected');
  await page.setOffline(false);
  await reaches(page, 'connected');
  await publishUntilSeen(page, 'c', 'back');
});

test('a network that swallows everything is left as soon as the page asks', async (t) => {
  const relay = await new Relay(server.port).start();
  t.after(() => relay.stop());
  const page = await listening(['c'], { ...QUICK, timeout: 1_500 }, relay.url);
  relay.blackhole();
  await server.publish({ channel: 'c', data: 'lost' });
  await page.run(() => void window.dispatchEvent(new Event('online')));
  await reaches(page, 'disconnected');
  relay.heal();
  await reaches(page, 'connected');
  await publishUntilSeen(page, 'c', 'back');
  assert.ok(!(await got(page, 'c')).includes('lost'));
});

test('unsubscribed means unsubscribed on the server too', async () => {
  const page = await listening(['stays']);
  await page.run(async () => {
    const [one, two] = await Promise.all([window.listen('goes'), window.listen('goes')]);
    one.unsubscribe();
    two.unsubscribe();
    await window.listen('after');
  });
  assert.equal((await server.publish({ channel: 'goes', data: 1 })).receivers, 0);
  assert.equal((await server.publish({ channel: 'stays', data: 1 })).receivers, 1);
  assert.deepEqual(await brought(page, 'stays', 1), [1]);
  assert.deepEqual(await got(page, 'goes'), []);
});

test('two subscriptions of one channel get a publication each, over one subscription', async () => {
  const page = await listening(['c']);
  await page.run(() => window.rt.subscribe('c', (data) => (window.twin = data)));
  assert.equal((await server.publish({ channel: 'c', data: 5 })).receivers, 1);
  assert.deepEqual(await brought(page, 'c', 1), [5]);
  assert.equal(await page.run(() => window.twin), 5);
});

test('ten thousand subscriptions that come and go leave none on the server', async () => {
  const page = await listening([]);
  await page.run(async () => {
    for (let i = 0; i < 9_900; i++) window.rt.subscribe(`quick.${i}`, () => {}).unsubscribe();
    const subs = await Promise.all(Array.from({ length: 100 }, (_, i) => window.listen(`slow.${i}`)));
    for (const sub of subs) sub.unsubscribe();
    await window.listen('last');
  });
  // `last` was asked for in the same turn as the end of the others, and the client leaves before it joins.
  const channels = [...Array.from({ length: 100 }, (_, i) => `slow.${i}`), 'quick.0', 'quick.9899'];
  assert.equal((await server.publish({ channels, data: 1 })).receivers, 0);
  assert.equal((await server.publish({ channel: 'last', data: 1 })).receivers, 1);
  assert.deepEqual(await page.run(() => [window.errors, window.states.length]), [[], 1]);
});

test('more than the server’s rate of commands is sent in the client’s own time, without errors', async () => {
  const page = await listening([]);
  await page.run(async () => {
    for (let turn = 0; turn < 6; turn++) {
      const subs = await Promise.all(Array.from({ length: 50 }, (_, i) => window.listen(`${turn}.${i}`)));
      for (const sub of subs) sub.unsubscribe();
    }
    await window.listen('last');
  });
  assert.deepEqual(await page.run(() => [window.errors, window.states.map(([state]) => state)]), [[], ['connected']]);
});

test('__proto__ is a channel', async () => {
  const page = await listening(['constructor']);
  await page.run(() => {
    window.seen = [];
    const sub = window.rt.subscribe('__proto__', (data) => window.seen.push(data));
    return new Promise((resolve) => sub.on('subscribed', resolve));
  });
  assert.equal((await server.publish({ channel: '__proto__', data: { a: 1 } })).receivers, 1);
  await page.until(() => window.seen.length);
  assert.deepEqual(await page.run(() => [window.seen, {}.a === undefined]), [[{ a: 1 }], true]);
});

test('a channel that is protected by its name is refused, and the others stand', async () => {
  const page = await listening(['public']);
  const refused = await page.run(() =>
    window.listen('private-x').catch(({ name, code, channel }) => ({ name, code, channel })),
  );
  assert.deepEqual(refused, { name: 'RealtimeError', code: 'forbidden', channel: 'private-x' });
  const both = await page.run(() =>
    Promise.allSettled(['private-y', 'other'].map((channel) => window.listen(channel))).then((results) =>
      results.map(({ status }) => status),
    ),
  );
  assert.deepEqual(both, ['rejected', 'fulfilled']);
  assert.equal((await server.publish({ channel: 'other', data: 1 })).receivers, 1);
});

for (const path of ['', 'ws']) {
  for (const [name, command] of [
    ['subscribe', { type: 'subscribe', channel: 'user_updates_123' }],
    ['register', { action: 'register', userId: 123, channels: ['general', 'user_updates_123'] }],
  ]) {
    test(`a page after the tutorials works: ${name} on /${path}`, async () => {
      const page = await open();
      await page.run(
        (url, first) => {
          window.seen = [];
          const socket = new WebSocket(url);
          socket.onopen = () => socket.send(JSON.stringify(first));
          socket.onmessage = (event) => {
            const message = JSON.parse(event.data);
            if (message.type === 'broadcast_update' && message.channel === 'user_updates_123') {
              window.seen.push(message.data);
            }
          };
        },
        server.url + path,
        command,
      );
      await publishUntilReceived({ channel: 'user_updates_123', data: 'Profile updated' }, 1);
      assert.deepEqual(await page.until(() => window.seen.length && window.seen), ['Profile updated']);
    });
  }
}

test('the server brings the client along, as a classic script and as a module, to any page', async () => {
  const page = await open(`http://${STRANGER}:${site.port}/`);
  const origin = server.url.replace(/^ws/, 'http').replace(/\/$/, '');
  const kinds = await page.run(async (address) => {
    const script = document.createElement('script');
    script.src = `${address}/realtime.global.js`;
    script.crossOrigin = 'anonymous';
    document.head.append(script);
    await new Promise((resolve, reject) => Object.assign(script, { onload: resolve, onerror: reject }));
    const { Realtime } = await import(`${address}/realtime.js`);
    return [typeof window.Realtime, typeof Realtime, window.Realtime !== Realtime];
  }, origin);
  assert.deepEqual(kinds, ['function', 'function', true]);
});

test('the classic script works as the module does', async () => {
  const page = await open();
  await page.run(async (url) => {
    const script = document.createElement('script');
    script.src = `${url.replace(/^ws/, 'http')}realtime.global.js`;
    document.head.append(script);
    await new Promise((resolve) => (script.onload = resolve));
    window.rt = new window.Realtime(url);
    await new Promise((resolve) => window.rt.subscribe('c', (data) => (window.seen = data)).on('subscribed', resolve));
  }, server.url);
  await server.publish({ channel: 'c', data: 'classic' });
  assert.equal(await page.until(() => window.seen), 'classic');
});

test('a page of an origin that is not allowed gets no connection, and one that is listed does', async () => {
  const url = `http://${STRANGER}:${site.port}`;
  const page = await open(url);
  await connect(page, server.url, QUICK);
  await page.until(() => window.states.filter(([state]) => state === 'disconnected').length >= 2);
  assert.deepEqual(await page.run(() => window.states.filter(([state]) => state === 'connected')), []);

  await server.stop();
  await server.start({ settings: { REALTIME_ALLOWED_ORIGINS: url } });
  await reaches(page, 'connected');
});
