/** Channels with history: what was missed comes, in order and once, or the page is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from './fixture.mjs';
import { QUICK, page, server } from './scene.mjs';

const fixture = new Fixture();
const { follow, logged } = {
  follow: (...args) => fixture.follow(...args),
  logged: (...args) => fixture.logged(...args),
};
const at = (offset, epoch = 'one') => ({ epoch, offset });
const publish = (channel, ...data) => data.map((value) => fixture.store.publish(channel, value));
const frame = (offset, data = offset) => ({ type: 'broadcast_update', channel: 'c', offset, data });

test('a subscription knows its position, and it is that of the publication when the callback is called', async () => {
  publish('c', 'before');
  await fixture.connected();
  await page.run(() => {
    window.seen = [];
    window.sub = window.rt.subscribe('c', (data, { offset }) => window.seen.push([data, offset, window.sub.position]));
    window.early = window.sub.position;
    return new Promise((resolve) => window.sub.on('subscribed', resolve)).then(() => {});
  });
  assert.deepEqual(await page.run(() => [window.early, window.sub.position]), [null, at(1)]);
  publish('c', 'a');
  assert.deepEqual(await page.until(() => window.seen.length && window.seen), [['a', 2, at(2)]]);
});

test('a position given by the page is where it begins', async () => {
  publish('c', 1, 2, 3);
  const connection = await fixture.connected();
  await follow('c', { since: at(1) });
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'c', since: at(1), id: 1 });
  publish('c', 4);
  assert.deepEqual(await logged('c', 4), [{ subscribed: { recovered: true } }, 2, 3, 4]);
});

test('earliest brings all that is kept, and says what is not', async () => {
  fixture.store.size = 2;
  publish('c', 1, 2, 3);
  await fixture.connected();
  await follow('c', { since: 'earliest' });
  assert.deepEqual(await logged('c', 4), [
    { subscribed: { recovered: true } },
    { missed: { reason: 'trimmed', from: 1, to: 1 } },
    2,
    3,
  ]);
});

test('after a reconnect everything that was missed comes, in order and once', async () => {
  const first = await fixture.connected();
  await follow('c');
  publish('c', 1, 2);
  await logged('c', 3);
  first.destroy();
  publish('c', 3, 4);
  const second = await server.accept();
  const { since, previous } = await second.next();
  assert.deepEqual([since, previous], [at(2), ['c1']]);
  publish('c', 5);
  assert.deepEqual(await logged('c', 7), [{ subscribed: {} }, 1, 2, { subscribed: { recovered: true } }, 3, 4, 5]);
});

test('a cut in the midst of a replay goes on from where it was', async () => {
  const answered = ({ id, channel, since }) =>
    since
      ? [{ type: 'subscribed', id, channel, epoch: 'one', offset: since.offset, top: 9, recovered: true }]
      : [{ type: 'subscribed', id, channel, epoch: 'one', offset: 0, top: 0 }];
  await fixture.answering({ subscribe: answered });
  let connection = await fixture.connected();
  await follow('c');
  await connection.next();
  for (const [since, ...offsets] of [
    [0, 1, 2, 3],
    [3, 4],
    [4, 5, 6, 7, 8, 9],
  ]) {
    connection = await fixture.cut(connection);
    assert.deepEqual((await connection.next()).since, at(since));
    for (const offset of offsets) connection.send(frame(offset));
    await page.until((last) => window.subs.c.position.offset === last, offsets.at(-1));
  }
  const log = await fixture.log('c');
  assert.deepEqual(
    log.filter((item) => typeof item === 'number'),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});

test('a server with another history is told as missed, and a second attempt of a publisher is not shown again', async () => {
  const first = await fixture.connected();
  await follow('c');
  fixture.store.publish('c', 'paid', { id: 'k1' });
  await logged('c', 2);
  fixture.store.restart('two');
  await fixture.cut(first);
  await logged('c', 4);
  fixture.store.publish('c', 'paid', { id: 'k1' });
  fixture.store.publish('c', 'new', { id: 'k2' });
  assert.deepEqual(await logged('c', 5), [
    { subscribed: {} },
    'paid',
    { subscribed: { recovered: false, reason: 'epoch' } },
    { missed: { reason: 'epoch' } },
    'new',
  ]);
  assert.deepEqual(await fixture.position('c'), at(2, 'two'));
});

test('what the history does not hold any more is missed, and the rest goes on', async () => {
  const first = await fixture.connected();
  await follow('c');
  publish('c', 1);
  await logged('c', 2);
  fixture.store.size = 1;
  first.destroy();
  publish('c', 2, 3, 4);
  await logged('c', 4);
  publish('c', 5);
  assert.deepEqual((await logged('c', 5)).slice(2), [
    { subscribed: { recovered: false, reason: 'trimmed' } },
    { missed: { reason: 'trimmed', from: 2, to: 4 } },
    5,
  ]);
});

test('a position that the server has never reached is missed', async () => {
  publish('c', 1);
  await fixture.connected();
  await follow('c', { since: at(7) });
  assert.deepEqual(await logged('c', 2), [
    { subscribed: { recovered: false, reason: 'ahead' } },
    { missed: { reason: 'ahead' } },
  ]);
});

test('a server without history has lost what a position asks for', async () => {
  await fixture.answering({ subscribe: ({ id, channel }) => [{ type: 'subscribed', id, channel }] });
  await fixture.connected();
  await follow('c', { since: at(7) });
  assert.deepEqual((await logged('c', 2))[1], { missed: { reason: 'no_history' } });
  await follow('c', { since: at(3), name: 'late' });
  assert.deepEqual((await logged('late', 2))[1], { missed: { reason: 'no_history' } });
});

test('missed that nobody listens to goes to the connection', async () => {
  publish('c', 1);
  await fixture.connected();
  await follow('c', { since: at(7), deaf: ['missed'] });
  assert.deepEqual(await page.until(() => window.gone.length && window.gone), [{ channel: 'c', reason: 'ahead' }]);
});

test('a gap on the wire is closed from the last position, and nothing comes twice', async () => {
  const connection = await fixture.connected();
  await follow('c');
  await connection.next();
  publish('c', 1);
  await logged('c', 2);
  fixture.store.losing(1);
  publish('c', 2, 3);
  const { since } = await connection.next();
  assert.deepEqual(since, at(1));
  publish('c', 4);
  const log = await logged('c', 6);
  assert.deepEqual(
    log.filter((item) => typeof item === 'number'),
    [1, 2, 3, 4],
  );
  assert.deepEqual(
    log.filter((item) => item.missed),
    [],
  );
});

test('frames that come twice, or late, are given once', async () => {
  const connection = await fixture.connected();
  await follow('c');
  const frames = publish('c', 'a', 'b');
  for (const late of [...frames, ...frames]) connection.send(late);
  publish('c', 'c');
  assert.deepEqual(await logged('c', 4), [{ subscribed: {} }, 'a', 'b', 'c']);
});

test('what excludes this page moves its position, after a reconnect too', async () => {
  const first = await fixture.connected();
  await follow('c');
  fixture.store.publish('c', 'mine', { exclude: 'c1' });
  publish('c', 'other');
  await logged('c', 2);
  assert.deepEqual(await fixture.position('c'), at(2));
  first.destroy();
  fixture.store.publish('c', 'mine too', { exclude: 'c1' });
  await server.accept();
  await page.until(() => window.subs.c.position.offset === 3);
  publish('c', 'last');
  const log = await logged('c', 4);
  assert.deepEqual(
    log.filter((item) => typeof item === 'string'),
    ['other', 'last'],
  );
});

test('the server is told of the last eight connections', async () => {
  let connection = await fixture.connected();
  await follow('c');
  for (let i = 0; i < 10; i++) connection = await fixture.cut(connection);
  const { previous } = await connection.next();
  assert.deepEqual(previous, ['c10', 'c9', 'c8', 'c7', 'c6', 'c5', 'c4', 'c3']);
});

const missed = (rest) => ({ type: 'missed', channel: 'c', epoch: 'one', from: 1, to: 2, offset: 2, ...rest });

test('missed that can be recovered is, without troubling the page', async () => {
  const connection = await fixture.connected();
  await follow('c');
  await connection.next();
  fixture.store.losing(2);
  publish('c', 1, 2);
  connection.send(missed({ reason: 'slow', recoverable: true }));
  assert.deepEqual((await connection.next()).since, at(0));
  publish('c', 3);
  assert.deepEqual(await logged('c', 5), [{ subscribed: {} }, { subscribed: { recovered: true } }, 1, 2, 3]);
});

test('missed that could be recovered, and then cannot, is told', async () => {
  const connection = await fixture.connected();
  await follow('c');
  fixture.store.losing(2);
  publish('c', 1, 2);
  fixture.store.trim('c');
  connection.send(missed({ reason: 'slow', recoverable: true }));
  assert.deepEqual((await logged('c', 3))[2], { missed: { reason: 'trimmed', from: 1, to: 2 } });
});

test('missed for good is told, and what follows comes', async () => {
  const connection = await fixture.connected();
  await follow('c');
  fixture.store.losing(2);
  publish('c', 1, 2);
  connection.send(missed({ reason: 'trimmed', recoverable: false }));
  connection.send(missed({ reason: 'trimmed', recoverable: false }));
  publish('c', 3);
  assert.deepEqual(await logged('c', 3), [{ subscribed: {} }, { missed: { reason: 'trimmed', from: 1, to: 2 } }, 3]);
});

test('missed in a channel without history says how many, to every subscription', async () => {
  await fixture.answering({ subscribe: ({ id, channel }) => [{ type: 'subscribed', id, channel }] });
  const connection = await fixture.connected();
  await follow('c');
  await follow('c', { name: 'twin' });
  connection.send({ type: 'missed', channel: 'c', count: 8 });
  for (const name of ['c', 'twin']) assert.deepEqual((await logged(name, 2))[1], { missed: { count: 8 } });
  assert.equal(await fixture.position('c'), null);
});

test('a second subscription from an older position gets what it lacks, and the first nothing twice', async () => {
  const connection = await fixture.connected();
  await follow('c');
  await connection.next();
  publish('c', 1, 2, 3);
  await logged('c', 4);
  await follow('c', { since: at(1), name: 'second' });
  assert.deepEqual((await connection.next()).since, at(1));
  publish('c', 4);
  assert.deepEqual(await logged('second', 4), [{ subscribed: { recovered: true } }, 2, 3, 4]);
  assert.deepEqual(await logged('c', 6), [{ subscribed: {} }, 1, 2, 3, { subscribed: { recovered: true } }, 4]);
  await follow('c', { name: 'third' });
  publish('c', 5);
  assert.deepEqual(await logged('third', 2), [{ subscribed: {} }, 5]);
  assert.equal(connection.received.length, 2, 'who wants only what comes next needs no command');
});

test('who is behind when the connection breaks is not forgotten for the one who is not', async () => {
  const quiet = ({ id, channel, since = at(3) }) => [
    { type: 'subscribed', id, channel, epoch: 'one', offset: since.offset, top: 3, recovered: true },
  ];
  await fixture.answering({ subscribe: quiet });
  const first = await fixture.connected();
  await follow('c');
  await follow('c', { since: at(0), name: 'behind' });
  first.send(frame(1));
  await logged('behind', 2);
  const second = await fixture.cut(first);
  assert.deepEqual((await second.next()).since, at(1));
  for (const offset of [2, 3, 4]) second.send(frame(offset));
  const numbers = async (name) => (await fixture.log(name)).filter((item) => typeof item === 'number');
  await page.until(() => window.subs.c.position.offset === 4);
  assert.deepEqual([await numbers('behind'), await numbers('c')], [[1, 2, 3, 4], [4]]);
});

test('who leaves in the midst of a recovery is left alone, on both sides', async () => {
  const pending = [];
  const hold = (command, connection) => {
    if (!command.since) return fixture.store.answers.subscribe(command, connection);
    pending.push(() => fixture.store.answers.subscribe(command, connection).forEach((item) => connection.send(item)));
    return [];
  };
  await fixture.answering({ subscribe: hold });
  const first = await fixture.connected();
  await follow('c');
  first.destroy();
  publish('c', 1, 2);
  const second = await server.accept();
  await second.next();
  await page.run(() => window.subs.c.unsubscribe());
  pending[0]();
  assert.equal((await second.next()).type, 'unsubscribe');
  await follow('c', { name: 'new' });
  const { since } = await second.next();
  assert.equal(since, undefined, 'what was left begins anew');
  assert.deepEqual(await fixture.log('c'), [{ subscribed: {} }]);
});

test('latest asks for the newest only, and takes jumps as they come', async () => {
  publish('c', 1, 2, 3);
  const connection = await fixture.connected();
  await follow('c', { since: at(0), mode: 'latest' });
  const { mode, since } = await connection.next();
  assert.deepEqual([mode, since], ['latest', at(0)]);
  fixture.store.losing(2);
  publish('c', 4, 5, 6);
  assert.deepEqual(await logged('c', 3), [{ subscribed: { recovered: true } }, 3, 6]);
  assert.equal(connection.received.length, 1);
});

test('latest is recovered from another history too, as long as there is a newest', async () => {
  const first = await fixture.connected();
  await follow('c', { mode: 'latest' });
  publish('c', 1);
  await logged('c', 2);
  fixture.store.restart('two');
  publish('c', 'fresh', 'newest');
  await fixture.cut(first);
  assert.deepEqual((await logged('c', 4)).slice(2), [{ subscribed: { recovered: true } }, 'newest']);
});

test('who wants everything turns latest off for all', async () => {
  const connection = await fixture.connected();
  await follow('c', { mode: 'latest' });
  await connection.next();
  await page.run(() => window.follow('c', { name: 'all' }));
  const { mode, since } = await connection.next();
  assert.deepEqual([mode, since], [undefined, at(0)]);
  await logged('all', 1);
  fixture.store.losing(1);
  publish('c', 1, 2);
  assert.deepEqual((await connection.next()).since, at(0), 'and a jump is a gap now');
  await page.until(() => window.logs.all.includes(2));
});

test('a thousand channels come back with their positions in few commands', async () => {
  const names = ['__proto__', ...Array.from({ length: 999 }, (_, i) => `${'é"'.repeat(60)}${i}`)];
  for (const name of names) publish(name, 0);
  const first = await fixture.connected();
  await page.run((channels) => channels.forEach((channel) => window.follow(channel)), names);
  await page.until((channels) => channels.every((channel) => window.subs[channel].position), names);
  first.destroy();
  for (const name of names) publish(name, 'missed');
  const second = await server.accept();
  await page.until((channels) => channels.every((channel) => window.logs[channel].includes('missed')), names);
  assert.ok(second.received.length <= 20, `${second.received.length} commands`);
  const asked = second.received.flatMap(({ since }) => Object.entries(since));
  assert.deepEqual(new Map(asked), new Map(names.map((name) => [name, at(1)])));
  for (const command of second.received) assert.ok(Buffer.byteLength(JSON.stringify(command)) < 65_536);
});

test('a renewal that came too fast is sent again', async () => {
  let refusals = 0;
  const slow = (command, connection) =>
    command.since && !refusals++
      ? [{ type: 'error', id: command.id, code: 'rate_limited', message: 'too fast', channel: command.channel }]
      : fixture.store.answers.subscribe(command, connection);
  await fixture.answering({ subscribe: slow });
  const connection = await fixture.connected();
  await follow('c');
  fixture.store.losing(1);
  publish('c', 1, 2);
  assert.deepEqual((await logged('c', 4)).slice(1), [{ subscribed: { recovered: true } }, 1, 2]);
  assert.deepEqual(
    connection.received.map(({ since }) => since),
    [undefined, at(0), at(0)],
  );
});

test('a renewal that is refused is an error, and leaving still leaves', async () => {
  const forbid = (command, connection) =>
    command.since
      ? [{ type: 'error', id: command.id, code: 'forbidden', message: 'a rule forbids it', channel: command.channel }]
      : fixture.store.answers.subscribe(command, connection);
  await fixture.answering({ subscribe: forbid });
  const connection = await fixture.connected();
  await follow('c');
  fixture.store.losing(1);
  publish('c', 1, 2);
  assert.deepEqual((await logged('c', 2))[1], { error: 'forbidden' });
  await page.run(() => window.subs.c.unsubscribe());
  for (let command; command?.type !== 'unsubscribe';) command = await connection.next();
});

test('history() tells what is kept, part by part or the newest of it', async () => {
  publish('c', 'a', 'b', 'c');
  await fixture.connected();
  await follow('c');
  const parts = await page.run(async () => {
    const { c } = window.subs;
    const first = await c.history({ since: 'earliest', limit: 2 });
    return [first, await c.history({ since: first.next }), await c.history({ limit: 1 })];
  });
  const head = { oldest: 1, top: 3, epoch: 'one' };
  assert.deepEqual(parts, [
    { publications: ['a', 'b'].map((data, i) => ({ offset: i + 1, data })), ...head, next: at(2) },
    { publications: [{ offset: 3, data: 'c' }], ...head },
    { publications: [{ offset: 3, data: 'c' }], ...head },
  ]);
});

test('history() waits for a connection, is asked again on the next one, and ends with close()', async () => {
  await fixture.answering({ history: () => [] });
  const first = await fixture.connected();
  await follow('c');
  await page.run(() => {
    window.outcome = window.subs.c.history().then(
      () => 'answered',
      ({ name, code }) => `${name} ${code}`,
    );
  });
  for (let command; command?.type !== 'history';) command = await first.next();
  const second = await fixture.cut(first);
  for (let command; command?.type !== 'history';) command = await second.next();
  const outcome = await page.run(() => {
    window.rt.close();
    return window.outcome;
  });
  assert.equal(outcome, 'RealtimeError closed');
  const late = await page.run(() => window.subs.c.history().catch(({ code }) => code));
  assert.equal(late, 'closed');
});

test('history() that is refused rejects, and one that came too fast is asked again', async () => {
  const codes = ['rate_limited', 'forbidden'];
  const refuse = ({ id, channel }) => [{ type: 'error', id, code: codes.shift(), message: 'no', channel }];
  await fixture.answering({ history: refuse });
  await fixture.connected();
  await follow('c');
  assert.equal(await page.run(() => window.subs.c.history().catch(({ code }) => code)), 'forbidden');
  assert.deepEqual([codes, await page.run(() => window.errors)], [[], []]);
});

test('a wrong position or mode is an exception where it is given', async () => {
  await fixture.connected(QUICK);
  const names = await page.run(async () => {
    const { rt } = window;
    const thrown = async (fn) => {
      try {
        await fn();
        return 'nothing';
      } catch (error) {
        return error.name;
      }
    };
    const wrong = ['latest', 7, {}, [], { epoch: 'e' }, { epoch: 1, offset: 1 }, { epoch: 'e', offset: -1 }];
    wrong.push({ epoch: 'e', offset: 1.5 }, { epoch: 'e', offset: 2 ** 53 }, { epoch: 'e'.repeat(65), offset: 1 });
    const sub = rt.subscribe('c', () => {});
    return Promise.all([
      ...wrong.map((since) => thrown(() => rt.subscribe('c', () => {}, { since }))),
      ...wrong.map((since) => thrown(() => sub.history({ since }))),
      thrown(() => rt.subscribe('c', () => {}, { mode: 'newest' })),
      thrown(() => new rt.constructor('ws://127.0.0.1:1', { userSince: 'now' })),
    ]);
  });
  assert.deepEqual(new Set(names), new Set(['TypeError']));
});
