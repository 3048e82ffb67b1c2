/** Order and recovery of one stream, rule by rule, without a browser and without a server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cursor, Stream } from '../src/stream.js';

const at = (offset, epoch = 'e') => ({ epoch, offset });

/** Readers that wait for the reply, and the stream that has asked for them. */
function asked(...sinces) {
  const stream = new Stream();
  const readers = sinces.map((since) => ({ cursor: new Cursor(since) }));
  const cursors = readers.map(({ cursor }) => cursor);
  const since = stream.ask(cursors, false);
  return { stream, readers, cursors, since };
}

/** One reader that stands at `offset`. */
function standing(offset) {
  const { stream, readers, cursors } = asked(null);
  stream.settle(cursors, { epoch: 'e', offset, top: offset });
  return { stream, readers, cursors, cursor: cursors[0] };
}

/** Who is called for `frame`, or `broken`. */
function taken({ stream, readers }, frame) {
  const { readers: called, broken, losses } = stream.take(readers, frame);
  if (broken) return 'broken';
  return [...losses.map(({ loss }) => loss), ...called.map((reader) => readers.indexOf(reader))];
}

test('what comes next is handed on, what was there is dropped', () => {
  const one = standing(7);
  assert.deepEqual(taken(one, { offset: 7 }), []);
  assert.deepEqual(taken(one, { offset: 8 }), [0]);
  assert.deepEqual(taken(one, { offset: 8 }), []);
  assert.deepEqual(taken(one, { offset: 3 }), []);
  assert.deepEqual(one.cursor.position, at(8));
  assert.deepEqual(taken(one, { offset: 9 }), [0], 'and the wire stands where it stood');
});

test('prev joins offsets that do not follow each other', () => {
  const one = standing(7);
  assert.deepEqual(taken(one, { offset: 20, prev: 7 }), [0]);
  assert.deepEqual(taken(one, { offset: 30, prev: 12 }), [0], 'nothing lies between');
});

test('a gap that nobody announced breaks the stream until the reply, from where the reader stands', () => {
  const one = standing(7);
  assert.equal(taken(one, { offset: 9 }), 'broken');
  assert.deepEqual(taken(one, { offset: 8 }), [], 'it will come again');
  one.stream.skip(one.readers, 50);
  assert.deepEqual(one.stream.miss(one.readers, { offset: 60, recoverable: false }).losses, []);
  assert.deepEqual(one.stream.ask(one.cursors, false), at(7));
  assert.deepEqual(one.stream.settle(one.cursors, { epoch: 'e', offset: 7, top: 60, recovered: true }), [
    { recovered: true },
  ]);
  assert.deepEqual(taken(one, { offset: 8 }), [0]);
});

test('a gap that comes again without any progress is a loss; with progress, or on a new connection, it is tried', () => {
  const one = standing(7);
  const renew = () => {
    const { offset } = one.stream.ask(one.cursors, false);
    one.stream.settle(one.cursors, { epoch: 'e', offset, top: 20, recovered: true });
  };
  assert.equal(taken(one, { offset: 10 }), 'broken');
  renew();
  assert.deepEqual(taken(one, { offset: 10 }), [{ reason: 'gap', from: 8, to: 9 }, 0]);
  assert.equal(taken(one, { offset: 12 }), 'broken');
  one.stream.reset();
  renew();
  assert.equal(taken(one, { offset: 12 }), 'broken');
});

for (const since of [at(3), at(95, 'old'), 'earliest']) {
  test(`in the mode latest only the newest follows ${JSON.stringify(since)}, and a jump is as it should be`, () => {
    const { stream, readers, cursors } = asked(since);
    stream.ask(cursors, true);
    const outcomes = stream.settle(cursors, { epoch: 'e', offset: 89, top: 90, recovered: true, mode: 'latest' });
    assert.deepEqual(outcomes, [{ recovered: true }]);
    assert.deepEqual(taken({ stream, readers }, { offset: 90 }), [0]);
    assert.deepEqual(taken({ stream, readers }, { offset: 95 }), [0]);
  });
}

test('in the mode latest too, what cannot be had is a loss', () => {
  const { stream, cursors } = asked(at(3));
  stream.ask(cursors, true);
  const [outcome] = stream.settle(cursors, { epoch: 'e', offset: 90, top: 90, recovered: false, reason: 'trimmed' });
  assert.deepEqual(outcome.loss, { reason: 'trimmed', from: 4, to: 90 });
});

test('position moves on without a call, and the next one joins', () => {
  const one = standing(7);
  one.stream.skip(one.readers, 8);
  one.stream.skip(one.readers, 5);
  assert.deepEqual(one.cursor.position, at(8));
  assert.deepEqual(taken(one, { offset: 9 }), [0]);
});

for (const [reason, reply, since] of [
  ['epoch', { epoch: 'f', offset: 2, top: 2 }, at(5)],
  ['trimmed', { epoch: 'e', offset: 90, top: 90 }, at(5)],
  ['ahead', { epoch: 'e', offset: 4, top: 4 }, at(5)],
]) {
  test(`not recovered (${reason}) is a loss, and the stream goes on from the top`, () => {
    const { stream, cursors, readers } = asked(since);
    const [outcome] = stream.settle(cursors, { ...reply, recovered: false, reason });
    assert.equal(outcome.recovered, false);
    assert.equal(outcome.loss.reason, reason);
    if (reason === 'trimmed') assert.deepEqual([outcome.loss.from, outcome.loss.to], [6, 90]);
    assert.deepEqual(cursors[0].position, at(reply.offset, reply.epoch));
    assert.deepEqual(taken({ stream, readers }, { offset: reply.offset + 1 }), [0]);
  });
}

test('a server without history has lost what a position asks for, and nothing of who came without', () => {
  const { stream, cursors, readers } = asked(at(5), null);
  const outcomes = stream.settle(cursors, {});
  assert.deepEqual(outcomes, [{ recovered: false, reason: 'no_history', loss: { reason: 'no_history' } }, {}]);
  assert.deepEqual(taken({ stream, readers }, {}), [0, 1]);
  assert.deepEqual(
    stream.miss(readers, { count: 3 }).losses.map(({ loss }) => loss.count),
    [3, 3],
  );
});

test('missed and recoverable is repaired; without progress, or for good, it is a loss', () => {
  const one = standing(7);
  const frame = { epoch: 'e', from: 8, to: 11, offset: 11, reason: 'slow', recoverable: true };
  assert.equal(one.stream.miss(one.readers, frame).broken, true);
  one.stream.ask(one.cursors, false);
  one.stream.settle(one.cursors, { epoch: 'e', offset: 7, top: 20, recovered: true });
  const { losses, broken } = one.stream.miss(one.readers, frame);
  assert.equal(broken, false);
  assert.deepEqual(losses[0].loss, { reason: 'slow', from: 8, to: 11 });
  assert.deepEqual(one.stream.miss(one.readers, frame).losses, [], 'told once');
  assert.deepEqual(taken(one, { offset: 12 }), [0]);
  const gone = { epoch: 'e', from: 13, to: 19, offset: 19, reason: 'trimmed', recoverable: false };
  assert.equal(one.stream.miss(one.readers, gone).losses.length, 1);
  assert.deepEqual(one.cursor.position, at(19));
});

test('missed with another epoch leads into it', () => {
  const one = standing(7);
  const { losses } = one.stream.miss(one.readers, { epoch: 'f', from: 1, to: 2, offset: 2, recoverable: false });
  assert.deepEqual(losses[0].loss.from, 1);
  assert.deepEqual(one.cursor.position, at(2, 'f'));
  assert.deepEqual(taken(one, { offset: 3 }), [0]);
});

test('who shares a stream and is further behind takes the wire back, and the others get nothing twice', () => {
  const one = standing(7);
  const second = { cursor: new Cursor(at(4)) };
  assert.equal(one.stream.join(second.cursor), null);
  const both = { stream: one.stream, readers: [...one.readers, second] };
  assert.deepEqual(taken(both, { offset: 8 }), [0], 'not for who waits for what lies before');
  const cursors = both.readers.map(({ cursor }) => cursor);
  assert.deepEqual(one.stream.ask(cursors, false), at(4));
  assert.deepEqual(taken(both, { offset: 9 }), [0]);
  const outcomes = one.stream.settle(cursors, { epoch: 'e', offset: 4, top: 9, recovered: true });
  assert.deepEqual(outcomes, [{ recovered: true }, { recovered: true }]);
  for (const offset of [5, 6, 7, 8, 9]) assert.deepEqual(taken(both, { offset }), [1]);
  assert.deepEqual(taken(both, { offset: 10 }), [0, 1]);
});

test('what cannot be given to the one behind is a loss for that one only', () => {
  const one = standing(7);
  const second = { cursor: new Cursor(at(4)) };
  one.stream.join(second.cursor);
  const cursors = [one.cursor, second.cursor];
  one.stream.ask(cursors, false);
  const outcomes = one.stream.settle(cursors, { epoch: 'e', offset: 7, top: 7, recovered: false, reason: 'trimmed' });
  assert.equal(outcomes[0].recovered, true);
  assert.deepEqual(outcomes[1].loss, { reason: 'trimmed', from: 5, to: 7 });
});

test('who wants what comes next begins at the top, in the midst of a replay too', () => {
  const { stream, readers, cursors } = asked(at(2), null);
  stream.settle(cursors, { epoch: 'e', offset: 2, top: 4, recovered: true });
  assert.deepEqual(taken({ stream, readers }, { offset: 3 }), [0]);
  const late = { cursor: new Cursor(null) };
  assert.deepEqual(stream.join(late.cursor), {});
  const all = { stream, readers: [...readers, late] };
  assert.deepEqual(taken(all, { offset: 4 }), [0]);
  assert.deepEqual(taken(all, { offset: 5 }), [0, 1, 2]);
});

test('who comes while the wire is renewed, from further back, asks again', () => {
  const one = standing(7);
  one.stream.ask(one.cursors, false);
  const late = new Cursor(at(5));
  assert.equal(one.stream.join(late), null);
  const cursors = [...one.cursors, late];
  const outcomes = one.stream.settle(cursors, { epoch: 'e', offset: 7, top: 7, recovered: true });
  assert.deepEqual(outcomes, [{ recovered: true }, null]);
  assert.deepEqual(one.stream.ask(cursors, false), at(5));
});

test('who comes with a position that the stream has not reached waits for it', () => {
  const one = standing(7);
  const ahead = { cursor: new Cursor(at(9)) };
  assert.deepEqual(one.stream.join(ahead.cursor), { recovered: true });
  const both = { stream: one.stream, readers: [...one.readers, ahead] };
  assert.deepEqual(
    [8, 9, 10].map((offset) => taken(both, { offset })),
    [[0], [0], [0, 1]],
  );
});

test('who comes with the position of another epoch has missed something', () => {
  const one = standing(7);
  const { recovered, loss } = one.stream.join(new Cursor(at(3, 'old')));
  assert.deepEqual([recovered, loss.reason], [false, 'epoch']);
});

test('positions of two epochs are asked for one after the other', () => {
  const { stream, cursors, readers, since } = asked(at(3, 'new'), at(8, 'old'));
  assert.deepEqual(since, at(8, 'old'));
  const first = stream.settle(cursors, { epoch: 'new', offset: 6, top: 6, recovered: false, reason: 'epoch' });
  assert.equal(first[0], null);
  assert.equal(first[1].loss.reason, 'epoch');
  assert.deepEqual(taken({ stream, readers }, { offset: 7 }), [], 'it comes again');
  assert.deepEqual(stream.ask(cursors, false), at(3, 'new'));
  const second = stream.settle(cursors, { epoch: 'new', offset: 3, top: 7, recovered: true });
  assert.deepEqual(second, [{ recovered: true }, { recovered: true }]);
  const called = [4, 5, 6, 7].map((offset) => taken({ stream, readers }, { offset }));
  assert.deepEqual(called, [[0], [0], [0], [0, 1]]);
});

test('of two epochs the one that the server had last is asked for first', () => {
  const one = standing(7);
  assert.deepEqual(one.stream.since([...one.cursors, new Cursor(at(3, 'old'))]), at(7));
});

test('earliest comes before every position, and is one afterwards', () => {
  const { stream, cursors, since } = asked(at(3), 'earliest');
  assert.equal(since, 'earliest');
  assert.equal(cursors[1].position, null);
  stream.settle(cursors, { epoch: 'e', offset: 0, top: 5, recovered: true });
  assert.deepEqual(cursors[1].position, at(0));
  assert.deepEqual(stream.since(cursors), at(0));
});

test('what earliest cannot bring is announced on the way, to those whom it concerns', () => {
  const one = standing(7);
  const first = { cursor: new Cursor('earliest') };
  assert.equal(one.stream.join(first.cursor), null);
  const both = { stream: one.stream, readers: [...one.readers, first] };
  const cursors = both.readers.map(({ cursor }) => cursor);
  one.stream.ask(cursors, false);
  one.stream.settle(cursors, { epoch: 'e', offset: 0, top: 7, recovered: true });
  const gone = { epoch: 'e', from: 1, to: 5, offset: 5, reason: 'trimmed', recoverable: false };
  const { losses } = one.stream.miss(both.readers, gone);
  assert.deepEqual(losses, [{ reader: first, loss: { reason: 'trimmed', from: 1, to: 5 } }]);
  assert.deepEqual(taken(both, { offset: 6 }), [1]);
});

test('a second attempt of a publisher is known by its id after the epoch has changed', () => {
  const one = standing(0);
  assert.deepEqual(taken(one, { offset: 1, id: 'a' }), [0]);
  assert.deepEqual(taken(one, { offset: 2, id: 'a' }), [0], 'in one epoch the server knows better');
  one.stream.ask(one.cursors, false);
  one.stream.settle(one.cursors, { epoch: 'f', offset: 0, top: 0, recovered: false, reason: 'epoch' });
  assert.deepEqual(taken(one, { offset: 1, id: 'a' }), []);
  assert.deepEqual(one.cursor.position, at(1, 'f'));
  assert.deepEqual(taken(one, { offset: 2, id: 'a' }), [0]);
  assert.deepEqual(taken(one, { offset: 3, id: '__proto__' }), [0]);
});

test('only so many ids are remembered', () => {
  const one = standing(0);
  for (let offset = 1; offset <= 1_000; offset++) taken(one, { offset, id: `k${offset}` });
  one.stream.ask(one.cursors, false);
  one.stream.settle(one.cursors, { epoch: 'f', offset: 0, top: 0, recovered: false, reason: 'epoch' });
  assert.deepEqual(taken(one, { offset: 1, id: 'k1' }), [0], 'forgotten');
  assert.deepEqual(taken(one, { offset: 2, id: 'k1000' }), []);
});
