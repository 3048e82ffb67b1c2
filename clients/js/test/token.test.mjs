/** Who a page is: tokens on the wire, where they come from, and what becomes of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStore } from './fake-store.mjs';
import { QUICK, page, serve, server, site } from './scene.mjs';
import { reaches } from './site.mjs';
import { connectWith, tokenOf, userOf } from './tokens.mjs';

const [A, B, C] = [1, 2, 3].map((n) => tokenOf('u7', { n }));

const answering = (answers) => serve({ answers });

/** Connects the page, subscribed to `a`; resolves with the server's end. */
async function connected(settings) {
  await connectWith(page, server.url, { ...QUICK, ...settings });
  await page.run(() => void (window.sub = window.listen('a')));
  const connection = await server.accept();
  await reaches(page, 'connected');
  return connection;
}

const errors = () => page.run(() => window.errors);
const states = () => page.run(() => window.states.map(([state]) => state));
const user = (name) => page.until((wanted) => window.rt.user === wanted, name);
const shown = async (connection) => (await connection.next()).token;

test('a token is shown before everything else, and nothing waits for the answer', async () => {
  await answering({ connect: () => [] });
  const connection = await connected({ token: A });
  assert.deepEqual(await connection.next(), { type: 'connect', id: 'connect', token: A });
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'a', id: 1 });
  await page.run(() => window.sub.then(() => {}));
  assert.equal(await page.run(() => window.rt.user), null);
  connection.send({ type: 'connected', id: 'connect', user: 'u7', expires: null });
  await user('u7');
  connection.destroy();
  await user(null);
});

for (const [name, answer] of [
  ['a string', A],
  ['an object', { token: A }],
  ['a response with text', { status: 200, body: `${A}\n` }],
  ['a response with JSON', { status: 200, body: JSON.stringify({ token: A }) }],
  ['a response with a JSON string', { status: 200, body: JSON.stringify(A) }],
]) {
  test(`a function may bring ${name}`, async () => {
    const connection = await connected({ answers: [answer] });
    assert.equal(await shown(connection), A);
    await user('u7');
  });
}

for (const [name, answer] of [
  ['null', null],
  ['an empty string', ''],
  ['an object with none', { token: null }],
  ['HTTP 204', { status: 204 }],
  ['HTTP 401', { status: 401, body: 'log in' }],
  ['HTTP 403', { status: 403, body: '{}' }],
  ['JSON null', { status: 200, body: 'null' }],
]) {
  test(`a function that brings ${name} says that there is no user, until the next connection`, async () => {
    const first = await connected({ answers: [answer, B] });
    assert.deepEqual(await first.next(), { type: 'subscribe', channel: 'a', id: 1 });
    first.destroy();
    const second = await server.accept();
    assert.equal(await shown(second), B);
    assert.deepEqual(await errors(), []);
  });
}

test('a token that is slow to come is waited for, and nothing is sent before', async () => {
  await connectWith(page, server.url, { ...QUICK, answers: ['held'] });
  await page.run(() => void (window.sub = window.listen('a')));
  const connection = await server.accept();
  connection.send({ type: 'message', data: 'after the greeting' });
  await page.until(() => window.messages.length);
  assert.deepEqual([await page.run(() => window.rt.state), connection.received], ['connecting', []]);
  await page.run((token) => window.bring(token), A);
  assert.equal(await shown(connection), A);
  assert.equal((await connection.next()).type, 'subscribe');
});

test('a token that does not come in time is told, and asked for again', async () => {
  await connectWith(page, server.url, { ...QUICK, timeout: 500, answers: ['held', A] });
  const first = await server.accept();
  await first.closed;
  assert.equal(await shown(await server.accept()), A);
  assert.deepEqual([await errors(), first.received], [['token_failed'], []]);
});

for (const [name, answer, said] of [
  ['throws', { fails: 'no network' }, 'no network'],
  ['gets HTTP 500', { status: 500, body: A }, 'HTTP 500'],
  ['gets a login page', { status: 200, body: '<!doctype html><title>Log in</title>' }, 'no JSON Web Token'],
  ['gets broken JSON', { status: 200, body: '{"token":' }, 'JSON'],
  ['brings a number', 7, 'no JSON Web Token'],
]) {
  test(`a function that ${name} is told, and asked again later`, async () => {
    await connectWith(page, server.url, { ...QUICK, answers: [answer, answer, A] });
    await reaches(page, 'connected');
    const [, , third] = [await server.accept(), await server.accept(), await server.accept()];
    assert.equal(await shown(third), A);
    assert.deepEqual(await errors(), ['token_failed', 'token_failed']);
    const told = await page.run(() => window.said);
    assert.ok(told.startsWith("the page's `token` function brought none: ") && told.includes(said), told);
    const [, { reason }] = await page.run(() => window.states.find(([state]) => state === 'disconnected'));
    assert.equal(reason, 'there is no token');
  });
}

test('a good token is shown again after a reconnect, without asking for another one', async () => {
  const first = await connected({ answers: [A, B] });
  await user('u7');
  first.destroy();
  const second = await server.accept();
  assert.equal(await shown(second), A);
  assert.equal(await page.run(() => window.asked), 1);
});

test('one that has ended meanwhile is not', async () => {
  await answering({ connect: ({ id }) => [{ type: 'connected', id, user: 'u7', expires: 1 }] });
  const first = await connected({ answers: [A, B] });
  await user('u7');
  first.destroy();
  assert.equal(await shown(await server.accept()), B);
});

test('before a token ends another one is shown on the same connection', async () => {
  const connection = await connected({ answers: [A, B] });
  assert.equal(await shown(connection), A);
  await page.run(() => window.sub.then(() => {}));
  await connection.next();
  connection.send({ type: 'token_expiring', in: 30 });
  assert.deepEqual(await connection.next(), { type: 'connect', id: 'connect', token: B });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 'still there' });
  await page.until(() => window.got.a.length);
  assert.deepEqual([await states(), await errors(), connection.received.length], [['connected'], [], 3]);
});

test('where another one cannot be had, it is tried as long as the connection lasts', async () => {
  const connection = await connected({ answers: [A, { fails: 'x' }, { status: 503 }, B] });
  await user('u7');
  connection.send({ type: 'token_expiring', in: 30 });
  await page.until(() => window.asked === 4);
  assert.deepEqual(
    (await Promise.all([1, 2, 3].map(() => connection.next()))).map(({ token }) => token),
    [A, undefined, B],
  );
  assert.deepEqual([await states(), await errors()], [['connected'], ['token_failed', 'token_failed']]);
});

test('one that comes when the connection is gone is for the next one', async () => {
  const first = await connected({ answers: [A, 'held', C] });
  await user('u7');
  first.send({ type: 'token_expiring', in: 30 });
  await page.until(() => window.bring);
  await serve({ greet: false }, server.port);
  const second = await server.accept();
  await page.run((token) => window.bring(token), B);
  second.send({ type: 'welcome', connection: 'c2', version: 1, ping: 25 });
  assert.equal(await shown(second), B);
  assert.equal((await second.next()).type, 'subscribe');
  assert.deepEqual([await errors(), second.received.length], [[], 2]);
});

test('a refused one leaves the connection as it is', async () => {
  const refused = (id) => ({ type: 'error', id, code: 'token_invalid', message: 'm' });
  await answering({
    connect: ({ id, token }) => [token === B ? refused(id) : { type: 'connected', id, user: 'u7', expires: null }],
  });
  const connection = await connected({ answers: [A, B, C] });
  await user('u7');
  connection.send({ type: 'token_expiring', in: 30 });
  await page.until(() => window.errors.length);
  assert.deepEqual([await states(), await errors()], [['connected'], ['token_invalid']]);
  connection.send({ type: 'disconnect', code: 4004, reason: 'token expired', reconnect: true });
  assert.equal(await shown(await server.accept()), C);
});

test('another user, or none, needs another connection', async () => {
  const other = tokenOf('u8');
  const first = await connected({ answers: [A, other, null] });
  await user('u7');
  first.send({ type: 'token_expiring', in: 30 });
  await first.closed;
  const second = await server.accept();
  assert.equal(await shown(second), other);
  await user('u8');
  second.send({ type: 'token_expiring', in: 30 });
  await second.closed;
  const third = await server.accept();
  assert.equal((await third.next()).type, 'subscribe');
});

test('a user whose id is a number in the token is told apart, too', async () => {
  const [seven, eight] = [7, 8].map((number) => tokenOf(number));
  const first = await connected({ answers: [seven, eight] });
  assert.equal(await shown(first), seven);
  first.send({ type: 'token_expiring', in: 30 });
  await first.closed;
  assert.equal(await shown(await server.accept()), eight);
});

test('after "token expired" or "token revoked" another one is asked for before coming back', async () => {
  const first = await connected({ answers: [A, B] });
  await user('u7');
  first.send({ type: 'disconnect', code: 4004, reason: 'token revoked', reconnect: true });
  assert.equal(await shown(await server.accept()), B);
  assert.deepEqual(await errors(), []);
});

test('a token without a function ends with the connection, and says so', async () => {
  const connection = await connected({ token: A });
  await user('u7');
  connection.send({ type: 'token_expiring', in: 30 });
  connection.send({ type: 'disconnect', code: 4004, reason: 'token expired', reconnect: true });
  await reaches(page, 'closed');
  assert.deepEqual(await page.run(() => window.states.at(-1)), ['closed', { code: 4004, reason: 'token expired' }]);
  assert.deepEqual(await errors(), ['token_expired']);
});

/** What the server says to a token that it refuses, before it closes. */
function refuse(connection, code, number, reconnect) {
  connection.send({ type: 'error', id: 'connect', code, message: 'm' });
  connection.send({ type: 'disconnect', code: number, reason: 'r', reconnect });
}

test('a new token that is refused is the end', async () => {
  await answering({ connect: () => [] });
  const connection = await connected({ answers: [A, B] });
  refuse(connection, 'token_invalid', 4001, false);
  await reaches(page, 'closed');
  assert.deepEqual([await errors(), await page.run(() => window.asked)], [['token_invalid'], 1]);
});

test('so is a token without a function', async () => {
  await answering({ connect: () => [] });
  refuse(await connected({ token: A }), 'token_invalid', 4001, false);
  await reaches(page, 'closed');
  assert.deepEqual(await errors(), ['token_invalid']);
});

for (const [code, number, reconnect] of [
  ['token_invalid', 4001, false], // such as by a key that is used no more
  ['token_expired', 4004, true],
]) {
  test(`one from before that is ${code} now is replaced in silence`, async () => {
    const connect = ({ id, token }) =>
      server.connections.length === 2
        ? [
            { type: 'error', id, code, message: 'm' },
            { type: 'disconnect', code: number, reason: 'r', reconnect },
          ]
        : [{ type: 'connected', id, user: userOf(token), expires: null }];
    await answering({ connect });
    const first = await connected({ answers: [A, B] });
    await user('u7');
    first.destroy();
    assert.equal(await shown(await server.accept()), A);
    assert.equal(await shown(await server.accept()), B);
    await user('u7');
    assert.deepEqual(await errors(), []);
  });
}

test('a token that the server cannot look at yet is shown again, here or on the next connection', async () => {
  const answers = [
    ({ id }) => [{ type: 'error', id, code: 'unavailable', message: 'm' }],
    ({ id }) => [
      { type: 'error', id, code: 'unavailable', message: 'm' },
      { type: 'disconnect', code: 4012, reason: 'going away', reconnect: true },
    ],
    ({ id }) => [{ type: 'connected', id, user: 'u7', expires: null }],
  ];
  await answering({ connect: (command) => answers.shift()(command) });
  const first = await connected({ answers: [A, B] });
  assert.deepEqual([await shown(first), (await first.next()).type, await shown(first)], [A, 'subscribe', A]);
  assert.equal(await shown(await server.accept()), A);
  await user('u7');
  assert.deepEqual([await errors(), await page.run(() => window.asked)], [[], 1]);
});

test('new tokens that have always expired already are told', async () => {
  await answering({ connect: () => [] });
  refuse(await connected({ answers: [A, B] }), 'token_expired', 4004, true);
  assert.equal(await shown(await server.accept()), B);
  assert.deepEqual(await errors(), ['token_expired']);
});

test('who the handshake says it is shows, too', async () => {
  const connection = await connected();
  connection.send({ type: 'connected', user: 'from-the-cookie', expires: 4102444800 });
  await user('from-the-cookie');
});

test('close() while a token is fetched ends that as well', async () => {
  await connectWith(page, server.url, { ...QUICK, answers: ['held', A] });
  const connection = await server.accept();
  await page.until(() => window.bring);
  await page.run((token) => {
    window.rt.close();
    window.bring(token);
  }, A);
  await connection.closed;
  assert.deepEqual([await states(), connection.received], [['closed'], []]);
});

test('what is no token is refused where it is given', async () => {
  const refused = await page.run(async (token) => {
    const { Realtime } = await import('/realtime.js');
    const options = [{ token: 'x' }, { token: 7 }, { token: '' }, { channelToken: 'x' }, { token, userId: 'u7' }];
    return options.map((option) => {
      try {
        return new Realtime('ws://127.0.0.1:1', option).close();
      } catch (error) {
        return error.name;
      }
    });
  }, A);
  assert.deepEqual(refused, Array(5).fill('TypeError'));
});

test('messages to the user go on where that user was, and not where another one was', async () => {
  const store = new FakeStore();
  const connect = ({ id, token, user_since, previous }, connection) => [
    ...store.answers.register({ userId: userOf(token), user_since, previous, channels: [] }, connection),
    { type: 'connected', id, user: userOf(token), expires: null },
  ];
  await answering({ ...store.answers, connect });
  const send = (name, ...data) => data.forEach((value) => store.publish({ user: name }, value));
  const brought = (...data) =>
    page.until((text) => JSON.stringify(window.messages.map(([value]) => value)) === text, JSON.stringify(data));
  send('u7', 'before');
  const first = await connected({ answers: [A, B, tokenOf('u8')], persist: true });
  await page.until(() => window.rt.userPosition);
  assert.equal((await first.next()).user_since, undefined);
  send('u7', 1);
  await brought(1);
  // Another token does not begin anew.
  await first.next();
  first.send({ type: 'token_expiring', in: 30 });
  assert.deepEqual((await first.next()).user_since, { epoch: 'one', offset: 2 });
  first.destroy();
  send('u7', 2);
  const second = await server.accept();
  assert.deepEqual((await second.next()).user_since, { epoch: 'one', offset: 2 });
  await brought(1, 2);
  send('u8', 'old', 'older', 'oldest', 'much older');
  second.send({ type: 'disconnect', code: 4004, reason: 'token revoked', reconnect: true });
  const third = await server.accept();
  assert.equal((await third.next()).user_since, undefined);
  await user('u8');
  send('u8', 'new');
  await brought(1, 2, 'new');
  // After a reload, each user's own.
  await page.goto(site.url);
  await connectWith(page, server.url, { ...QUICK, persist: true, answers: [C] });
  assert.deepEqual((await (await server.accept()).next()).user_since, { epoch: 'one', offset: 3 });
});
