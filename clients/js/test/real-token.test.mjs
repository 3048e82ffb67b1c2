/** Tokens with the real server: who is in, who is out, and what happens when time runs out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUICK, open, server, stage, start } from './real-scene.mjs';
import { Relay } from './relay.mjs';
import { reaches } from './site.mjs';
import { connectWith, tokenOf } from './tokens.mjs';

const SECRET = '0123456789abcdef0123456789abcdef';
/** How long (s) the server takes a token beyond its end. */
const SKEW = 10;
const RULES = `
[users]
history.size = 100

[[channels]]
pattern = "public.*"
subscribe = "anyone"

[[channels]]
pattern = "user:{user}:*"
subscribe = "user"

[[channels]]
pattern = "chat.*"
subscribe = "user"
publish = "user"
history.size = 1000

[[channels]]
pattern = "room.*"
subscribe = "user"
presence.enabled = true
`;

stage({ rules: RULES, dev: false, settings: { REALTIME_TOKENS__SECRET: SECRET } });

const now = () => Math.floor(Date.now() / 1_000);
const token = (user, claims = {}) => tokenOf(user, claims, SECRET);
/** A token that the server takes for so many seconds yet. */
const ending = (user, seconds, claims = {}) => token(user, { iat: now() - 60, exp: now() + seconds - SKEW, ...claims });

/** A window whose client is connected; `follow(channel)` logs what happens to its subscription. */
async function connected(settings, url = server.url) {
  const page = await open();
  await connectWith(page, url, { ...QUICK, ...settings });
  await page.run(() => {
    window.log = [];
    window.follow = (channel, options) => {
      window.sub = window.rt.subscribe(
        channel,
        (data, { user }) => window.log.push(user ? [data, user] : data),
        options,
      );
      window.sub.on('subscribed', () => window.log.push('subscribed'));
      window.sub.on('error', ({ code }) => window.log.push(code));
    };
  });
  return page;
}

/** Whom the server takes the page for, once it does. */
const user = (page, name) => page.until((wanted) => window.rt.user === wanted, name);
const follow = (page, channel, options = {}) => page.run((...args) => window.follow(...args), channel, options);
const errors = (page) => page.run(() => window.errors);
const states = (page) => page.run(() => window.states.map(([state]) => state));

async function logged(page, ...expected) {
  await page.until((count) => window.log.length >= count, expected.length);
  assert.deepEqual(await page.run(() => window.log), expected);
}

test('a token makes a user, and opens what is the user’s and what it names', async () => {
  const page = await connected({ answers: [token('u7', { channels: ['orders.*'] })] });
  await user(page, 'u7');
  for (const [channel, outcome] of [
    ['user:u7:news', 'subscribed'],
    ['orders.42', 'subscribed'],
    ['public.1', 'subscribed'],
    ['user:u8:news', 'forbidden'],
    ['invoices.1', 'forbidden'],
    ['private-x', 'forbidden'],
  ]) {
    await page.run(() => (window.log.length = 0));
    await follow(page, channel);
    await logged(page, outcome);
  }
  const { receivers } = await server.publish({ user: 'u7', data: 'for you' });
  assert.equal(receivers, 1);
  await page.until(() => window.messages.length);
});

test('without a token only what is for anyone is open', async () => {
  const page = await connected({ answers: [null] });
  await follow(page, 'public.1');
  await logged(page, 'subscribed');
  await follow(page, 'user:u7:news');
  await logged(page, 'subscribed', 'forbidden');
  assert.equal(await page.run(() => window.rt.user), null);
});

test('a new token comes in time, and the connection outlives the old one', async () => {
  const old = ending('u7', 4);
  const page = await connected({ answers: [old, token('u7')] });
  await follow(page, 'user:u7:news');
  await logged(page, 'subscribed');
  const id = await page.run(() => window.rt.connectionId);
  // The same token, which nothing replaces, shows when its time is over.
  const witness = await connected({ token: old });
  await reaches(witness, 'closed');
  assert.deepEqual(await witness.run(() => window.states.at(-1)), ['closed', { code: 4004, reason: 'token expired' }]);
  assert.deepEqual(await errors(witness), ['token_expired']);
  await server.publish({ channel: 'user:u7:news', data: 'still there' });
  await server.publish({ user: 'u7', data: 'for you' });
  await logged(page, 'subscribed', 'still there');
  await page.until(() => window.messages.length === 1);
  assert.deepEqual(
    [await page.run(() => window.rt.connectionId), await states(page), await errors(page)],
    [id, ['connected'], []],
  );
  assert.equal(await page.run(() => window.asked), 2);
});

test('a token that allows less ends what it does not allow', async () => {
  const page = await connected({ answers: [ending('u7', 4, { channels: ['orders.*'] }), token('u7')] });
  await follow(page, 'orders.42');
  await logged(page, 'subscribed', 'unsubscribed');
  assert.deepEqual(await states(page), ['connected']);
});

test('after a revocation the page comes back with a new token, and stays away without', async () => {
  const page = await connected({ answers: [token('u7'), token('u7', { iat: now() + 5 })] });
  await follow(page, 'user:u7:news');
  await logged(page, 'subscribed');
  const other = await connected({ token: token('u7') });
  const stranger = await connected({ token: token('u8') });
  for (const [one, name] of [
    [page, 'u7'],
    [other, 'u7'],
    [stranger, 'u8'],
  ]) {
    await user(one, name);
  }
  assert.equal((await server.publish({ type: 'revoke', user: 'u7' })).receivers, 2);
  await reaches(other, 'closed');
  assert.deepEqual(await other.run(() => window.states.at(-1)), ['closed', { code: 4004, reason: 'token revoked' }]);
  await logged(page, 'subscribed', 'subscribed');
  await user(page, 'u7');
  assert.deepEqual([await errors(page), await states(stranger)], [[], ['connected']]);
});

test('who is disconnected stays away', async () => {
  const page = await connected({ answers: [token('u7')] });
  await user(page, 'u7');
  assert.equal((await server.publish({ type: 'disconnect', user: 'u7', reason: 'banned' })).receivers, 1);
  await reaches(page, 'closed');
  assert.deepEqual(await page.run(() => window.states.at(-1)), ['closed', { code: 4003, reason: 'banned' }]);
});

test('a subscription can be ended from outside', async () => {
  const page = await connected({ answers: [token('u7', { channels: ['orders.*'] })] });
  await follow(page, 'orders.42');
  await logged(page, 'subscribed');
  await server.publish({ type: 'unsubscribe', user: 'u7', channel: 'orders.42' });
  await logged(page, 'subscribed', 'unsubscribed');
});

test('a token of somebody else’s making is refused for good', async () => {
  const page = await connected({ answers: [tokenOf('u7')] });
  await reaches(page, 'closed');
  assert.deepEqual(await errors(page), ['token_invalid']);
});

test('tokens of a secret that is gone are replaced', async () => {
  const next = SECRET.toUpperCase();
  const page = await connected({ answers: [token('u7'), tokenOf('u7', {}, next)] });
  await user(page, 'u7');
  await server.stop();
  await start({ REALTIME_TOKENS__SECRET: next });
  await page.until(() => window.asked === 2);
  await user(page, 'u7');
  assert.deepEqual(await errors(page), []);
});

test('a channel token opens its channel to its user, and is renewed without a gap', async () => {
  const answers = [token('u7')];
  const ends = ending('u7', 4, { channel: 'orders.42' });
  const page = await connected({ answers, channelAnswers: [ends, token('u7', { channel: 'orders.42' })] });
  await follow(page, 'orders.42');
  await logged(page, 'subscribed');
  const witness = await connected({ answers });
  await follow(witness, 'orders.42', { token: ends });
  await logged(witness, 'subscribed', 'token_expired');
  assert.equal((await server.publish({ channel: 'orders.42', data: 'still there' })).receivers, 1);
  await logged(page, 'subscribed', 'still there');
  assert.deepEqual(await page.run(() => window.channelsAsked), ['orders.42', 'orders.42']);
  // Another user's, and another channel's.
  await follow(witness, 'orders.43', { token: token('u8', { channel: 'orders.43' }) });
  await logged(witness, 'subscribed', 'token_expired', 'forbidden');
  await follow(witness, 'orders.44', { token: token('u7', { channel: 'orders.43' }) });
  await logged(witness, 'subscribed', 'token_expired', 'forbidden', 'token_invalid');
});

test('pages publish where they may, and it shows who it was', async () => {
  const [ann, bob] = [await connected({ answers: [token('ann')] }), await connected({ answers: [token('bob')] })];
  for (const page of [ann, bob]) {
    await follow(page, 'chat.1');
    await logged(page, 'subscribed');
  }
  const ack = await ann.run(() => window.rt.publish('chat.1', { text: 'hi' }, { event: 'said', excludeSelf: true }));
  assert.deepEqual([ack.receivers, ack.position.offset], [1, 1]);
  await logged(bob, 'subscribed', [{ text: 'hi' }, 'ann']);
  assert.equal((await bob.run(() => window.rt.publish('chat.1', 'hello'))).receivers, 2);
  await logged(ann, 'subscribed', ['hello', 'bob']);
  const code = await ann.run(() => window.rt.publish('user:ann:news', 1).catch((error) => error.code));
  assert.equal(code, 'forbidden');
});

test('what is published while connections break is there once, in order', async (t) => {
  const relay = await new Relay(server.port).start();
  t.after(() => relay.stop());
  const page = await connected({ answers: [token('ann')] }, relay.url);
  await user(page, 'ann');
  const reader = await connected({ answers: [token('bob')] });
  await follow(reader, 'chat.1');
  await logged(reader, 'subscribed');
  const COUNT = 200;
  const published = page.run(async (count) => {
    const acks = [];
    for (let data = 0; data < count; data += 1) {
      acks.push(window.rt.publish('chat.1', data));
      // A few at a time, so that some are always under way.
      if (acks.length > 5) await acks[acks.length - 5];
    }
    return (await Promise.all(acks)).length;
  }, COUNT);
  for (const seen of [20, 60, 100, 140]) {
    await reader.until((number) => window.log.length > number, seen);
    relay.cut();
  }
  assert.equal(await published, COUNT);
  await reader.until((number) => window.log.length > number, COUNT);
  const numbers = await reader.run(() => window.log.slice(1).map(([data]) => data));
  assert.deepEqual(
    numbers,
    Array.from({ length: COUNT }, (_, index) => index),
  );
});

test('what the token says of the user shows to the others', async () => {
  const ann = await connected({ answers: [token('ann', { info: { name: 'Ann' } })] });
  await follow(ann, 'room.1');
  await logged(ann, 'subscribed');
  await ann.run(() => void window.sub.on('join', (member) => window.log.push(member.info)));
  const bob = await connected({ answers: [token('bob', { info: { name: 'Bob' } })] });
  await follow(bob, 'room.1');
  await logged(ann, 'subscribed', { name: 'Bob' });
  const members = await bob.run(() => window.sub.presence());
  assert.deepEqual(
    members.map(({ user: name, info }) => [name, info]),
    [
      ['ann', { name: 'Ann' }],
      ['bob', { name: 'Bob' }],
    ],
  );
});

test('the cookie of the handshake is enough', async () => {
  const page = await open();
  await page.run((value) => void (document.cookie = `realtime_token=${value}`), token('u7'));
  try {
    await connectWith(page, server.url, QUICK);
    await user(page, 'u7');
  } finally {
    await page.run(() => void (document.cookie = 'realtime_token=; max-age=0'));
  }
});

test('where everybody needs a token, one is shown before anything else', async () => {
  await server.stop();
  await start({ REALTIME_TOKENS__REQUIRED: 'true' });
  const page = await connected({ answers: [token('u7')] });
  await follow(page, 'public.1');
  await logged(page, 'subscribed');
  assert.deepEqual(await errors(page), []);
});
