/** Who is in a channel: the list that comes with the subscription, and what keeps it up to date. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fixture } from './fixture.mjs';
import { page } from './scene.mjs';

const fixture = new Fixture();
const member = (user, connections) => ({ user, info: { name: user }, ...(connections && { connections }) });
const push = (type, user, channel = 'c') => ({ type, channel, member: member(user) });
const entries = (name) => page.run((key) => [...window.subs[key].members], name);
const users = (name) => page.run((key) => [...window.subs[key].members.keys()], name);

/** A server whose channels have these members, in pages of so many. */
function withMembers(everybody, size = Infinity) {
  const part = (after) => {
    const start = after === undefined ? 0 : everybody.indexOf(after) + 1;
    const some = everybody.slice(start, start + size);
    return {
      members: some.map((user) => member(user, 2)),
      ...(start + size < everybody.length && { next: some.at(-1) }),
    };
  };
  return fixture.answering({
    subscribe: ({ id, channel }) => [{ type: 'subscribed', id, channel, ...part() }],
    presence: ({ id, channel, after }) => [{ type: 'presence', id, channel, ...part(after) }],
  });
}

test('the list comes with the subscription, and follows who comes and goes', async () => {
  await withMembers(['ann', '__proto__']);
  const connection = await fixture.connected();
  assert.equal(await page.run(() => window.rt.subscribe('other', () => {}).members), null);
  await fixture.follow('c');
  assert.deepEqual(await entries('c'), [
    ['ann', { info: { name: 'ann' } }],
    ['__proto__', { info: { name: '__proto__' } }],
  ]);
  for (const frame of [push('join', 'bob'), push('leave', 'ann'), push('leave', '__proto__')]) connection.send(frame);
  assert.deepEqual(await fixture.logged('c', 4), [
    { subscribed: { members: ['ann', '__proto__'], complete: true } },
    { join: 'bob' },
    { leave: 'ann' },
    { leave: '__proto__' },
  ]);
  assert.deepEqual(await users('c'), ['bob']);
});

test('who is known to be in, or out, is no news', async () => {
  await withMembers(['ann']);
  const connection = await fixture.connected();
  await fixture.follow('c');
  for (const frame of [push('join', 'ann'), push('leave', 'bob'), push('join', 'eve')]) connection.send(frame);
  assert.deepEqual((await fixture.logged('c', 2)).slice(1), [{ join: 'eve' }]);
});

test('the list is the same object for all, and a new one after a reconnect is put into it', async () => {
  const everybody = ['ann'];
  await withMembers(everybody);
  const connection = await fixture.connected();
  await fixture.follow('c');
  await fixture.follow('c', { name: 'twin' });
  await page.run(() => (window.list = window.subs.c.members) && undefined);
  assert.equal(await page.run(() => window.subs.twin.members === window.list), true);
  everybody.splice(0, 1, 'bob', 'eve');
  await fixture.cut(connection);
  await fixture.logged('c', 2);
  assert.deepEqual(await page.run(() => [...window.list.keys()]), ['bob', 'eve']);
});

test('a channel without presence has no list, and its events are told all the same', async () => {
  const connection = await fixture.connected();
  await fixture.follow('c');
  connection.send(push('join', 'ann'));
  connection.send(push('leave', 'ann'));
  assert.deepEqual((await fixture.logged('c', 3)).slice(1), [{ join: 'ann' }, { leave: 'ann' }]);
  assert.equal(await page.run(() => window.subs.c.members), null);
});

test('presence() follows all pages, and completes the list', async () => {
  const everybody = Array.from({ length: 7 }, (_, i) => `u${i}`);
  await withMembers(everybody, 3);
  await fixture.connected();
  await fixture.follow('c');
  assert.deepEqual((await fixture.log('c'))[0].subscribed, { members: ['u0', 'u1', 'u2'], complete: false });
  const found = await page.run(() => window.subs.c.presence());
  assert.deepEqual(
    found,
    everybody.map((user) => member(user, 2)),
  );
  assert.deepEqual(await users('c'), everybody);
});

test('who comes and goes while presence() is under way is in the result as it is in the end', async () => {
  const pages = {
    first: { members: [member('ann', 1), member('bob', 1)], next: 'bob' },
    bob: { members: [member('eve', 1)] },
  };
  const meanwhile = [push('leave', 'ann'), push('join', 'al')];
  await fixture.answering({
    presence: ({ id, channel, after = 'first' }) => [
      { type: 'presence', id, channel, ...pages[after] },
      ...(after === 'first' ? meanwhile : []),
    ],
  });
  await fixture.connected();
  await fixture.follow('c');
  const found = await page.run(() => window.subs.c.presence());
  assert.deepEqual(
    found.map(({ user }) => user),
    ['bob', 'al', 'eve'],
  );
});

test('a connection that breaks between two pages begins again', async () => {
  const asked = [];
  const everybody = ['ann', 'bob'];
  await fixture.answering({
    subscribe: ({ id, channel }) => [{ type: 'subscribed', id, channel, members: [] }],
    presence: ({ id, channel, after }, connection) => {
      asked.push([connection.id, after ?? null]);
      if (after && connection.id === 'c1') return connection.destroy();
      const part = after ? everybody.slice(1) : everybody.slice(0, 1);
      return [
        { type: 'presence', id, channel, members: part.map((user) => member(user, 1)), next: after ? null : 'ann' },
      ];
    },
  });
  await fixture.connected();
  await fixture.follow('c');
  const found = await page.run(() => window.subs.c.presence());
  assert.deepEqual(
    found.map(({ user }) => user),
    everybody,
  );
  assert.deepEqual(asked, [
    ['c1', null],
    ['c1', 'ann'],
    ['c2', 'ann'],
    ['c2', null],
    ['c2', 'ann'],
  ]);
});

test('presence() that is refused rejects', async () => {
  await fixture.answering({
    presence: ({ id, channel }) => [{ type: 'error', id, code: 'forbidden', message: 'not yours', channel }],
  });
  await fixture.connected();
  await fixture.follow('c');
  assert.equal(await page.run(() => window.subs.c.presence().catch(({ code }) => code)), 'forbidden');
});

test('who has left is told nothing any more', async () => {
  await withMembers(['ann']);
  const connection = await fixture.connected();
  await fixture.follow('c');
  await fixture.follow('c', { name: 'stays' });
  await page.run(() => window.subs.c.unsubscribe());
  connection.send(push('join', 'bob'));
  await fixture.logged('stays', 2);
  assert.equal((await fixture.log('c')).length, 1);
});
