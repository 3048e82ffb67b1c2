/** Tokens for single channels, and subscriptions that the server ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStore } from './fake-store.mjs';
import { QUICK, page, serve, server } from './scene.mjs';
import { reaches } from './site.mjs';
import { connectWith, tokenOf } from './tokens.mjs';

const [A, B] = [1, 2].map((n) => tokenOf('u7', { channel: 'private-a', n }));

const refusal = (id, channel, code) => ({ type: 'error', id, channel, code, message: 'm' });

/** A server whose `private-…` channels need a token, one of `good`. */
async function guarded(good = [A, B], answers = {}) {
  const answer = (id, channel, token) => {
    if (!channel.startsWith('private-') || good.includes(token)) return { type: 'subscribed', id, channel };
    return refusal(id, channel, token ? 'token_invalid' : 'forbidden');
  };
  await serve({
    answers: {
      subscribe: ({ id, channel, token }) => [answer(id, channel, token)],
      register: ({ id, channels }) => channels.map((channel) => answer(id, channel)),
      ...answers,
    },
  });
}

/**
 * Connects the page; resolves with the server's end. `follow(channel, tokens)` subscribes with what `tokens` bring, one after
 * the other, if they are a list, and logs what happens to the subscription.
 */
async function connected(settings = {}) {
  await connectWith(page, server.url, { ...QUICK, ...settings });
  await page.run(() => {
    window.log = [];
    window.follow = (channel, tokens, options) => {
      const token = Array.isArray(tokens) ? () => window.next(tokens) : tokens;
      window.sub = window.rt.subscribe(channel, (data) => window.log.push(data), { ...options, token });
      window.sub.on('subscribed', () => window.log.push('subscribed'));
      window.sub.on('error', ({ code }) => window.log.push(code));
      window.sub.onMissed(() => window.log.push('missed'));
    };
  });
  const connection = await server.accept();
  await reaches(page, 'connected');
  return connection;
}

const follow = (channel, tokens, options = {}) =>
  page.run((...args) => window.follow(...args), channel, tokens, options);

/** What the page has logged, once that are `count` things. */
async function logged(count) {
  await page.until((number) => window.log.length >= number, count);
  return page.run(() => window.log);
}

test('a token that is given opens the channel at once', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', A);
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'private-a', token: A, id: 1 });
  assert.deepEqual(await logged(1), ['subscribed']);
});

test('a function is asked before the command goes out, and others do not wait for it', async () => {
  await guarded();
  const connection = await connected();
  await page.run(() => {
    window.follow('private-a', ['held']);
    void window.listen('b');
    void window.listen('c');
  });
  assert.deepEqual((await connection.next()).channels, ['b', 'c']);
  await page.run((token) => window.bring(token), A);
  assert.equal((await connection.next()).token, A);
  assert.deepEqual(await logged(1), ['subscribed']);
});

test('a channel that is refused without a token is tried with one of channelToken', async () => {
  await guarded();
  const connection = await connected({ channelAnswers: [{ status: 200, body: A }] });
  await page.run(() => {
    void window.listen('b');
    window.follow('private-a');
  });
  assert.deepEqual((await connection.next()).channels, ['b', 'private-a']);
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'private-a', token: A, id: 2 });
  assert.deepEqual(await logged(1), ['subscribed']);
  assert.deepEqual(await page.run(() => window.channelsAsked), ['private-a']);
  // It is known to need one now.
  connection.destroy();
  const second = await server.accept();
  const commands = [await second.next(), await second.next()];
  assert.deepEqual(commands.map(({ channel, token }) => [channel, token]).sort(), [
    ['b', undefined],
    ['private-a', A],
  ]);
});

test('where there is none, it stays refused', async () => {
  await guarded();
  const connection = await connected({ channelAnswers: [null] });
  await follow('private-a');
  assert.deepEqual(await logged(1), ['forbidden']);
  assert.equal(connection.received.length, 2);
});

test('a new token that is refused is told, one from before is replaced', async () => {
  const good = [A];
  await guarded(good);
  const first = await connected();
  await follow('private-a', [A, tokenOf('u7', { n: 3 }), B]);
  assert.deepEqual(await logged(1), ['subscribed']);
  good.splice(0, 1, B);
  first.destroy();
  assert.deepEqual(await logged(2), ['subscribed', 'token_invalid']);
  (await server.accept()).destroy();
  assert.deepEqual(await logged(3), ['subscribed', 'token_invalid', 'subscribed']);
});

test('a function that fails is told and asked again', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', [{ fails: 'x' }, { status: 500 }, A]);
  assert.deepEqual(await logged(3), ['token_failed', 'token_failed', 'subscribed']);
  assert.equal(connection.received.length, 1);
});

test('several subscribers wait for one answer, and are told of a failure once', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', ['held', A]);
  await page.until(() => window.bring);
  await page.run(() => {
    window.rt.subscribe('private-a', () => {}).on('error', ({ code }) => window.log.push(`other ${code}`));
  });
  await page.run(() => window.bring(Promise.reject(new Error('x'))));
  assert.deepEqual(await logged(3), ['token_failed', 'other token_failed', 'subscribed']);
  assert.equal(connection.received.length, 1);
});

test('who leaves before the token is there has never been there', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', ['held']);
  await page.until(() => window.bring);
  await page.run(async (token) => {
    window.sub.unsubscribe();
    window.bring(token);
    await window.listen('b');
  }, A);
  assert.deepEqual(
    connection.received.map(({ channel }) => channel),
    ['b'],
  );
});

test('before a token ends another one is shown, without a gap and without a word to the page', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', [A, B]);
  await logged(1);
  await connection.next();
  connection.send({ type: 'token_expiring', channel: 'private-a', in: 30 });
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'private-a', token: B, id: 2 });
  connection.send({ type: 'broadcast_update', channel: 'private-a', data: 1 });
  assert.deepEqual(await logged(2), ['subscribed', 1]);
});

test('so it is in a channel with history, and what is published meanwhile comes once', async () => {
  const store = new FakeStore();
  await guarded([A, B], store.answers);
  const connection = await connected();
  await follow('private-a', [A, 'held']);
  await logged(1);
  store.publish('private-a', 1);
  connection.send({ type: 'token_expiring', channel: 'private-a', in: 30 });
  await page.until(() => window.bring);
  store.publish('private-a', 2);
  await page.run((token) => window.bring(token), B);
  const [, { token, since }] = [await connection.next(), await connection.next()];
  assert.deepEqual([token, since], [B, { epoch: 'one', offset: 2 }]);
  store.publish('private-a', 3);
  assert.deepEqual(await logged(4), ['subscribed', 1, 2, 3]);
});

test('who comes while another token is fetched does not wait for it', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', [A, 'held']);
  await logged(1);
  connection.send({ type: 'token_expiring', channel: 'private-a', in: 30 });
  await page.until(() => window.bring);
  await page.run(() => window.listen('private-a').then(() => {}));
  assert.equal(connection.received.length, 1);
});

for (const reason of ['token expired', 'token revoked']) {
  test(`after "${reason}" another one is shown, and what was missed comes`, async () => {
    const store = new FakeStore();
    await guarded([A, B], store.answers);
    const connection = await connected();
    await follow('private-a', [A, B]);
    await logged(1);
    store.losing(1);
    store.publish('private-a', 1);
    connection.send({ type: 'unsubscribed', channel: 'private-a', reason });
    assert.deepEqual(await logged(3), ['subscribed', 'subscribed', 1]);
  });
}

test('one that nothing can replace is told', async () => {
  await guarded();
  const connection = await connected();
  await follow('private-a', A);
  await logged(1);
  connection.send({ type: 'token_expiring', channel: 'private-a', in: 30 });
  connection.send({ type: 'unsubscribed', channel: 'private-a', reason: 'token expired' });
  assert.deepEqual(await logged(2), ['subscribed', 'token_expired']);
  assert.equal(connection.received.length, 1);
});

test('a subscription that the server ends is told, and tried again after the next reconnect', async () => {
  await guarded();
  const connection = await connected();
  await follow('a');
  await logged(1);
  connection.send({ type: 'unsubscribed', channel: 'a', reason: 'banned' });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 'not any more, but it was under way' });
  connection.send({ type: 'unsubscribed', channel: 'unknown', reason: 'banned' });
  assert.deepEqual((await logged(2)).slice(0, 2), ['subscribed', 'unsubscribed']);
  connection.destroy();
  await server.accept();
  await page.until(() => window.log.at(-1) === 'subscribed');
});

test('presence goes on over a new token', async () => {
  const members = [{ user: 'u7', info: { name: 'Ana' } }];
  const subscribe = ({ id, channel }) => [{ type: 'subscribed', id, channel, members }];
  await guarded([], { subscribe });
  const connection = await connected();
  await follow('private-a', [A, B]);
  await logged(1);
  await page.run(() => void window.sub.on('join', ({ info }) => window.log.push(info)));
  await connection.next();
  connection.send({ type: 'token_expiring', channel: 'private-a', in: 30 });
  await connection.next();
  connection.send({ type: 'join', channel: 'private-a', member: { user: 'u8', info: { name: 'Bo' } } });
  assert.deepEqual(await logged(2), ['subscribed', { name: 'Bo' }]);
  const shown = await page.run(() => [...window.sub.members].map(([name, { info }]) => [name, info]));
  assert.deepEqual(shown, [
    ['u7', { name: 'Ana' }],
    ['u8', { name: 'Bo' }],
  ]);
});
