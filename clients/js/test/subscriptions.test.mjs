/** What goes over the wire as subscriptions come and go, and who is called. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { page, serve, server } from './scene.mjs';
import { connect, reaches } from './site.mjs';

/** Connects the page; resolves with the server's end. */
async function connected(options) {
  await connect(page, server.url, options);
  const connection = await server.accept();
  await reaches(page, 'connected');
  return connection;
}

/** Everything that the page has sent once it has sent what it had to: a ping of the test's own ends the list. */
async function sent(connection) {
  await page.run(() => window.dispatchEvent(new Event('online')));
  return upToPing(connection);
}

async function upToPing(connection) {
  const commands = [];
  for (;;) {
    const command = await connection.next();
    if (command.type === 'ping') return commands;
    commands.push(command);
  }
}

test('a subscription is one command, and its callback gets data and publication', async () => {
  const connection = await connected();
  await page.run(() => {
    window.rt.subscribe('orders.42', (data, publication) => (window.seen = { data, publication }));
  });
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'orders.42', id: 1 });
  const frame = { type: 'broadcast_update', channel: 'orders.42', event: 'paid', data: { total: 7 } };
  connection.send(frame);
  assert.deepEqual(await page.until(() => window.seen), { data: { total: 7 }, publication: frame });
});

test('subscriptions of one turn share a command, and of one channel a subscription', async () => {
  const connection = await connected();
  await page.run(() => Promise.all(['a', 'b', 'a'].map((channel) => window.listen(channel))));
  assert.deepEqual(await sent(connection), [{ action: 'register', channels: ['a', 'b'], id: 1 }]);
  await page.run(() => window.listen('a'));
  assert.deepEqual(await sent(connection), [], 'a later one joins the channel that is there');
});

test('the last one to leave a channel sends unsubscribe, the others nothing', async () => {
  const connection = await connected();
  await page.run(async () => {
    window.first = await window.listen('a');
    window.second = await window.listen('a');
    window.first.unsubscribe();
    window.first.unsubscribe();
  });
  assert.deepEqual(await sent(connection), [{ type: 'subscribe', channel: 'a', id: 1 }]);
  await page.run(() => window.second.unsubscribe());
  assert.deepEqual(await sent(connection), [{ type: 'unsubscribe', channel: 'a', id: 2 }]);
});

test('who comes and goes within a turn sends nothing', async () => {
  const connection = await connected();
  await page.run(async () => {
    window.rt.subscribe('a', () => {}).unsubscribe();
    const sub = await window.listen('b');
    sub.unsubscribe();
    await window.listen('b');
  });
  assert.deepEqual(await sent(connection), [{ type: 'subscribe', channel: 'b', id: 1 }]);
});

test('a channel with a command under way waits for its answer', async () => {
  await serve({ answers: { unsubscribe: () => [] } });
  const connection = await connected();
  await page.run(async () => {
    (await window.listen('a')).unsubscribe();
    await null;
    window.again = window.listen('a').then(() => (window.told = true));
  });
  assert.deepEqual(
    (await sent(connection)).map(({ type }) => type),
    ['subscribe', 'unsubscribe'],
  );
  assert.equal(await page.run(() => window.told === true), false, 'it does not stand any more');
  connection.send({ type: 'unsubscribed', id: 2, channel: 'a' });
  await page.run(() => window.again);
  assert.deepEqual(await sent(connection), [{ type: 'subscribe', channel: 'a', id: 3 }]);
});

test('who leaves before the answer is unsubscribed after it', async () => {
  await serve({ answers: { subscribe: () => [] } });
  const connection = await connected();
  await page.run(() => void (window.sub = window.rt.subscribe('a', () => {})));
  assert.deepEqual(await connection.next(), { type: 'subscribe', channel: 'a', id: 1 });
  await page.run(() => window.sub.unsubscribe());
  assert.deepEqual(await sent(connection), []);
  connection.send({ type: 'subscribed', id: 1, channel: 'a' });
  assert.deepEqual(await connection.next(), { type: 'unsubscribe', channel: 'a', id: 2 });
});

test('an unsubscribed callback is not called, and a new one only for what comes next', async () => {
  const connection = await connected();
  await page.run(async () => {
    window.calls = [];
    window.rt.subscribe('a', (data) => {
      window.calls.push(`first ${data}`);
      window.second.unsubscribe();
      if (data === 1) window.rt.subscribe('a', (later) => window.calls.push(`third ${later}`));
    });
    window.second = window.rt.subscribe('a', (data) => window.calls.push(`second ${data}`));
    await new Promise((resolve) => window.rt.subscribe('b', () => {}).on('subscribed', resolve));
  });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 1 });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 2 });
  await page.until(() => window.calls.includes('third 2'));
  assert.deepEqual(await page.run(() => window.calls), ['first 1', 'first 2', 'third 2']);
});

test('a subscription says that it stands, and says it again after every reconnect', async () => {
  const connection = await connected({ backoff: { min: 10, max: 50 } });
  await page.run(() => {
    window.stood = [];
    for (const name of ['one', 'two']) {
      window.rt.subscribe('a', () => {}).on('subscribed', () => window.stood.push(name));
    }
  });
  await page.until(() => window.stood.length >= 2);
  connection.destroy();
  await page.until(() => window.stood.length >= 4);
  assert.deepEqual(await page.run(() => window.stood), ['one', 'two', 'one', 'two']);
});

test('names that objects have by themselves are channels like any other', async () => {
  const connection = await connected();
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  await page.run(async (channels) => {
    window.calls = [];
    await Promise.all(
      channels.map((channel) => {
        const sub = window.rt.subscribe(channel, (data, publication) => window.calls.push([publication.channel, data]));
        return new Promise((resolve) => sub.on('subscribed', resolve));
      }),
    );
  }, names);
  for (const channel of names) {
    connection.sendText(`{"type":"broadcast_update","channel":"${channel}","data":{"__proto__":{"polluted":1}}}`);
  }
  await page.until((count) => window.calls.length === count, names.length);
  assert.deepEqual(await page.run(() => window.calls.map(([channel]) => channel)), names);
  assert.equal(await page.run(() => ({}).polluted === undefined), true);
  connection.sendText('{"type":"__proto__"}');
  connection.sendText('{"type":"broadcast_update","channel":"valueOf","data":1}');
  connection.send({ type: 'message', data: 'the end' });
  await page.until(() => window.messages.length === 1);
  assert.deepEqual(await page.run(() => [window.errors, window.uncaught]), [[], []]);
});

test('a callback that throws is reported and keeps nobody else from being called', async () => {
  const connection = await connected();
  await page.run(async () => {
    window.rt.on('message', () => {
      throw new Error('from a message');
    });
    window.rt.subscribe('a', () => {
      throw new Error('from a channel');
    });
    await window.listen('a');
  });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 1 });
  connection.send({ type: 'message', data: 2 });
  await page.until(() => window.uncaught.length === 2);
  assert.deepEqual(await page.run(() => [window.got.a, window.rt.state]), [[1], 'connected']);
  assert.deepEqual(await page.run(() => window.uncaught), [
    'Uncaught Error: from a channel',
    'Uncaught Error: from a message',
  ]);
});

const forbid = ({ id, channel }) => [{ type: 'error', id, code: 'forbidden', message: 'a rule forbids it', channel }];

test('a refusal goes to the subscription, else to the connection, else to the page', async () => {
  await serve({ answers: { subscribe: forbid } });
  const connection = await connected();
  const told = await page.run(async () => {
    const sub = window.rt.subscribe('secret', () => {});
    const error = await new Promise((resolve) => sub.on('error', resolve));
    return { name: error.name, code: error.code, channel: error.channel, message: error.message };
  });
  assert.deepEqual(told, {
    name: 'RealtimeError',
    code: 'forbidden',
    channel: 'secret',
    message: 'a rule forbids it (channel "secret")',
  });
  assert.deepEqual(await page.run(() => window.errors), []);
  await page.run(() => void window.rt.subscribe('other', () => {}));
  await page.until(() => window.errors.includes('forbidden'));

  await page.run(async (url) => {
    const { Realtime } = await import('/realtime.js');
    new Realtime(url).subscribe('third', () => {});
  }, server.url);
  await page.until(() => window.uncaught.length === 1);
  assert.match((await page.run(() => window.uncaught))[0], /RealtimeError: a rule forbids it \(channel "third"\)/);
  assert.equal(connection.received.length, 2, 'nothing is tried again by itself');
});

test('a refused channel is tried again by the next one who wants it', async () => {
  let refusals = 0;
  const once = (command) => (refusals++ ? [{ ...command, type: 'subscribed' }] : forbid(command));
  await serve({ answers: { subscribe: once } });
  await connected();
  await page.run(async () => {
    window.order = [];
    const first = window.rt.subscribe('a', () => {});
    first.on('subscribed', () => window.order.push('first'));
    await new Promise((resolve) => first.on('error', resolve));
    await window.listen('a');
  });
  assert.deepEqual(await page.run(() => window.order), ['first'], 'and then stands for all');
});

test('a command that came too fast is sent again, and nobody is troubled', async () => {
  let refusals = 0;
  const slow = ({ id, channel }) =>
    refusals++
      ? [{ type: 'subscribed', id, channel }]
      : [{ type: 'error', id, code: 'rate_limited', message: 'too fast', channel }];
  await serve({ answers: { subscribe: slow } });
  await connected();
  await page.run(() => window.listen('a').then(() => {}));
  assert.deepEqual(await page.run(() => window.errors), []);
});

test('what comes too late for a channel that was left does not harm the one that came instead', async () => {
  let refusals = 0;
  const slow = ({ id, channel }) =>
    refusals++
      ? [{ type: 'subscribed', id, channel }]
      : [
          { type: 'error', id, code: 'rate_limited', message: 'too fast', channel },
          { type: 'message', data: 'refused' },
        ];
  await serve({ answers: { subscribe: slow } });
  const connection = await connected();
  await page.run(() => void (window.first = window.rt.subscribe('a', () => {})));
  await page.until(() => window.messages.length);
  await page.run(async () => {
    window.first.unsubscribe();
    await null;
    await window.listen('a');
    // The client tries again after a second, and timers of a page run in their order.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  });
  connection.send({ type: 'broadcast_update', channel: 'a', data: 1 });
  await page.until(() => window.got.a.length);
  assert.equal(connection.received.length, 2);
});

test('more commands than a server takes at once are sent one by one', async () => {
  const connection = await connected();
  await page.run(async () => {
    const subs = await Promise.all(Array.from({ length: 300 }, (_, i) => window.listen(`c.${i}`)));
    for (const sub of subs) sub.unsubscribe();
    await null;
    window.dispatchEvent(new Event('online'));
  });
  const commands = await upToPing(connection);
  const leaving = commands.filter(({ type }) => type === 'unsubscribe').length;
  assert.ok(leaving > 100 && commands.length < 200, `${commands.length} commands at once`);
  while (left(connection) < 300) await connection.next();
});

test('a register that is refused as a whole fails each of its channels', async () => {
  const refuse = ({ id }) => [{ type: 'error', id, code: 'limit_exceeded', message: 'too many channels' }];
  await serve({ answers: { register: refuse } });
  await connected();
  const codes = await page.run(async () => {
    const failed = (channel) => window.listen(channel).catch((error) => error.code);
    return Promise.all([failed('a'), failed('b')]);
  });
  assert.deepEqual(codes, ['limit_exceeded', 'limit_exceeded']);
});

test('wrong arguments are exceptions where they are made', async () => {
  await connected();
  const thrown = await page.run(() => {
    const name = (fn) => {
      try {
        fn();
        return 'nothing';
      } catch (error) {
        return error.name;
      }
    };
    const { rt } = window;
    const callback = () => {};
    const bad = ['', 'a\n', 'a\u0085', 'a\ud800', 'é'.repeat(101), 42, null, undefined, {}];
    return {
      channels: bad.map((channel) => name(() => rt.subscribe(channel, callback))),
      callbacks: [undefined, 'fn'].map((wrong) => name(() => rt.subscribe('a', wrong))),
      events: [
        name(() => rt.on('mesage', callback)),
        name(() => rt.on('state')),
        name(() => rt.on('__proto__', callback)),
      ],
      urls: ['http://', 'ftp://host', ''].map((url) => name(() => new rt.constructor(url))).slice(0, 2),
      times: [{ backoff: { min: 0 } }, { backoff: { min: 5, max: 4 } }, { timeout: NaN }].map((options) =>
        name(() => new rt.constructor('ws://127.0.0.1:1', options)),
      ),
      longest: name(() => rt.subscribe('é'.repeat(100), callback)),
    };
  });
  assert.deepEqual(new Set(thrown.channels), new Set(['TypeError']));
  assert.deepEqual(new Set([...thrown.callbacks, ...thrown.events]), new Set(['TypeError']));
  assert.deepEqual(thrown.urls, ['TypeError', 'SyntaxError']);
  assert.deepEqual(new Set(thrown.times), new Set(['RangeError']));
  assert.equal(thrown.longest, 'nothing');
});

test('a listener added twice is called twice, and removed one by one', async () => {
  const connection = await connected();
  await page.run(() => {
    window.calls = 0;
    const count = () => (window.calls += 1);
    window.rt.on('message', count);
    window.rt.on('message', count)();
  });
  connection.send({ type: 'message', data: 1 });
  await page.until(() => window.messages.length === 1);
  assert.equal(await page.run(() => window.calls), 1);
});

/** Ten thousand subscriptions in the page, some within a turn and some over the wire, kept only weakly. */
async function comeAndGo(round) {
  const { rt } = window;
  window.kept = [];
  const visit = (channel) => {
    const callback = () => channel;
    const subscription = rt.subscribe(channel, callback);
    window.kept.push(new WeakRef(callback), new WeakRef(subscription));
    return subscription;
  };
  for (let i = 0; i < 9_600; i++) visit(`${round}.quick.${i}`).unsubscribe();
  // Several turns, so that commands go out, answers come in and the client's own pacing is reached.
  for (let turn = 0; turn < 10; turn++) {
    const subs = Array.from({ length: 40 }, (_, i) => visit(`${round}.slow.${turn}.${i}`));
    await Promise.all(subs.map((sub) => new Promise((resolve) => sub.on('subscribed', resolve))));
    for (const sub of subs) sub.unsubscribe();
  }
}

test('ten thousand subscriptions that come and go leave nothing, here or there', async () => {
  const connection = await connected();
  const used = [];
  for (const round of [1, 2]) {
    await page.run(comeAndGo, round);
    while (left(connection) < joined(connection)) await connection.next();
    await page.run(() => window.listen('all was answered').then((sub) => sub.unsubscribe()));
    await page.cdp('HeapProfiler.collectGarbage');
    const alive = await page.run(() => window.kept.splice(0).filter((reference) => reference.deref()).length);
    assert.equal(alive, 0, `${alive} of 20,000 callbacks and subscriptions are still held`);
    await page.cdp('HeapProfiler.collectGarbage');
    used.push((await page.cdp('Runtime.getHeapUsage')).usedSize);
  }
  // The first round also paid for compiled code and the like. Channels that stayed in a map were 1.5 MB.
  assert.ok(used[1] - used[0] < 200_000, `the second round left ${used[1] - used[0]} bytes`);

  const wire = new Set();
  for (const command of connection.received) {
    for (const channel of command.channels ?? [command.channel]) {
      if (command.type === 'unsubscribe') assert.ok(wire.delete(channel), `${channel} was left without being joined`);
      else assert.ok(!wire.has(channel) && wire.add(channel), `${channel} was joined twice`);
    }
  }
});

const joined = ({ received }) =>
  received.flatMap(({ type, channel, channels }) => {
    if (type === 'unsubscribe') return [];
    return channels ?? [channel];
  }).length;

const left = ({ received }) => received.filter(({ type }) => type === 'unsubscribe').length;
