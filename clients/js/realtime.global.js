(() => {
'use strict';
// Generated from clients/js/src/ by build.mjs. Do not edit.

/** Listeners, and callbacks of the page, which may do anything and throw anything. */

/**
 * Listeners by event.
 *
 * @template {Record<string, any[]>} Listened
 */
class Events {
  /** @type {Map<keyof Listened, Set<{callback: (...args: any[]) => void}>>} */
  #listeners;

  /** @param {(keyof Listened)[]} names */
  constructor(...names) {
    this.#listeners = new Map(names.map((name) => [name, new Set()]));
  }

  /**
   * @template {keyof Listened} Name
   * @param {Name} name
   * @param {(...args: Listened[Name]) => void} callback
   * @returns {() => void}
   */
  on(name, callback) {
    const listeners = this.#listeners.get(name);
    if (!listeners) throw new TypeError(`no event ${String(name)}, but ${[...this.#listeners.keys()].join(', ')}`);
    checkCallback(callback);
    const listener = { callback }; // One function may be given twice; each has its own end.
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /**
   * @template {keyof Listened} Name
   * @param {Name} name
   * @param {Listened[Name]} args
   * @returns {boolean} Whether anybody listened.
   */
  emit(name, ...args) {
    const listeners = [...(this.#listeners.get(name) ?? [])];
    for (const { callback } of listeners) call(callback, ...args);
    return listeners.length > 0;
  }
}

/**
 * A callback that throws must not keep others from being called.
 *
 * @template {any[]} Args
 * @param {(...args: Args) => void} callback
 * @param {Args} args
 */
function call(callback, ...args) {
  try {
    callback(...args);
  } catch (error) {
    report(error);
  }
}

/**
 * As an uncaught exception: in the console and to `window.onerror`.
 *
 * @param {unknown} error
 */
function report(error) {
  queueMicrotask(() => {
    throw error;
  });
}

/** @param {unknown} callback */
function checkCallback(callback) {
  if (typeof callback !== 'function') throw new TypeError(`the callback is no function but ${String(callback)}`);
}

/**
 * Who is in a channel.
 *
 * @import {Member} from './realtime.d.ts'
 */

class Members {
  /** By user, kept up to date in place; null as long as the server has given no list. @type {Map<string, {info: any}> | null} */
  list = null;
  /** Whether the list names everybody, or only the first page. */
  complete = false;
  /** Lists that are being fetched, and take part in what happens meanwhile. @type {Set<Gathering>} */
  #gatherings = new Set();

  /**
   * The list that came with a subscription; none, if the channel has no presence.
   *
   * @param {Member[] | undefined} members
   * @param {string | null} [next]
   */
  reset(members, next) {
    for (const gathering of this.#gatherings) gathering.stale = true;
    this.complete = false;
    if (members) this.#fill(members, (next ?? undefined) === undefined);
    else this.list = null;
  }

  /**
   * @param {Member} member
   * @returns {boolean} Whether that is news.
   */
  join(member) {
    const { user, info } = member;
    const known = this.list?.has(user) ?? false;
    this.list?.set(user, { info });
    for (const { found } of this.#gatherings) found.set(user, { connections: 1, ...member });
    return !known;
  }

  /**
   * @param {Member} member
   * @returns {boolean} Whether that is news.
   */
  leave({ user }) {
    const known = this.list?.delete(user) ?? false;
    for (const { found } of this.#gatherings) found.delete(user);
    return known || !this.complete;
  }

  /**
   * Fetches everybody, page by page.
   *
   * @param {(after: string | undefined) => Promise<{members: Member[], next?: string | null}>} page
   * @returns {Promise<Member[]>}
   */
  async gather(page) {
    /** @type {Gathering} */
    const gathering = { found: new Map(), stale: false };
    this.#gatherings.add(gathering);
    try {
      /** @type {string | undefined} */
      let after;
      for (let more = true; more;) {
        const { members, next } = await page(after);
        // A new connection has not heard who came and went during the pages before.
        const restart = gathering.stale && after !== undefined;
        gathering.stale = false;
        if (restart) gathering.found.clear();
        else for (const member of members) gathering.found.set(member.user, member);
        after = restart ? undefined : (next ?? undefined);
        more = restart || after !== undefined;
      }
    } finally {
      this.#gatherings.delete(gathering);
    }
    const everybody = [...gathering.found.values()];
    if (this.list) this.#fill(everybody, true);
    return everybody;
  }

  /**
   * @param {Member[]} members
   * @param {boolean} complete
   */
  #fill(members, complete) {
    this.list ??= new Map();
    this.list.clear();
    for (const { user, info } of members) this.list.set(user, { info });
    this.complete = complete;
  }
}

/** @typedef {{found: Map<string, Member>, stale: boolean}} Gathering */

/**
 * Order and recovery of one stream (a channel, or what is sent to one user), without any I/O: what the wire brings goes
 * in, and out comes who is called and what is gone.
 *
 * One stream on the wire may serve several readers. Each has a `Cursor` of its own, so the wire can go back for the one
 * that is behind, and no other one is given anything twice.
 *
 * @import {Position, Since} from './realtime.d.ts'
 */

/** How many publications' ids a reader remembers, to know them again in another epoch. */
const IDS = 200;

/**
 * What is gone for good.
 *
 * @typedef {{reason?: string, from?: number, to?: number, count?: number}} Loss
 */

/**
 * How a subscription came to stand, for one reader. `recovered` is there if the reader came with a position.
 *
 * @typedef {{recovered?: boolean, reason?: string, loss?: Loss}} Outcome
 */

/**
 * What to do with something from the wire: call `readers`, after telling each loss to its reader; or, if it is `broken`,
 * subscribe again.
 *
 * @template {Reader} Kind
 * @typedef {{readers: Kind[], losses: {reader: Kind, loss: Loss}[], broken: boolean}} Verdict
 */

/** @typedef {{cursor: Cursor}} Reader */

/** What one reader has had. */
class Cursor {
  /** Up to where; null while that is open: from now on, or a stream without history. @type {Since | null} */
  at;
  /** Whether the wire is not where this reader needs it yet; until then nothing is for it. */
  waiting = true;
  /** The epochs in which ids came, oldest first. @type {Map<string, string>} */
  #ids = new Map();

  /** @param {Since | null} since */
  constructor(since) {
    this.at = since;
  }

  /** @type {Position | null} */
  get position() {
    return this.at === 'earliest' ? null : this.at;
  }

  /** @param {Position} position */
  isBehind({ epoch, offset }) {
    const { position } = this;
    return !this.waiting && (position?.epoch !== epoch || position.offset < offset);
  }

  /**
   * The publication at `position` is there. Returns whether it is new to the reader.
   *
   * A key that comes back in the same epoch is one that the server has forgotten and taken anew. In another epoch it is
   * a publisher's second attempt, after a crash which the first one outlived in this page only.
   *
   * @param {Position} position
   * @param {string} [id]
   */
  advance(position, id) {
    if (!this.isBehind(position)) return false;
    this.at = position;
    if (id === undefined) return true;
    const before = this.#ids.get(id) ?? position.epoch;
    this.#ids.delete(id);
    this.#ids.set(id, position.epoch);
    const [oldest] = this.#ids.keys();
    if (this.#ids.size > IDS) this.#ids.delete(oldest);
    return before === position.epoch;
  }
}

class Stream {
  /** Where the wire stands; null without history. @type {Position | null} */
  position = null;
  /** Whether only the newest publication is asked for: then a jump is no loss. */
  latest = false;
  /** Whether what comes is of no use until the next reply. */
  #broken = false;
  /** The newest offset that is known of. */
  #top = 0;
  /** @type {Since | null} */
  #asked = null;
  /** From where a repair was tried last. */
  #repairedAt = -1;

  /** A new connection: every repair may be tried once more. */
  reset() {
    this.#repairedAt = -1;
  }

  /**
   * From where the wire has to begin for `cursors`: the one that is furthest behind. When their epochs differ only one
   * can be asked for; it is the one known last, or else that of the latest reader, and `settle` sees to the others.
   *
   * @param {Cursor[]} cursors
   * @returns {Since | null}
   */
  since(cursors) {
    if (cursors.some(({ at }) => at === 'earliest')) return 'earliest';
    const positions = cursors.flatMap(({ position }) => position ?? []);
    const of = (/** @type {string | undefined} */ epoch) => positions.filter((position) => position.epoch === epoch);
    const known = of(this.position?.epoch);
    const candidates = known.length ? known : of(positions[positions.length - 1]?.epoch);
    return candidates.length ? candidates.reduce((a, b) => (b.offset < a.offset ? b : a)) : null;
  }

  /**
   * Like `since`, for a command that is sent now.
   *
   * @param {Cursor[]} cursors
   * @param {boolean} latest
   */
  ask(cursors, latest) {
    this.latest = latest;
    this.#asked = this.since(cursors);
    return this.#asked;
  }

  /**
   * A reader comes to a stream that stands. Returns its outcome, or null if the wire has to go back for it.
   *
   * @param {Cursor} cursor
   * @returns {Outcome | null}
   */
  join(cursor) {
    const { position } = this;
    if (!position) return withoutHistory(cursor);
    const { at } = cursor;
    if (at === 'earliest' || (at?.epoch === position.epoch && at.offset < position.offset)) return null;
    cursor.waiting = false;
    if (at?.epoch === position.epoch) return { recovered: true };
    cursor.at = { epoch: position.epoch, offset: this.#top };
    return at ? { recovered: false, reason: 'epoch', loss: { reason: 'epoch' } } : {};
  }

  /**
   * The reply to what was asked. Returns the outcomes in the order of `cursors`, null for one that has to ask again.
   *
   * @param {Cursor[]} cursors
   * @param {{epoch?: string, offset?: number, top?: number, recovered?: boolean, reason?: string}} reply
   * @returns {(Outcome | null)[]}
   */
  settle(cursors, { epoch, offset = 0, top = offset, recovered = true, reason = 'gap' }) {
    if (epoch === undefined) {
      this.#broken = false;
      this.position = null;
      return cursors.map(withoutHistory);
    }
    this.position = { epoch, offset };
    this.#top = top;
    const outcomes = cursors.map((cursor) => {
      const outcome = this.#settleOne(cursor, this.#position(), recovered, reason);
      cursor.waiting = !outcome;
      return outcome;
    });
    this.#broken = outcomes.includes(null);
    return outcomes;
  }

  /**
   * @param {Cursor} cursor
   * @param {Position} position
   * @param {boolean} recovered
   * @param {string} reason
   * @returns {Outcome | null}
   */
  #settleOne(cursor, position, recovered, reason) {
    const { at } = cursor;
    const { epoch, offset } = position;
    if (at === null) {
      cursor.at = { epoch, offset: this.#top };
      return {};
    }
    const asked = this.#asked;
    const covered =
      asked === 'earliest' || (at !== 'earliest' && asked?.epoch === at.epoch && asked.offset <= at.offset);
    if (at !== 'earliest' && at.epoch === epoch && at.offset >= offset && at.offset <= this.#top) {
      return { recovered: true };
    }
    if (!covered && (at === 'earliest' || (at.epoch === epoch && at.offset < offset))) return null;
    cursor.at = position;
    // The newest publication makes up for all before it, whatever the epoch.
    if (covered && recovered && (this.latest || at === 'earliest')) return { recovered };
    if (at === 'earliest') return { recovered: false, reason, loss: { reason } };
    if (at.epoch !== epoch) return { recovered: false, reason: 'epoch', loss: { reason: 'epoch' } };
    if (at.offset > this.#top) return { recovered: false, reason: 'ahead', loss: { reason: 'ahead' } };
    return { recovered: false, reason, loss: { reason, from: at.offset + 1, to: offset } };
  }

  /**
   * A publication.
   *
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {{offset?: number, prev?: number, id?: string}} frame
   * @returns {Verdict<Kind>}
   */
  take(readers, { offset, prev = (offset ?? 0) - 1, id }) {
    const { position } = this;
    if (offset === undefined || !position) return verdict({ readers: present(readers) });
    if (this.#broken || offset <= position.offset) return verdict({});
    const jump = prev > position.offset && !this.latest;
    if (jump && this.#repair()) return verdict({ broken: true });
    const losses = jump ? this.#lose(readers, { ...position, offset: prev }, { reason: 'gap', to: prev }) : [];
    const here = this.#move(position.epoch, offset);
    return verdict({ readers: readers.filter(({ cursor }) => cursor.advance(here, id)), losses });
  }

  /**
   * Nothing up to `offset` was meant for this connection.
   *
   * @param {Reader[]} readers
   * @param {number} offset
   */
  skip(readers, offset) {
    const { position } = this;
    if (!position || this.#broken || offset <= position.offset) return;
    const here = this.#move(position.epoch, offset);
    for (const { cursor } of readers) cursor.advance(here);
  }

  /**
   * The server has left something out.
   *
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {{epoch?: string, offset?: number, recoverable?: boolean} & Loss} frame
   * @returns {Verdict<Kind>}
   */
  miss(readers, { epoch, offset, recoverable, reason, from, to, count }) {
    const { position } = this;
    const loss = given({ reason, from, to, count });
    if (offset === undefined || !position) {
      return verdict({ losses: present(readers).map((reader) => ({ reader, loss })) });
    }
    const sameEpoch = epoch === undefined || epoch === position.epoch;
    // While it is broken the reply will tell, from where the readers stand.
    if (this.#broken || (sameEpoch && offset <= position.offset)) return verdict({});
    if (recoverable && this.#repair()) return verdict({ broken: true });
    const here = this.#move(epoch ?? position.epoch, offset);
    return verdict({ losses: this.#lose(readers, here, loss) });
  }

  /** Whether asking again from here may help: not if it did not get any further the last time. */
  #repair() {
    const at = this.#position().offset;
    if (at === this.#repairedAt) return false;
    this.#repairedAt = at;
    this.#broken = true;
    return true;
  }

  /**
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {Position} to
   * @param {Loss} loss
   */
  #lose(readers, to, loss) {
    return readers
      .filter(({ cursor }) => cursor.isBehind(to))
      .map((reader) => {
        const { position } = reader.cursor;
        reader.cursor.at = to;
        return { reader, loss: position?.epoch === to.epoch ? { ...loss, from: position.offset + 1 } : loss };
      });
  }

  /**
   * @param {string} epoch
   * @param {number} offset
   */
  #move(epoch, offset) {
    this.#top = epoch === this.position?.epoch ? Math.max(this.#top, offset) : offset;
    return (this.position = { epoch, offset });
  }

  #position() {
    if (!this.position) throw new Error('a stream without history has no position');
    return this.position;
  }
}

/**
 * @param {Cursor} cursor
 * @returns {Outcome}
 */
function withoutHistory(cursor) {
  const wanted = cursor.at !== null;
  cursor.at = null;
  cursor.waiting = false;
  return wanted ? { recovered: false, reason: 'no_history', loss: { reason: 'no_history' } } : {};
}

/**
 * Without what is not known.
 *
 * @param {Loss} loss
 * @returns {Loss}
 */
function given(loss) {
  return Object.fromEntries(Object.entries(loss).filter(([, value]) => value !== undefined));
}

/**
 * @template {Reader} Kind
 * @param {Kind[]} readers
 */
function present(readers) {
  return readers.filter(({ cursor }) => !cursor.waiting);
}

/**
 * @template {Reader} Kind
 * @param {Partial<Verdict<Kind>>} parts
 * @returns {Verdict<Kind>}
 */
function verdict({ readers = [], losses = [], broken = false }) {
  return { readers, losses, broken };
}

/**
 * One channel and those who want it: they share its subscription on the wire.
 *
 * @import {Missed, Position, Publication, Since, Standing, SubscriptionEvents} from './realtime.d.ts'
 * @import {Loss, Outcome, Verdict} from './stream.js'
 * @import {Token} from './token.js'
 */

/** One subscriber of a channel. */
class Entry {
  /** @type {Events<SubscriptionEvents>} */
  events = new Events('subscribed', 'error', 'missed', 'join', 'leave');
  /** Whether it knows how the subscription stands. */
  told = false;
  /** @type {Outcome | null} */
  outcome = null;

  /**
   * @param {(data: any, publication: Publication) => void} callback
   * @param {Since | null} since
   * @param {boolean} latest Whether the newest publication is all that matters.
   */
  constructor(callback, since, latest) {
    this.callback = callback;
    this.cursor = new Cursor(since);
    this.latest = latest;
  }
}

class Channel {
  stream = new Stream();
  members = new Members();
  /** @type {Set<Entry>} */
  entries = new Set();
  /** Whether it is subscribed on the wire. */
  on = false;
  /** Whether it has to be subscribed again, although it is. */
  renew = false;
  /** The id of the command under way, or 0. */
  pending = 0;
  /** Whether the server refused it. */
  failed = false;
  /** The token that opens it, if it takes one of its own. @type {Token | null} */
  token = null;
  /** Whether it waits for that token. */
  waiting = false;
  /** Whether it is renewed for a new token only, which is no news to subscribers. */
  #quiet = false;
  #unheard;

  /**
   * @param {string} name
   * @param {Position | null} resume Where the page stood before it was loaded again.
   * @param {(missed: Missed) => void} unheard Told what is gone when a subscriber does not listen.
   */
  constructor(name, resume, unheard) {
    this.name = name;
    this.resume = resume;
    this.#unheard = unheard;
  }

  /** What all of its subscribers have had. */
  get position() {
    const since = this.stream.since(this.#cursors());
    return since === 'earliest' ? null : since;
  }

  /** Whether the newest publication is all that matters, to every subscriber. */
  get latest() {
    return [...this.entries].every(({ latest }) => latest);
  }

  /** @param {Entry} entry */
  add(entry) {
    this.entries.add(entry);
    this.failed = false;
    if (!this.on) return;
    entry.outcome = this.stream.join(entry.cursor);
    if (!entry.outcome || (this.stream.latest && !entry.latest)) this.renew = true;
  }

  /** Another token is needed, for a subscription that stands. */
  refresh() {
    if (!this.on) return;
    this.#quiet = !this.renew;
    this.renew = true;
  }

  /** The server has ended the subscription. */
  ended() {
    this.on = this.renew = this.failed = false;
    for (const entry of this.entries) entry.told = false;
  }

  /** What a subscription that is sent now has to ask for. */
  ask() {
    this.renew = false;
    return this.stream.ask(this.#cursors(), this.latest);
  }

  /** The connection is gone. */
  lost() {
    this.ended();
    this.#quiet = false;
    this.pending = 0;
    this.stream.reset();
    this.token?.lost();
  }

  /** @param {any} reply */
  subscribed(reply) {
    this.on = true;
    this.failed = false;
    this.resume = null;
    const outcomes = this.stream.settle(this.#cursors(), reply);
    [...this.entries].forEach((entry, i) => {
      const outcome = (entry.outcome = outcomes[i]);
      entry.told &&= this.#quiet && !!outcome && !outcome.loss;
    });
    this.#quiet = false;
    this.token?.accepted();
    this.members.reset(reply.members, reply.next);
    this.renew = outcomes.includes(null) || (this.stream.latest && !this.latest);
    this.tell();
  }

  /** Tells those who do not know yet how the subscription stands. */
  tell() {
    for (const entry of [...this.entries]) {
      const { outcome, told } = entry;
      if (told || !outcome || !this.on || !this.entries.has(entry)) continue;
      entry.told = true;
      entry.events.emit('subscribed', this.#standing(outcome));
      if (outcome.loss) this.#missed(entry, outcome.loss);
    }
  }

  /** @param {any} publication */
  publication(publication) {
    this.#act(this.stream.take([...this.entries], publication), publication);
  }

  /** @param {any} missed */
  missed(missed) {
    this.#act(this.stream.miss([...this.entries], missed), missed);
  }

  /** @param {{offset: number}} position */
  skip({ offset }) {
    this.stream.skip([...this.entries], offset);
  }

  /** @param {{type: string, member: import('./realtime.d.ts').Member}} presence */
  presence({ type, member }) {
    const event = type === 'join' ? 'join' : 'leave';
    if (!this.members[event](member)) return;
    for (const entry of [...this.entries]) if (entry.told && this.entries.has(entry)) entry.events.emit(event, member);
  }

  /**
   * @param {Verdict<Entry>} verdict
   * @param {any} publication
   */
  #act({ readers, losses, broken }, publication) {
    if (broken) this.renew = true;
    // Callbacks may subscribe and unsubscribe. Who subscribes now wants what comes next.
    for (const { reader, loss } of losses) this.#missed(reader, loss);
    for (const entry of readers) if (this.entries.has(entry)) call(entry.callback, publication.data, publication);
  }

  /**
   * @param {Entry} entry
   * @param {Loss} loss
   */
  #missed(entry, loss) {
    const missed = { channel: this.name, ...loss };
    if (this.entries.has(entry) && !entry.events.emit('missed', missed)) this.#unheard(missed);
  }

  /**
   * @param {Outcome} outcome
   * @returns {Standing}
   */
  #standing({ recovered, reason }) {
    const { list, complete } = this.members;
    return {
      ...(recovered !== undefined && { recovered }),
      ...(reason !== undefined && { reason }),
      ...(list && { members: list, complete }),
    };
  }

  #cursors() {
    return [...this.entries].map(({ cursor }) => cursor);
  }
}

/**
 * What the page gives, checked where it is given: refused here, it is an exception with the page's own line in its stack
 * and not an error from the server later on.
 *
 * @import * as types from './realtime.d.ts'
 */

/** The longest epoch (bytes) that a server takes. */
const LONGEST_EPOCH = 64;

/** @implements {types.RealtimeError} */
class RealtimeError extends Error {
  name = 'RealtimeError';

  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [channel]
   */
  constructor(code, message, channel) {
    super(channel === undefined ? message : `${message} (channel ${JSON.stringify(channel)})`);
    this.code = code;
    this.channel = channel;
  }
}

/**
 * Whether what was refused with this code had better be sent again a little later.
 *
 * @param {string} code
 */
function isTemporary(code) {
  return code === 'rate_limited' || code === 'unavailable';
}

/**
 * How long (ms) to wait before what was refused for the moment is sent again.
 *
 * @param {{after?: number}} error
 */
function pauseAfter({ after = 0 }) {
  return after > 0 ? Math.min(after, 60_000) : 1_000;
}

/** @param {string} channel */
function checkName(channel) {
  const valid = typeof channel === 'string' && channel && !/[\p{Cc}\p{Cs}]/u.test(channel);
  if (!valid || bytes(channel) > 200) {
    throw new TypeError(`a channel is a string of 1 to 200 bytes without control characters, not "${String(channel)}"`);
  }
}

/**
 * @param {types.Since | null | undefined} since
 * @returns {types.Since | null} A copy, which nobody changes.
 */
function checkSince(since) {
  if (since === undefined || since === null || since === 'earliest') return since ?? null;
  if (!isPosition(since)) {
    throw new TypeError(`since is "earliest" or a position {epoch, offset}, not ${JSON.stringify(since)}`);
  }
  return { epoch: since.epoch, offset: since.offset };
}

/**
 * @param {any} value
 * @returns {value is types.Position}
 */
function isPosition(value) {
  const { epoch, offset } = value ?? {};
  return typeof epoch === 'string' && bytes(epoch) <= LONGEST_EPOCH && Number.isSafeInteger(offset) && offset >= 0;
}

/**
 * Whether it has the form of a JSON Web Token (RFC 7515 §7.1).
 *
 * @param {unknown} token
 */
function isToken(token) {
  return typeof token === 'string' && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
}

/**
 * @param {types.TokenSource | null | undefined} source
 * @returns {types.TokenSource | undefined}
 */
function checkToken(source) {
  if (source === undefined || source === null) return undefined;
  if (typeof source !== 'function' && !isToken(source)) {
    throw new TypeError('a token is a JSON Web Token, as a string, or a function that brings one');
  }
  return source;
}

/** @param {string | undefined} mode */
function checkMode(mode) {
  if (mode !== undefined && mode !== 'stream' && mode !== 'latest') {
    throw new TypeError(`mode is "stream" or "latest", not ${JSON.stringify(mode)}`);
  }
}

/** @param {string | URL} url */
function webSocketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^http/, 'ws');
  absolute.hash = '';
  return absolute.href;
}

/** @param {string} text */
function bytes(text) {
  return new TextEncoder().encode(text).length;
}

/** How fast commands go out, publications among them: per ms and at once. Below the server's default limits. */
const COMMANDS = { rate: 0.08, burst: 160 };
const PUBLICATIONS = { rate: 0.04, burst: 80 };

/** What may go out, refilled by time. */
class Allowance {
  #rate;
  #burst;
  #left = 0;
  #at = 0;

  /** @param {{rate: number, burst: number}} limits */
  constructor({ rate, burst }) {
    this.#rate = rate;
    this.#burst = burst;
    this.reset();
  }

  reset() {
    this.#left = this.#burst;
  }

  get isUsedUp() {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#rate);
    this.#at = now;
    return this.#left < 1;
  }

  take() {
    this.#left -= 1;
  }
}

/** Ids for commands, as fast as the server takes commands. */
class Ids {
  /** How long (ms) to wait before there are more. */
  static WAIT = 1 / COMMANDS.rate;

  #last = 0;
  #commands = new Allowance(COMMANDS);
  #publications = new Allowance(PUBLICATIONS);

  /** A new connection may send as much at once as the first. */
  reset() {
    this.#commands.reset();
    this.#publications.reset();
  }

  /** An id for a command, or for a publication, that may be sent now, or 0. */
  next(publishes = false) {
    const used = publishes ? [this.#commands, this.#publications] : [this.#commands];
    if (used.some(({ isUsedUp }) => isUsedUp)) return 0;
    for (const allowance of used) allowance.take();
    return ++this.#last;
  }
}

/**
 * What is asked of the server and has one answer: questions, and publications.
 *
 * @import {Ids} from './ids.js'
 * @import {RealtimeError} from './checks.js'
 */

const RESTING = -1;

/**
 * `id`: of the command under way, 0 while it has to be sent (again), RESTING until it may.
 *
 * @typedef {{command: {type: string, [field: string]: any}, id: number, resolve: (reply: any) => void, reject: (error: Error) => void}} Request
 */

class Requests {
  #ids;
  #send;
  #due;
  /** In the order in which they were made. @type {Set<Request>} */
  #open = new Set();

  /**
   * @param {Ids} ids
   * @param {(command: object) => void} send
   * @param {() => void} due There is something to be sent.
   */
  constructor(ids, send, due) {
    this.#ids = ids;
    this.#send = send;
    this.#due = due;
  }

  /**
   * Asks the server, now or when there is a connection, and again on the next one if this one breaks.
   *
   * @param {{type: string, [field: string]: any}} command
   * @returns {Promise<any>}
   */
  make(command) {
    return new Promise((resolve, reject) => {
      this.#open.add({ command, id: 0, resolve, reject });
      this.#due();
    });
  }

  /** Sends what is not sent. Returns whether that is all, but for what rests. */
  flush() {
    let isComplete = true;
    // Publications keep their order, so none overtakes one that has to wait.
    let isHeld = false;
    for (const request of this.#open) {
      const publishes = request.command.type === 'publish';
      if (publishes && request.id === RESTING) isHeld = true;
      if (request.id || (publishes && isHeld)) continue;
      request.id = this.#ids.next(publishes);
      if (request.id) {
        this.#send({ ...request.command, id: request.id });
      } else {
        isComplete = false;
        isHeld ||= publishes;
      }
    }
    return isComplete;
  }

  lost() {
    for (const request of this.#open) request.id = 0;
  }

  /** @param {Error} error */
  close(error) {
    for (const { reject } of this.#open) reject(error);
    this.#open.clear();
  }

  /** @param {{id?: number}} reply */
  answered(reply) {
    const request = this.#find(reply.id);
    if (!request) return;
    this.#open.delete(request);
    request.resolve(reply);
  }

  /**
   * @param {number | undefined} id
   * @param {RealtimeError} error
   * @param {number | undefined} pause After how long (ms) to send it again; undefined: never.
   * @returns {boolean} Whether it was one of these.
   */
  refused(id, error, pause) {
    const request = this.#find(id);
    if (request && pause !== undefined) {
      request.id = RESTING;
      setTimeout(() => {
        if (request.id === RESTING) request.id = 0;
        this.#due();
      }, pause);
    } else if (request) {
      this.#open.delete(request);
      request.reject(error);
    }
    return request !== undefined;
  }

  /** @param {number | undefined} id */
  #find(id) {
    return [...this.#open].find((request) => request.id && request.id === id);
  }
}

/**
 * The waits between attempts: longer and longer, and by full jitter, so that the pages of a restarted server do not all
 * come back at once.
 */
class Backoff {
  #min;
  #max;
  #attempts = 0;

  /** @param {{min: number, max: number}} limits The shortest and the longest wait (ms). */
  constructor({ min, max }) {
    this.#min = min;
    this.#max = max;
  }

  /** How long to wait (ms) now. */
  next() {
    this.#attempts += 1;
    return this.#min + Math.random() * (Math.min(this.#max, this.#min * 2 ** this.#attempts) - this.#min);
  }

  reset() {
    this.#attempts = 0;
  }
}

/**
 * Tokens, and the page's ways to bring one: a string, or a function that is asked whenever another one is needed.
 *
 * @import {TokenAnswer, TokenSource} from './realtime.d.ts'
 */

/** Answers of an endpoint that say that there is no user. */
const NOBODY = [401, 403];

class Token {
  /** Null: there is none. Undefined: it has to be asked for. @type {string | null | undefined} */
  value;
  /** Whether it was brought only now, and the server has not taken it yet. */
  fresh = false;
  /** When it ends (ms since 1970), as the server says. */
  expires = Infinity;
  /** The waits after failures. */
  backoff;
  #name;
  #timeout;
  /** @type {(() => TokenAnswer | Promise<TokenAnswer>) | undefined} */
  #ask;
  /** @type {Promise<void> | undefined} */
  #asked;

  /**
   * @param {string} name What the option is called that it comes from.
   * @param {TokenSource} source
   * @param {{backoff: {min: number, max: number}, timeout: number}} times
   */
  constructor(name, source, { backoff, timeout }) {
    this.#name = name;
    this.backoff = new Backoff(backoff);
    this.#timeout = timeout;
    if (typeof source === 'function') this.#ask = source;
    else this.value = source;
  }

  /** Whether the page can bring another one. */
  get renewable() {
    return this.#ask !== undefined;
  }

  /** Whether it is known what to show the server. */
  get ready() {
    return !this.renewable || (this.value !== undefined && Date.now() < this.expires);
  }

  /** Brings another one. What is on its way already is not asked for again. Rejects with a `RealtimeError`. */
  fetch() {
    return (this.#asked ??= this.#fetch().finally(() => (this.#asked = undefined)));
  }

  async #fetch() {
    let timer = 0;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`nothing came within ${this.#timeout} ms`)), this.#timeout);
    });
    // In a turn of its own: the page may not have listened to errors yet.
    const asked = Promise.resolve().then(async () => read(await this.#ask?.()));
    try {
      this.value = await Promise.race([asked, late]);
      this.fresh = true;
      this.expires = Infinity;
      this.backoff.reset();
    } catch (cause) {
      const why = (cause instanceof Error && cause.message) || String(cause);
      throw new RealtimeError('token_failed', `the page's \`${this.#name}\` function brought none: ${why}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The server has taken it. */
  accepted(expires = Infinity) {
    this.fresh = false;
    this.expires = expires;
  }

  /**
   * It is of no use any more.
   *
   * @returns {boolean} Whether another one may be: not if this one has only just been brought.
   */
  refused() {
    const again = this.renewable && !this.fresh;
    this.drop();
    return again;
  }

  /** @returns {boolean} Whether another one can be asked for. */
  drop() {
    if (this.renewable) this.value = undefined;
    return this.renewable;
  }

  /** The connection is gone. Where there was no user, there may be one the next time. */
  lost() {
    if (this.value === null) this.drop();
  }
}

/**
 * The user that a token is about; only the server can tell whether it is true.
 *
 * @param {string | null | undefined} token
 * @returns {string | undefined}
 */
function subject(token) {
  try {
    const payload = atob((token ?? '').split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (char) => char.charCodeAt(0))));
    if (Number.isSafeInteger(sub)) return String(sub); // As the server counts it.
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What a page's function may bring: a token, an object that has one, the response of a `fetch()` with either, or nothing.
 *
 * @param {any} answer
 * @returns {Promise<string | null>}
 */
async function read(answer) {
  let brought = answer;
  if (typeof brought?.text === 'function') {
    if (NOBODY.includes(brought.status)) return null;
    if (!brought.ok) {
      throw new Error(
        `HTTP ${brought.status} from ${brought.url.split('?')[0] || 'the endpoint'}; who gets no token is answered 401, 403 or nothing`,
      );
    }
    const text = (await brought.text()).trim();
    brought = /^(["{]|null$)/.test(text) ? JSON.parse(text) : text;
  }
  const token = typeof brought === 'object' ? brought?.token : brought;
  if (token === undefined || token === null || token === '') return null;
  // A login page, or a warning of PHP's, had better be seen here than refused by the server.
  if (!isToken(token)) throw new Error(`this is no JSON Web Token: ${JSON.stringify(String(token).slice(0, 200))}`);
  return token;
}

/**
 * What the page wants and what is on the wire, brought together once per turn, so that a page may subscribe and
 * unsubscribe as it likes. A channel with a command under way waits for its answer.
 *
 * @import {Missed, TokenAnswer, TokenSource} from './realtime.d.ts'
 * @import {Entry} from './channel.js'
 * @import {Positions} from './positions.js'
 */

/** Channels in one `register`: with their positions far below the server's 64 KiB for a message, whatever their names. */
const BATCH = 50;
/** Refusals that another token may change. */
const TOKEN = ['forbidden', 'token_invalid', 'token_expired'];
/** Why the server ends a subscription whose token it does not take any more. */
const ENDED = ['token expired', 'token revoked'];
/** What answers requests. */
const REPLIES = ['history', 'presence', 'ack'];

/**
 * @typedef {object} Wire
 * @property {() => boolean} isOpen
 * @property {() => string[]} previous The ids of former connections.
 * @property {(command: object) => void} send
 * @property {(entry: Entry | undefined, error: RealtimeError) => void} fail
 * @property {(missed: Missed) => void} unheard
 * @property {{backoff: {min: number, max: number}, timeout: number}} times
 * @property {((channel: string) => TokenAnswer | Promise<TokenAnswer>) | undefined} channelToken
 */

class Channels {
  #wire;
  #positions;
  /** @type {Map<string, Channel>} Every channel that is wanted or on the wire. */
  #channels = new Map();
  /** @type {Set<Channel>} Those where what is wanted and what is on the wire may differ. */
  #dirty = new Set();
  #ids = new Ids();
  #requests;
  #flushing = false;

  /**
   * @param {Wire} wire
   * @param {Positions | undefined} positions
   */
  constructor(wire, positions) {
    this.#wire = wire;
    this.#positions = positions;
    this.#requests = new Requests(this.#ids, wire.send, () => this.#schedule());
  }

  /**
   * The channel of that name, which is there as long as somebody wants it.
   *
   * @param {string} name
   */
  open(name) {
    const resume = () => this.#positions?.channel(name) ?? null;
    return this.#channels.get(name) ?? new Channel(name, resume(), this.#wire.unheard);
  }

  /**
   * @param {Channel} channel
   * @param {Entry} entry
   * @param {TokenSource} [token]
   */
  add(channel, entry, token) {
    this.#channels.set(channel.name, channel);
    if (token !== undefined) channel.token = new Token('token', token, this.#wire.times);
    channel.add(entry);
    this.#touch(channel);
  }

  /**
   * @param {Channel} channel
   * @param {Entry} entry
   */
  remove(channel, entry) {
    if (!channel.entries.delete(entry)) return;
    this.#moved(channel);
    this.#touch(channel);
  }

  /**
   * @param {{type: string, [field: string]: any}} command
   * @returns {Promise<any>}
   */
  request(command) {
    return this.#requests.make(command);
  }

  connected() {
    this.#ids.reset();
    for (const channel of this.#channels.values()) this.#touch(channel);
    this.#schedule();
  }

  lost() {
    this.#requests.lost();
    for (const channel of this.#channels.values()) {
      channel.lost();
      this.#touch(channel);
    }
  }

  /** Ends everything; positions that are kept stay. */
  close() {
    for (const channel of this.#channels.values()) channel.entries.clear();
    this.#channels.clear();
    this.#requests.close(new RealtimeError('closed', 'the connection is closed'));
  }

  /** @param {any} message */
  receive(message) {
    const { type, id } = message;
    if (type === 'error') return this.#refused(message);
    if (REPLIES.includes(type)) return this.#requests.answered(message);
    const channel = this.#channels.get(message.channel);
    if (!channel) return;
    switch (type) {
      case 'broadcast_update':
        channel.publication(message);
        break;
      case 'position':
        channel.skip(message);
        break;
      case 'missed':
        channel.missed(message);
        break;
      case 'join':
      case 'leave':
        return channel.presence(message);
      case 'token_expiring':
        if (channel.token?.drop()) channel.refresh();
        break;
      case 'subscribed':
      case 'unsubscribed':
        if (type === 'unsubscribed' && id === undefined) return this.#ended(channel, message);
        if (channel.pending !== id) return;
        channel.pending = 0;
        if (type === 'subscribed') channel.subscribed(message);
        else channel.on = false;
        this.#touch(channel);
    }
    this.#moved(channel);
    if (channel.renew) this.#touch(channel);
  }

  /** @param {Channel} channel */
  #moved(channel) {
    // What was closed has no position any more, but what is kept of it stays.
    if (this.#channels.get(channel.name) !== channel) return;
    if (channel.on || !channel.entries.size) this.#positions?.setChannel(channel.name, channel.position);
  }

  /**
   * The server has ended a subscription by itself.
   *
   * @param {Channel} channel
   * @param {{reason?: string}} unsubscribed
   */
  #ended(channel, { reason = '' }) {
    channel.ended();
    const expired = ENDED.includes(reason);
    // What has ended a good token may be mended by another one.
    if (!expired || !channel.token?.drop()) {
      const code = expired ? 'token_expired' : 'unsubscribed';
      this.#failed(channel, new RealtimeError(code, `the server has ended the subscription: ${reason}`, channel.name));
    }
    this.#touch(channel);
  }

  /**
   * @param {Channel} channel
   * @param {RealtimeError} error
   */
  #failed(channel, error) {
    channel.failed = true;
    for (const entry of [...channel.entries]) this.#wire.fail(entry, error);
  }

  /** @param {{id?: number, channel?: string, code: string, message: string, after?: number}} refusal */
  #refused(refusal) {
    const { id, channel: name, code, message } = refusal;
    const error = new RealtimeError(code, message, name);
    const pause = isTemporary(code) ? pauseAfter(refusal) : undefined;
    const answered = this.#requests.refused(id, error, pause);
    const refused = [...this.#channels.values()].filter(
      (channel) => channel.pending === id && (name ?? channel.name) === channel.name,
    );
    if (!refused.length && !answered) this.#wire.fail(undefined, error);
    for (const channel of refused) {
      channel.pending = 0;
      // Who was to be left is left, and who was to be renewed stands as before.
      channel.on &&= channel.entries.size > 0;
      if (pause !== undefined) {
        channel.renew = channel.on;
        setTimeout(() => this.#touch(channel), pause);
        continue;
      }
      if (this.#mends(channel, code)) channel.refresh();
      else this.#failed(channel, error);
      this.#touch(channel);
    }
  }

  /**
   * Whether another token may change a refusal.
   *
   * @param {Channel} channel
   * @param {string} code
   */
  #mends(channel, code) {
    if (!TOKEN.includes(code)) return false;
    if (channel.token) return channel.token.refused();
    const { channelToken, times } = this.#wire;
    if (!channelToken || code !== 'forbidden') return false;
    channel.token = new Token('channelToken', () => channelToken(channel.name), times);
    return true;
  }

  /**
   * Whether `channel` has the token that it takes, if it takes one. If not, it is touched when it has.
   *
   * @param {Channel} channel
   */
  #hasToken(channel) {
    const { token } = channel;
    if (!token || token.ready) return true;
    channel.tell(); // Those who are new to what stands need not wait.
    if (!channel.waiting) this.#fetchToken(channel, token);
    return false;
  }

  /**
   * @param {Channel} channel
   * @param {Token} token
   */
  async #fetchToken(channel, token) {
    channel.waiting = true;
    try {
      await token.fetch();
    } catch (error) {
      const { message, code } = /** @type {RealtimeError} */ (error);
      for (const entry of [...channel.entries]) this.#wire.fail(entry, new RealtimeError(code, message, channel.name));
      await new Promise((resolve) => setTimeout(resolve, token.backoff.next()));
    }
    channel.waiting = false;
    this.#touch(channel);
  }

  /** @param {Channel} channel */
  #touch(channel) {
    if (this.#channels.get(channel.name) === channel) this.#dirty.add(channel);
    this.#schedule();
  }

  #schedule() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush() {
    this.#flushing = false;
    const channels = [...this.#dirty].filter((channel) => !channel.pending);
    this.#dirty.clear();
    /** @type {Channel[]} */
    const joining = [];
    for (const channel of channels) {
      if (!channel.entries.size) this.#leave(channel);
      else if (channel.failed) continue;
      else if (channel.on && !channel.renew) channel.tell();
      else joining.push(channel);
    }
    // The greeting touches them all.
    if (!this.#wire.isOpen()) return;
    this.#join(joining.filter((channel) => this.#hasToken(channel)));
    const complete = this.#requests.flush();
    if (!this.#dirty.size && complete) return;
    this.#flushing = true;
    setTimeout(() => this.#flush(), Ids.WAIT);
  }

  /** @param {Channel} channel */
  #leave(channel) {
    if (!channel.on) this.#channels.delete(channel.name);
    else this.#command([channel], () => ({ type: 'unsubscribe', channel: channel.name }));
  }

  /** @param {Channel[]} channels */
  #join(channels) {
    // A `register` knows neither mode nor token.
    const isAlone = (/** @type {Channel} */ { latest, token }) => latest || !!token?.value;
    const alone = channels.filter(isAlone);
    const together = channels.filter((channel) => !isAlone(channel));
    while (together.length > 1) this.#register(together.splice(0, BATCH));
    for (const channel of [...together, ...alone]) this.#subscribe(channel);
  }

  /** @param {Channel} channel */
  #subscribe(channel) {
    this.#command([channel], () => {
      const { name, latest, token } = channel;
      const since = channel.ask();
      return {
        type: 'subscribe',
        channel: name,
        ...(token?.value && { token: token.value }),
        ...(since && { since }),
        ...(latest && { mode: 'latest' }),
        ...(since && this.#previous()),
      };
    });
  }

  /** @param {Channel[]} channels */
  #register(channels) {
    this.#command(channels, () => {
      const names = channels.map(({ name }) => name);
      // As own properties, __proto__ too.
      const asked = channels.flatMap((channel) => {
        const since = channel.ask();
        return since ? [[channel.name, since]] : [];
      });
      const since = asked.length && { since: Object.fromEntries(asked), ...this.#previous() };
      return { action: 'register', channels: names, ...since };
    });
  }

  /** Publications that excluded a former connection are not for this one either. */
  #previous() {
    const previous = this.#wire.previous();
    return previous.length ? { previous } : {};
  }

  /**
   * Sends a command about `channels`, or leaves them dirty when commands come too fast.
   *
   * @param {Channel[]} channels
   * @param {() => object} command
   */
  #command(channels, command) {
    const id = this.#ids.next();
    for (const channel of channels) {
      if (id) channel.pending = id;
      else this.#dirty.add(channel);
    }
    if (id) this.#wire.send({ ...command(), id });
  }
}

/**
 * One WebSocket at a time, made again whenever it is lost. It knows greetings, silence and partings, and nothing of
 * channels.
 *
 * @import {State, StateInfo} from './realtime.d.ts'
 */

/** A connection that lasted this long (ms) was a good one: the backoff starts anew after it. */
const STABLE = 5_000;
/** The longest time that setTimeout can wait. */
const LONGEST = 0x7fffffff;

/**
 * @typedef {object} Listener
 * @property {() => Promise<boolean> | undefined} prepare A connection is being made. What it takes may come later, or not
 *   at all: false.
 * @property {(disconnect: {code?: number, reason?: string, reconnect?: boolean}) => boolean} mayReturn Whether to come
 *   back from what the server has ended.
 * @property {() => void} greeted A connection stands; `entered` follows.
 * @property {(message: any) => void} received Something else than greetings and partings; undefined if it is no message.
 * @property {() => void} lost What was true of the connection is not any more; `entered` follows.
 * @property {(state: State, info: StateInfo) => void} entered
 */

class Connection {
  /** @type {State} */
  state = 'connecting';
  /** @type {string | null} */
  id = null;

  #url;
  #backoff;
  #timeout;
  #listener;
  #pageEvents = new AbortController();
  /** @type {WebSocket | undefined} */
  #socket;

  /** The one timer: the greeting's deadline, the watch over silence, or the next attempt, depending on the state. */
  #timer = 0;
  /** @type {Promise<boolean> | undefined} */
  #prepared;
  #connectedAt = Infinity;
  #notBefore = 0;
  #heardAt = 0;
  #silence = 0;
  #probing = false;

  /**
   * @param {string} url
   * @param {{backoff: {min: number, max: number}, timeout: number}} times
   * @param {Listener} listener
   */
  constructor(url, { backoff, timeout }, listener) {
    this.#url = url;
    this.#backoff = new Backoff(backoff);
    this.#timeout = timeout;
    this.#listener = listener;
  }

  open() {
    this.#connect();
    this.#followPage();
  }

  /** @param {object} message */
  send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /**
   * Gives this connection up for another one.
   *
   * @param {string} reason
   */
  renew(reason) {
    this.#lose({ reason });
  }

  /** @param {StateInfo} info */
  end(info) {
    if (this.state === 'closed') return;
    this.#detach();
    clearTimeout(this.#timer);
    this.#pageEvents.abort();
    this.#enter('closed', info);
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lose({ code, reason });
    this.#socket = socket;
    this.#prepared = this.#listener.prepare();
    this.#after(this.#timeout, () => this.#lose({ reason: 'the server did not answer' }));
    this.#enter('connecting');
  }

  /** @param {unknown} text */
  #receive(text) {
    this.#heardAt = performance.now();
    this.#probing = false;
    const message = parse(text);
    if (message?.type === 'welcome') this.#welcomed(message);
    else if (message?.type === 'disconnect') this.#dismissed(message);
    else this.#listener.received(message);
  }

  /** @param {{connection: string, ping?: number}} welcome */
  #welcomed(welcome) {
    if (!this.#prepared) return this.#greeted(welcome);
    const socket = this.#socket;
    clearTimeout(this.#timer); // It has answered, and the preparation has a limit of its own.
    this.#prepared.then((complete) => {
      if (socket !== this.#socket) return;
      if (complete) this.#greeted(welcome);
      else this.#lose({ reason: 'there is no token' });
    });
  }

  /** @param {{connection: string, ping?: number}} welcome `ping`: seconds of silence that are normal. */
  #greeted({ connection, ping = 0 }) {
    this.id = connection;
    this.#connectedAt = performance.now();
    this.#silence = ping > 0 ? ping * 1_000 : Infinity;
    this.#watch();
    this.#listener.greeted();
    this.#enter('connected');
  }

  /** @param {{code?: number, reason?: string, reconnect?: boolean, after?: number}} disconnect */
  #dismissed(disconnect) {
    const { code, reason, after } = disconnect;
    if (!this.#listener.mayReturn(disconnect)) this.end({ code, reason });
    else this.#lose({ code, reason, after: Math.min(Number(after) || 0, LONGEST) });
  }

  /**
   * The connection is gone or given up: tries again later, or when the page wakes up if `after` is infinite.
   *
   * @param {StateInfo & {after?: number}} cause
   */
  #lose({ code, reason, after = 0 }) {
    this.#detach();
    if (performance.now() - this.#connectedAt > STABLE) this.#backoff.reset();
    this.#connectedAt = Infinity;
    const retryIn = Math.max(after, this.#backoff.next());
    if (after < Infinity) this.#notBefore = Math.max(this.#notBefore, performance.now() + after);
    this.#after(retryIn, () => this.#connect());
    this.#enter('disconnected', { code, reason, retryIn });
  }

  /** Leaves the socket alone, whatever it may still say. */
  #detach() {
    const socket = this.#socket;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#socket = undefined;
    this.id = null;
    this.#listener.lost();
  }

  /**
   * The last step of every change, since listeners may do anything, closing included.
   *
   * @param {State} state
   * @param {StateInfo} [info]
   */
  #enter(state, info = {}) {
    this.state = state;
    this.#listener.entered(state, info);
  }

  /** Browsers hide the server's WebSocket pings, so silence is answered by a `ping` of our own. */
  #watch() {
    const left = this.#heardAt + this.#silence - performance.now();
    if (left > 0) this.#after(left, () => this.#watch());
    else this.#probe();
  }

  #probe() {
    this.#probing = true;
    this.send({ type: 'ping' });
    this.#after(this.#timeout, () => {
      if (this.#probing) this.#lose({ reason: 'the server fell silent' });
      else this.#watch();
    });
  }

  /** The network or the page is back: what was true before may not be true now. */
  #wake() {
    if (this.state === 'connected' && !this.#probing) this.#probe();
    // Without waiting any longer than the server asked for.
    if (this.state === 'disconnected') this.#after(this.#notBefore - performance.now(), () => this.#connect());
  }

  #followPage() {
    // Workers have some of these events; what has no events at all (node) does without.
    const { signal } = this.#pageEvents;
    /** @type {(type: string, listener: (event: any) => void) => void} */
    const on = (type, listener) => globalThis.addEventListener?.(type, listener, { signal });
    on('online', () => this.#wake());
    on('resume', () => this.#wake());
    on('visibilitychange', () => document.visibilityState === 'visible' && this.#wake());
    // A page in the back/forward cache must hold no connection, and comes back as if nothing had happened.
    on('pagehide', () => this.#lose({ reason: 'the page is hidden', after: Infinity }));
    on('pageshow', ({ persisted }) => persisted && this.#wake());
  }

  /**
   * @param {number} ms
   * @param {() => void} action
   */
  #after(ms, action) {
    clearTimeout(this.#timer);
    if (ms < Infinity) this.#timer = setTimeout(action, Math.min(ms, LONGEST));
  }
}

/** @param {unknown} text */
function parse(text) {
  try {
    return typeof text === 'string' ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What is sent to the user of this connection, on all of the user's connections: a stream like a channel's, with one
 * reader, which begins with `connect` or `register` and needs no subscription.
 *
 * @import {Message, Missed, Position, Since} from './realtime.d.ts'
 */

/**
 * @typedef {object} PersonalListener
 * @property {(message: Message) => void} message
 * @property {(missed: Missed) => void} missed
 * @property {() => void} broken It has to be asked for again.
 * @property {(position: Position | null) => void} moved
 */

class Personal {
  cursor = new Cursor(null);
  #stream = new Stream();
  #listener;

  /**
   * @param {Since | null} since
   * @param {PersonalListener} listener
   */
  constructor(since, listener) {
    this.#listener = listener;
    this.begin(since);
  }

  /**
   * Begins anew, with another user's stream.
   *
   * @param {Since | null} since
   */
  begin(since) {
    this.#stream = new Stream();
    this.cursor = new Cursor(since);
    // Servers without a personal history send messages and nothing else.
    this.cursor.waiting = false;
  }

  lost() {
    this.#stream.reset();
  }

  /** From where a `connect` or `register` that is sent now has to go on. */
  ask() {
    return this.#stream.ask([this.cursor], false);
  }

  /** @param {any} message */
  receive(message) {
    switch (message.type) {
      case 'message':
        this.#act(this.#stream.take([this], message), message);
        break;
      case 'position':
        this.#stream.skip([this], message.offset);
        break;
      case 'missed':
        this.#act(this.#stream.miss([this], message), message);
        break;
      case 'subscribed': {
        const loss = this.#stream.settle([this.cursor], message)[0]?.loss;
        if (loss) this.#listener.missed({ user: true, ...loss });
      }
    }
    this.#listener.moved(this.cursor.position);
  }

  /**
   * @param {import('./stream.js').Verdict<Personal>} verdict
   * @param {any} message
   */
  #act({ readers, losses, broken }, message) {
    if (broken) this.#listener.broken();
    for (const { loss } of losses) this.#listener.missed({ user: true, ...loss });
    if (readers.length) this.#listener.message(message);
  }
}

/**
 * Who this is: what the page says of it (a token, or a bare `userId`), what the server makes of that, and what is sent to
 * that user.
 *
 * @import {Message, Missed, Since, TokenSource} from './realtime.d.ts'
 * @import {Positions} from './positions.js'
 */

const UNAUTHORIZED = 4001;
const EXPIRED = 4004;

/**
 * @typedef {object} IdentityWire
 * @property {(command: object) => void} send
 * @property {() => string[]} previous The ids of former connections.
 * @property {(error: RealtimeError) => void} fail
 * @property {(reason: string) => void} renew Another connection is needed.
 * @property {(message: Message) => void} message
 * @property {(missed: Missed) => void} missed
 */

class Identity {
  /** What a `connect` of ours has as its id; other commands count. */
  static ID = 'connect';

  /** The user that the server takes this connection for. @type {string | null} */
  user = null;
  #wire;
  #positions;
  #userId;
  /** @type {Token | undefined} */
  #token;
  #personal;
  /** Whose stream `#personal` is, as far as that is known. @type {string | undefined} */
  #owner;
  /** From where the page wants the first stream. @type {Since | null} */
  #since;
  /** Counts connections. */
  #connection = 0;
  #timer = 0;

  /**
   * @param {{token?: TokenSource, userId?: string | number, since: Since | null}} claim
   * @param {{backoff: {min: number, max: number}, timeout: number}} times
   * @param {Positions | undefined} positions
   * @param {IdentityWire} wire
   */
  constructor({ token, userId, since }, times, positions, wire) {
    this.#wire = wire;
    this.#positions = positions;
    this.#userId = userId;
    this.#since = since;
    if (token !== undefined) this.#token = new Token('token', token, times);
    this.#personal = new Personal(since, {
      message: wire.message,
      missed: wire.missed,
      broken: () => this.introduce(),
      moved: (position) => this.#owner !== undefined && this.#positions?.set(`user:${this.#owner}`, position),
    });
    if (userId !== undefined) this.#become(String(userId));
  }

  get position() {
    return this.#personal.cursor.position;
  }

  /**
   * Sees to a token for the connection that is being made.
   *
   * @returns {Promise<boolean> | undefined} Whether there is what it takes; undefined if there is already.
   */
  prepare() {
    return this.#token && !this.#token.ready ? this.#fetch(this.#token) : undefined;
  }

  /** Says who this is, and up to where it has what was sent to its user. */
  introduce() {
    const token = this.#token?.value;
    if (this.#token) this.#become(subject(token));
    if (token) this.#send({ type: 'connect', id: Identity.ID, token });
    else if (this.#userId !== undefined) this.#send({ action: 'register', userId: this.#userId, channels: [] });
  }

  lost() {
    this.user = null;
    this.#connection += 1;
    clearTimeout(this.#timer);
    this.#token?.lost();
    this.#personal.lost();
  }

  /** @param {any} message Something that is about the user. */
  receive(message) {
    this.#personal.receive(message);
  }

  /** @param {{id?: unknown, user?: string | null, expires?: number | null}} connected */
  connected({ id, user = null, expires }) {
    this.user = user;
    if (id === Identity.ID) this.#token?.accepted(Number.isFinite(expires) ? Number(expires) * 1_000 : undefined);
    if (this.#userId === undefined || user !== null) return;
    this.#wire.fail(new RealtimeError('anonymous', 'the server did not accept userId (see insecure_identity)'));
  }

  /** The token of this connection ends soon: brings another one, and tries as long as the connection lasts. */
  async expiring() {
    const token = this.#token;
    if (!token?.renewable) return;
    const connection = this.#connection;
    const there = await this.#fetch(token);
    // Another connection was introduced with what there was.
    if (connection !== this.#connection) return;
    if (!there) this.#timer = setTimeout(() => this.expiring(), token.backoff.next());
    else if (token.value && subject(token.value) === this.#owner) this.introduce();
    else this.#wire.renew('the user is another one');
  }

  /**
   * The server has refused our token. What can be mended by another one is no error for the page.
   *
   * @param {{code: string, message: string, after?: number}} error
   */
  refused(error) {
    const { code, message } = error;
    if (isTemporary(code)) {
      this.#timer = setTimeout(() => this.introduce(), pauseAfter(error));
      return;
    }
    const token = this.#token;
    const mends = token?.renewable ? !token.fresh : code === 'token_expired';
    if (!mends) this.#wire.fail(new RealtimeError(code, message));
  }

  /**
   * The server ends the connection. Returns whether to come back.
   *
   * @param {{code?: number, reason?: string, reconnect?: boolean}} disconnect
   */
  mayReturn({ code, reason, reconnect }) {
    const token = this.#token;
    if (!token || (code !== UNAUTHORIZED && code !== EXPIRED)) return reconnect !== false;
    if (token.renewable) {
      // One that was good before may only be out of date, by a key that is used no more for example.
      const again = token.refused();
      return code === EXPIRED || again;
    }
    if (code === UNAUTHORIZED) return false;
    const why = 'and no function was given that brings another one';
    this.#wire.fail(new RealtimeError('token_expired', `the server says "${reason}", ${why}`));
    return false;
  }

  /**
   * @param {Token} token
   * @returns {Promise<boolean>} Whether it is there. If not, the page has been told.
   */
  async #fetch(token) {
    try {
      await token.fetch();
      return true;
    } catch (error) {
      this.#wire.fail(/** @type {RealtimeError} */ (error));
      return false;
    }
  }

  /** @param {object} command */
  #send(command) {
    const since = this.#personal.ask();
    const previous = this.#wire.previous();
    this.#wire.send({
      ...command,
      ...(since && { user_since: since }),
      ...(since && previous.length && { previous }),
    });
  }

  /**
   * Offsets count in one user's stream; another user's position means nothing there.
   *
   * @param {string | undefined} user
   */
  #become(user) {
    if (user === this.#owner) return;
    this.#owner = user;
    const kept = user === undefined ? null : (this.#positions?.position(`user:${user}`) ?? null);
    // What the page wants is meant for the user that it began with.
    this.#personal.begin(this.#since ?? kept);
    this.#since = null;
  }
}

/** Idempotency keys for what this page publishes, so that what is sent again has its effect once. */
class Keys {
  /** The form of those that libraries make: 16 random bytes, by which the server remembers the last ones of each page. */
  #prefix = `~${base64url(crypto.getRandomValues(new Uint8Array(16)))}`;
  #made = 0;

  next() {
    this.#made += 1;
    return `${this.#prefix}.${this.#made}`;
  }
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=/g, '');
}

/**
 * Positions that survive a reload of the page, in sessionStorage. Whatever storage does (missing, forbidden, full, filled
 * with something else), the client goes on without.
 *
 * @import {Position} from './realtime.d.ts'
 */

/** How many channels are kept; the one written longest ago makes room. */
const KEPT = 500;
const CHANNEL = 'channel:';

class Positions {
  #prefix;
  #storage = attempt(() => globalThis.sessionStorage); // Workers have none, and some pages may not have it.
  /** What has to be written. @type {Map<string, unknown>} */
  #dirty = new Map();
  /** Channels' keys that are in the storage, oldest first. @type {Set<string>} */
  #kept = new Set();
  #timer = 0;
  #end = new AbortController();
  /** What is stored only when the page goes. @type {Map<string, () => unknown>} */
  #left = new Map();

  /** @param {string} url */
  constructor(url) {
    // Without the query, which may hold a token.
    const { origin, pathname } = new URL(url);
    this.#prefix = `realtime ${origin}${pathname}#`;
    attempt(() => {
      for (const key of Object.keys(this.#storage ?? {})) this.#keep(key);
    });
    const { signal } = this.#end;
    globalThis.addEventListener?.('pagehide', () => this.#leave(), { signal });
    globalThis.addEventListener?.('pageshow', () => this.#come(), { signal });
  }

  /** @param {string} name */
  channel(name) {
    return this.position(CHANNEL + name);
  }

  /**
   * @param {string} name
   * @param {Position | null} position
   */
  setChannel(name, position) {
    this.set(CHANNEL + name, position);
  }

  /**
   * @param {string} key
   * @returns {Position | null}
   */
  position(key) {
    const position = this.#read(key);
    return isPosition(position) ? position : null;
  }

  /**
   * Takes what the page before has left under `key` out of the storage; `left` says what to leave to the next one.
   *
   * @param {string} key
   * @param {() => string[]} left
   * @returns {string[]}
   */
  take(key, left) {
    const strings = this.#read(key);
    this.#left.set(key, left);
    this.#come();
    return Array.isArray(strings) ? strings.filter((string) => typeof string === 'string') : [];
  }

  #come() {
    for (const key of this.#left.keys()) this.#write(this.#prefix + key, null);
  }

  #leave() {
    this.flush();
    for (const [key, left] of this.#left) this.#write(this.#prefix + key, left());
  }

  /**
   * Writes `value`, or forgets it if it is null: soon, and once for all that happens until then.
   *
   * @param {string} key
   * @param {unknown} value
   */
  set(key, value) {
    this.#dirty.set(this.#prefix + key, value);
    this.#timer ||= setTimeout(() => this.flush(), 0);
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const written = [...this.#dirty];
    this.#dirty.clear();
    for (const [key, value] of written) this.#write(key, value);
    for (const key of [...this.#kept].slice(0, -KEPT)) this.#write(key, null);
  }

  close() {
    this.#leave();
    this.#end.abort();
  }

  /** @param {string} key */
  #keep(key) {
    if (key.startsWith(this.#prefix + CHANNEL)) this.#kept.add(key);
  }

  /** @param {string} key */
  #read(key) {
    const name = this.#prefix + key;
    if (this.#dirty.has(name)) return this.#dirty.get(name);
    return attempt(() => JSON.parse(this.#storage?.getItem(name) ?? 'null'));
  }

  /**
   * @param {string} key
   * @param {unknown} value
   */
  #write(key, value) {
    this.#kept.delete(key);
    if (value === null) return attempt(() => this.#storage?.removeItem(key));
    this.#keep(key);
    // When it is full an older position stays: more comes again after a reload, and nothing is lost.
    attempt(() => this.#storage?.setItem(key, JSON.stringify(value)));
  }
}

/**
 * @template Result
 * @param {() => Result} action
 * @returns {Result | undefined}
 */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/**
 * Browser client of the realtime server: one connection, any number of subscriptions.
 *
 *     const rt = new Realtime('ws://host:8080');
 *     const sub = rt.subscribe('orders.42', (data, publication) => { … });
 *     sub.unsubscribe();
 *
 * It works in pages and in workers. The manual is docs/browser-api.md, the protocol docs/protocol.md.
 *
 * @import {Ack, Options, Publication, PublishOptions, RealtimeEvents, State, StateInfo, SubscribeOptions} from './realtime.d.ts'
 * @import * as types from './realtime.d.ts'
 */

/** How many former connections the server is told of. */
const PREVIOUS = 8;

/**
 * A connection that restores itself and its subscriptions until it is closed. What is public is told in realtime.d.ts.
 *
 * @implements {types.Realtime}
 */
class Realtime {
  /** @type {Events<RealtimeEvents>} */
  #events = new Events('state', 'message', 'missed', 'error');
  #connection;
  #channels;
  #positions;
  #identity;
  #keys = new Keys();
  /** The ids of this connection and those before it, the newest first. @type {string[]} */
  #ids;

  /**
   * @param {string | URL} url
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    const { channelToken, userId, userSince, persist, backoff = {}, timeout = 10_000 } = options;
    const { min = 300, max = 20_000 } = backoff;
    if (!(min > 0 && max >= min && timeout > 0)) throw new RangeError('times are in ms, above 0, and min ≤ max');
    const times = { backoff: { min, max }, timeout };
    const address = webSocketUrl(url);
    const since = checkSince(userSince);
    const token = checkToken(options.token);
    if (channelToken !== undefined) checkCallback(channelToken);
    if (token !== undefined && userId !== undefined) throw new TypeError('a token says who the user is: no userId then');
    this.#positions = persist ? new Positions(address) : undefined;
    // A duplicated tab gets a copy of the storage, but is not who the other tab is: they are stored only between pages.
    this.#ids = this.#positions?.take('connections', () => this.#ids) ?? [];
    this.#identity = new Identity({ token, userId, since }, times, this.#positions, {
      send: (command) => this.#connection.send(command),
      previous: () => this.#previous(),
      fail: (error) => this.#fail(undefined, error),
      renew: (reason) => this.#connection.renew(reason),
      message: (message) => this.#events.emit('message', message.data, message),
      missed: (missed) => this.#events.emit('missed', missed),
    });
    this.#connection = new Connection(address, times, {
      prepare: () => this.#identity.prepare(),
      mayReturn: (disconnect) => this.#identity.mayReturn(disconnect),
      greeted: () => this.#greeted(),
      received: (message) => this.#receive(message),
      lost: () => this.#lost(),
      entered: (state, info) => this.#entered(state, info),
    });
    this.#channels = new Channels(
      {
        isOpen: () => this.state === 'connected',
        previous: () => this.#previous(),
        send: (command) => this.#connection.send(command),
        fail: (entry, error) => this.#fail(entry, error),
        unheard: (missed) => this.#events.emit('missed', missed),
        times,
        channelToken,
      },
      this.#positions,
    );
    this.#connection.open();
  }

  get state() {
    return this.#connection.state;
  }

  get connectionId() {
    return this.#connection.id;
  }

  get user() {
    return this.#identity.user;
  }

  get userPosition() {
    return this.#identity.position;
  }

  /**
   * @param {string} name
   * @param {(data: any, publication: Publication) => void} callback
   * @param {SubscribeOptions} [options]
   * @returns {types.Subscription}
   */
  subscribe(name, callback, { since, mode, token } = {}) {
    checkName(name);
    checkCallback(callback);
    checkMode(mode);
    const ticket = checkToken(token);
    const start = checkSince(since);
    const channels = this.#channels;
    const channel = channels.open(name);
    const entry = new Entry(callback, start ?? (channel.on ? null : channel.resume), mode === 'latest');
    if (this.state === 'closed') {
      queueMicrotask(() => this.#fail(entry, closed(name)));
    } else {
      channels.add(channel, entry, ticket);
    }
    const { events, cursor } = entry;
    /** @type {(command: {type: string, [field: string]: any}) => Promise<any>} */
    const ask = (command) =>
      this.state === 'closed' ? Promise.reject(closed(name)) : channels.request({ ...command, channel: name });
    return {
      channel: name,
      get position() {
        return cursor.position;
      },
      get members() {
        return channel.members.list;
      },
      unsubscribe: () => channels.remove(channel, entry),
      on: (event, listener) => events.on(event, listener),
      onMissed: (listener) => events.on('missed', listener),
      history: async (query = {}) => {
        const from = checkSince(query.since);
        const { limit } = query;
        const { publications, oldest, top, epoch, next } = await ask({
          type: 'history',
          ...(from && { since: from }),
          ...(limit !== undefined && { limit }),
        });
        return { publications, oldest, top, epoch, ...(Number.isInteger(next) && { next: { epoch, offset: next } }) };
      },
      presence: () => channel.members.gather((after) => ask({ type: 'presence', ...(after !== undefined && { after }) })),
    };
  }

  /**
   * @template {keyof RealtimeEvents} Name
   * @param {Name} name
   * @param {(...args: RealtimeEvents[Name]) => void} callback
   */
  on(name, callback) {
    return this.#events.on(name, callback);
  }

  /**
   * @param {string} channel
   * @param {any} data
   * @param {PublishOptions} [options]
   * @returns {Promise<Ack>}
   */
  async publish(channel, data, { event, excludeSelf } = {}) {
    checkName(channel);
    // As it is now: it may be sent later, and perhaps twice.
    const text = JSON.stringify(data) ?? 'null';
    if (this.state === 'closed') throw closed(channel);
    const { receivers, epoch, offset } = await this.#channels.request({
      type: 'publish',
      channel,
      key: this.#keys.next(),
      ...(event !== undefined && { event }),
      ...(excludeSelf && { exclude: 'self' }),
      data: JSON.parse(text),
    });
    return { receivers, ...(epoch !== undefined && { position: { epoch, offset } }) };
  }

  close() {
    this.#connection.end({ code: 1000, reason: 'closed by the page' });
  }

  #greeted() {
    const { id } = this.#connection;
    this.#ids = [id ?? '', ...this.#ids].slice(0, PREVIOUS + 1);
    this.#identity.introduce();
    this.#channels.connected();
  }

  #lost() {
    this.#identity.lost();
    this.#channels.lost();
  }

  /**
   * @param {State} state
   * @param {StateInfo} info
   */
  #entered(state, info) {
    if (state === 'closed') {
      this.#positions?.close();
      this.#channels.close();
    }
    this.#events.emit('state', state, info);
  }

  #previous() {
    return this.#ids.slice(1);
  }

  /** @param {any} message */
  #receive(message) {
    if (message?.type === undefined) {
      return this.#fail(undefined, new RealtimeError('bad_message', 'the server sent something that is no message'));
    }
    const { type, id, channel } = message;
    if (message.user === true) return this.#identity.receive(message);
    if (type === 'message') return void this.#events.emit('message', message.data, message);
    if (type === 'connected') return this.#identity.connected(message);
    if (type === 'token_expiring' && channel === undefined) return void this.#identity.expiring();
    if (type === 'error' && id === Identity.ID) return this.#identity.refused(message);
    this.#channels.receive(message);
  }

  /**
   * Tells the first who listens: the subscription, this object's listeners, the page's console and error handlers.
   *
   * @param {Entry | undefined} entry
   * @param {RealtimeError} error
   */
  #fail(entry, error) {
    if (!entry?.events.emit('error', error) && !this.#events.emit('error', error)) report(error);
  }
}

/** @param {string} channel */
function closed(channel) {
  return new RealtimeError('closed', 'the connection is closed', channel);
}

globalThis.Realtime = Realtime;
})();
