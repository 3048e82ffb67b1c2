/** Recovery and presence with the real server: what the fake one promises, it keeps. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { QUICK, folder, open, server, stage, start } from './real-scene.mjs';
import { Relay } from './relay.mjs';
import { connect, reaches } from './site.mjs';

const RULES = `
[users]
history.size = 100

[[channels]]
pattern = "kept.*"
history.size = 10

[[channels]]
pattern = "long.*"
history.size = 10000

[[channels]]
pattern = "room.*"
presence.enabled = true
presence.grace = "0s"
`;

stage({ rules: RULES });

/** A window whose log gets all that happens to its subscription of `channel`. */
async function following(channel, settings = {}, options = QUICK, url = server.url) {
  const page = await open();
  await connect(page, url, options);
  await reaches(page, 'connected');
  await page.run(
    (name, how) => {
      window.log = [];
      window.sub = window.rt.subscribe(name, (data) => window.log.push(data), how);
      window.sub.on('subscribed', ({ recovered }) => window.log.push(`subscribed ${recovered}`));
      window.sub.on('missed', ({ reason }) => window.log.push(`missed ${reason}`));
      window.sub.on('join', ({ user }) => window.log.push(`join ${user}`));
      window.sub.on('leave', ({ user }) => window.log.push(`leave ${user}`));
    },
    channel,
    settings,
  );
  await page.until(() => window.log.length);
  return page;
}

/** The log, once it ends with `last`. */
async function logged(page, last) {
  await page.until((item) => window.log.at(-1) === item, last);
  return page.run(() => window.log);
}

test('a cut loses nothing, doubles nothing and gives nothing that excludes this window', async (t) => {
  const relay = await new Relay(server.port).start();
  t.after(() => relay.stop());
  const page = await following('kept.1', {}, { ...QUICK, userId: 'u7' }, relay.url);
  await page.until(() => window.rt.userPosition);
  const exclude = await page.run(() => window.rt.connectionId);
  await server.publish({ channel: 'kept.1', data: 1 });
  await logged(page, 1);
  relay.cut();
  for (const data of [2, 3]) await server.publish({ channel: 'kept.1', data });
  await server.publish({ channel: 'kept.1', data: 'mine', exclude });
  await server.publish({ channel: 'kept.1', data: 4 });
  await server.publish({ user: 'u7', data: 'personal' });
  const data = (await logged(page, 4)).filter((item) => typeof item === 'number');
  assert.deepEqual([data, await page.run(() => window.log.includes('mine'))], [[1, 2, 3, 4], false]);
  await page.until(() => window.messages.length);
  assert.deepEqual(await page.run(() => window.messages.map(([message]) => message)), ['personal']);
});

test('the position of an acknowledgement is where a page can begin', async () => {
  const { epoch, offset } = await server.publish({ channel: 'kept.1', data: 1 });
  for (const data of [2, 3]) await server.publish({ channel: 'kept.1', data });
  const page = await following('kept.1', { since: { epoch, offset } });
  assert.deepEqual(await logged(page, 3), ['subscribed true', 2, 3]);
});

test('earliest brings what is kept and says what is not, latest only the newest', async () => {
  for (let data = 1; data <= 12; data++) await server.publish({ channel: 'kept.1', data });
  const all = await following('kept.1', { since: 'earliest' });
  assert.deepEqual((await logged(all, 12)).slice(0, 3), ['subscribed true', 'missed trimmed', 3]);
  const latest = await following('kept.1', { since: 'earliest', mode: 'latest' });
  assert.deepEqual(await logged(latest, 12), ['subscribed true', 12]);
});

test('a server that was killed has another history, and the page is told', async () => {
  const page = await following('kept.1');
  await server.publish({ channel: 'kept.1', data: 1 });
  await logged(page, 1);
  await server.stop('SIGKILL');
  await start();
  assert.deepEqual((await logged(page, 'missed epoch')).slice(-2), ['subscribed false', 'missed epoch']);
});

test('history() tells what is kept, part by part', async () => {
  const page = await following('kept.1');
  for (const data of ['a', 'b', 'c']) await server.publish({ channel: 'kept.1', data });
  const read = await page.run(async () => {
    const first = await window.sub.history({ since: 'earliest', limit: 2 });
    const second = await window.sub.history({ since: first.next });
    return [first, second].map(({ publications }) => publications.map(({ data }) => data));
  });
  assert.deepEqual(read, [['a', 'b'], ['c']]);
});

test('who is in shows, and who comes and goes', async () => {
  const ann = await following('room.1', {}, { ...QUICK, userId: 'ann' });
  const bob = await following('room.1', {}, { ...QUICK, userId: '__proto__' });
  await logged(ann, 'join __proto__');
  const users = (page) => page.run(() => [...window.sub.members.keys()].sort());
  assert.deepEqual(
    [await users(ann), await users(bob)],
    [
      ['__proto__', 'ann'],
      ['__proto__', 'ann'],
    ],
  );
  const everybody = await ann.run(() => window.sub.presence());
  assert.deepEqual(everybody.map(({ user }) => user).sort(), ['__proto__', 'ann']);
  await bob.run(() => window.rt.close());
  await logged(ann, 'leave __proto__');
  assert.deepEqual(await users(ann), ['ann']);
});

test('a restart in the middle of everything loses nothing and doubles nothing', async () => {
  await server.stop();
  const settings = {
    REALTIME_DATA_DIR: join(folder, 'data'),
    REALTIME_DRAIN_TIME: '100ms',
  };
  await start(settings);
  const page = await following('long.1');

  // Under the same key until it is acknowledged, as PHP does.
  let sent = 0;
  let over = false;
  const publishing = (async () => {
    while (!over) {
      sent += 1;
      const publication = { channel: 'long.1', data: sent, key: `number-${sent}` };
      while (!(await server.publish(publication).catch(() => null))) await new Promise(setImmediate);
    }
  })();
  for (let restarts = 1; restarts <= 3; restarts += 1) {
    const until = sent + 50;
    await page.until((count) => window.log.length > count, until);
    await server.stop('SIGTERM');
    await start(settings);
    await page.until((count) => window.log.filter((entry) => entry === 'subscribed true').length === count, restarts);
  }
  over = true;
  await publishing;
  const log = await logged(page, sent);
  assert.deepEqual(
    log.filter((entry) => typeof entry === 'number'),
    Array.from({ length: sent }, (_, index) => index + 1),
  );
  assert.deepEqual(
    log.filter((entry) => typeof entry === 'string'),
    ['subscribed undefined', ...Array(3).fill('subscribed true')],
  );
});
