// Generated from realtime.js by build.mjs. Do not edit.
(() => {
'use strict';
/**
 * Browser client of the realtime server: one connection, any number of subscriptions.
 *
 *     const rt = new Realtime('ws://host:8080');
 *     const sub = rt.subscribe('orders.42', (data, publication) => { … });
 *     sub.unsubscribe();
 *
 * It works in pages and in workers, as a module and, generated from it, as the classic script realtime.global.js.
 * The manual is docs/browser-api.md, the protocol docs/protocol.md.
 *
 * @import {State, StateInfo, Publication, Options, RealtimeEvents, SubscriptionEvents} from './realtime.d.ts'
 * @import * as types from './realtime.d.ts'
 */

/** A connection that lasted this long (ms) was a good one: the backoff starts anew after it. */
const STABLE = 5_000;
/** Channels in one `register`: far below the server's 64 KiB for a message, whatever their names are. */
const BATCH = 50;
/** Commands per ms and at once. Below the server's default limits (100 a second, 200 at once). */
const RATE = 0.08;
const BURST = 160;
/** Wait (ms) before a refused command is sent again, where the refusal is a matter of time. */
const RETRY = 1_000;
const TEMPORARY = ['rate_limited', 'unavailable'];
/** The longest time that setTimeout can wait. */
const LONGEST = 0x7fffffff;

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
 * A connection that restores itself and its subscriptions until it is closed. What is public is told in realtime.d.ts.
 *
 * @implements {types.Realtime}
 */
class Realtime {
  #url;
  #userId;
  #backoff;
  #timeout;
  /** @type {Events<RealtimeEvents>} */
  #events = new Events('state', 'message', 'error');
  #pageEvents = new AbortController();
  /** @type {State} */
  #state = 'connecting';
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {string | null} */
  #connectionId = null;
  /** @type {string | null} */
  #user = null;

  /** The one timer: the greeting's deadline, the watch over silence, or the next attempt, depending on the state. */
  #timer = 0;
  #attempts = 0;
  #connectedAt = Infinity;
  #notBefore = 0;
  #heardAt = 0;
  #silence = 0;
  #probing = false;

  /** @type {Map<string, Channel>} Every channel that is wanted or on the wire. */
  #channels = new Map();
  /** @type {Set<Channel>} Those where what is wanted and what is on the wire may differ. */
  #dirty = new Set();
  #flushing = false;
  #lastId = 0;
  #budget = BURST;
  #budgetAt = 0;

  /**
   * @param {string | URL} url
   * @param {Options} [options]
   */
  constructor(url, { userId, backoff: { min = 300, max = 20_000 } = {}, timeout = 10_000 } = {}) {
    if (!(min > 0 && max >= min && timeout > 0)) throw new RangeError('times are in ms, above 0, and min ≤ max');
    this.#url = webSocketUrl(url);
    this.#userId = userId;
    this.#backoff = { min, max };
    this.#timeout = timeout;
    this.#connect();
    this.#followPage();
  }

  get state() {
    return this.#state;
  }

  get connectionId() {
    return this.#connectionId;
  }

  get user() {
    return this.#user;
  }

  /**
   * @param {string} name
   * @param {(data: any, publication: Publication) => void} callback
   * @returns {types.Subscription}
   */
  subscribe(name, callback) {
    checkName(name);
    checkCallback(callback);
    /** @type {Events<SubscriptionEvents>} */
    const events = new Events('subscribed', 'error');
    const entry = { callback, events, told: false };
    const channel = this.#channels.get(name) ?? { name, entries: new Set(), on: false, pending: 0, failed: false };
    if (this.#state === 'closed') {
      queueMicrotask(() => this.#fail(entry, new RealtimeError('closed', 'the connection is closed', name)));
    } else {
      this.#channels.set(name, channel);
      channel.entries.add(entry);
      channel.failed = false;
      this.#touch(channel);
    }
    return {
      channel: name,
      unsubscribe: () => {
        if (channel.entries.delete(entry)) this.#touch(channel);
      },
      on: (event, listener) => events.on(event, listener),
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

  close() {
    this.#end({ code: 1000, reason: 'closed by the page' });
  }

  // The connection

  #connect() {
    const socket = new WebSocket(this.#url);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lose({ code, reason });
    this.#socket = socket;
    this.#after(this.#timeout, () => this.#lose({ reason: 'the server did not answer' }));
    this.#enter('connecting');
  }

  /** @param {{connection: string, ping?: number}} welcome `ping`: seconds of silence that are normal. */
  #greeted({ connection, ping = 0 }) {
    this.#connectionId = connection;
    this.#connectedAt = performance.now();
    this.#silence = ping > 0 ? ping * 1_000 : Infinity;
    this.#budget = BURST;
    this.#watch();
    if (this.#userId !== undefined) this.#send({ action: 'register', userId: this.#userId, channels: [] });
    for (const channel of this.#channels.values()) this.#touch(channel);
    this.#enter('connected');
  }

  /**
   * The connection is gone or given up: tries again later, or when the page wakes up if `after` is infinite.
   *
   * @param {StateInfo & {after?: number}} cause
   */
  #lose({ code, reason, after = 0 }) {
    this.#detach();
    if (performance.now() - this.#connectedAt > STABLE) this.#attempts = 0;
    this.#connectedAt = Infinity;
    const retryIn = Math.max(after, this.#delay());
    if (after < Infinity) this.#notBefore = Math.max(this.#notBefore, performance.now() + after);
    this.#after(retryIn, () => this.#connect());
    this.#enter('disconnected', { code, reason, retryIn });
  }

  /** Full jitter, so that the pages of a restarted server do not all come back at once. */
  #delay() {
    const { min, max } = this.#backoff;
    this.#attempts += 1;
    return min + Math.random() * (Math.min(max, min * 2 ** this.#attempts) - min);
  }

  /** @param {StateInfo} info */
  #end(info) {
    if (this.#state === 'closed') return;
    this.#detach();
    clearTimeout(this.#timer);
    this.#pageEvents.abort();
    for (const channel of this.#channels.values()) channel.entries.clear();
    this.#channels.clear();
    this.#enter('closed', info);
  }

  /** Leaves the socket alone, whatever it may still say, and forgets what was true of it only. */
  #detach() {
    const socket = this.#socket;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#socket = undefined;
    this.#connectionId = this.#user = null;
    for (const channel of this.#channels.values()) {
      channel.on = channel.failed = false;
      channel.pending = 0;
      for (const entry of channel.entries) entry.told = false;
      this.#touch(channel);
    }
  }

  /**
   * The last step of every change, since listeners may do anything, closing included.
   *
   * @param {State} state
   * @param {StateInfo} [info]
   */
  #enter(state, info = {}) {
    this.#state = state;
    this.#events.emit('state', state, info);
  }

  /** Browsers hide the server's WebSocket pings, so silence is answered by a `ping` of our own. */
  #watch() {
    const left = this.#heardAt + this.#silence - performance.now();
    if (left > 0) this.#after(left, () => this.#watch());
    else this.#probe();
  }

  #probe() {
    this.#probing = true;
    this.#send({ type: 'ping' });
    this.#after(this.#timeout, () => {
      if (this.#probing) this.#lose({ reason: 'the server fell silent' });
      else this.#watch();
    });
  }

  /** The network or the page is back: what was true before may not be true now. */
  #wake() {
    if (this.#state === 'connected' && !this.#probing) this.#probe();
    // Without waiting any longer than the server asked for.
    if (this.#state === 'disconnected') this.#after(this.#notBefore - performance.now(), () => this.#connect());
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

  // Messages

  /** @param {unknown} text */
  #receive(text) {
    this.#heardAt = performance.now();
    this.#probing = false;
    const message = parse(text);
    switch (message?.type) {
      case 'welcome':
        return this.#greeted(message);
      case 'broadcast_update':
        return this.#deliver(message);
      case 'message':
        return void this.#events.emit('message', message.data, message);
      case 'subscribed':
      case 'unsubscribed':
        return this.#answered(message, message.type === 'subscribed');
      case 'error':
        return this.#refused(message);
      case 'connected':
        return this.#identified(message);
      case 'disconnect':
        return this.#dismissed(message);
      case undefined:
        return this.#fail(undefined, new RealtimeError('bad_message', 'the server sent something that is no message'));
    }
  }

  /** @param {{code?: number, reason?: string, reconnect?: boolean, after?: number}} disconnect */
  #dismissed({ code, reason, reconnect, after }) {
    if (reconnect === false) this.#end({ code, reason });
    else this.#lose({ code, reason, after: Math.min(Number(after) || 0, LONGEST) });
  }

  /** @param {Publication} publication */
  #deliver(publication) {
    const entries = this.#channels.get(publication.channel)?.entries ?? new Set();
    // A copy: callbacks may subscribe and unsubscribe. Who subscribes now wants what comes next.
    for (const entry of [...entries]) if (entries.has(entry)) call(entry.callback, publication.data, publication);
  }

  /** @param {{user?: string | null}} connected */
  #identified({ user = null }) {
    this.#user = user;
    if (this.#userId === undefined || user !== null) return;
    this.#fail(undefined, new RealtimeError('anonymous', 'the server did not accept userId (see insecure_identity)'));
  }

  /**
   * @param {{id?: number, channel: string}} reply
   * @param {boolean} on
   */
  #answered({ id, channel: name }, on) {
    const channel = this.#channels.get(name);
    if (!channel || channel.pending !== id) return;
    channel.on = on;
    channel.pending = 0;
    this.#touch(channel);
  }

  /** @param {{id?: number, channel?: string, code: string, message: string}} error */
  #refused({ id, channel: name, code, message }) {
    const error = new RealtimeError(code, message, name);
    const refused = [...this.#channels.values()].filter(
      (channel) => channel.pending === id && (name ?? channel.name) === channel.name,
    );
    if (!refused.length) this.#fail(undefined, error);
    for (const channel of refused) {
      channel.pending = 0;
      if (TEMPORARY.includes(code)) {
        setTimeout(() => this.#touch(channel), RETRY);
      } else {
        channel.on = false;
        channel.failed = true;
        for (const entry of [...channel.entries]) this.#fail(entry, error);
        this.#touch(channel);
      }
    }
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

  // Subscriptions: what is wanted and what is on the wire are brought together once per turn, so that a page may
  // subscribe and unsubscribe as it likes. A channel with a command under way waits for its answer.

  /** @param {Channel} channel */
  #touch(channel) {
    if (this.#channels.get(channel.name) === channel) this.#dirty.add(channel);
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
      else if (channel.on) this.#tell(channel);
      else if (!channel.failed) joining.push(channel);
    }
    while (joining.length) this.#join(joining.splice(0, BATCH));
    if (!this.#dirty.size) return;
    this.#flushing = true;
    setTimeout(() => this.#flush(), 1 / RATE);
  }

  /** @param {Channel} channel */
  #leave(channel) {
    if (!channel.on) this.#channels.delete(channel.name);
    else this.#command([channel], { type: 'unsubscribe', channel: channel.name });
  }

  /** @param {Channel[]} channels */
  #join(channels) {
    if (this.#state !== 'connected') return; // The greeting touches them all.
    const names = channels.map(({ name }) => name);
    const one = { type: 'subscribe', channel: names[0] };
    this.#command(channels, names.length === 1 ? one : { action: 'register', channels: names });
  }

  /** @param {Channel} channel */
  #tell(channel) {
    for (const entry of [...channel.entries]) {
      if (entry.told || !channel.on || !channel.entries.has(entry)) continue;
      entry.told = true;
      entry.events.emit('subscribed');
    }
  }

  /**
   * Sends a command about `channels`, or leaves them dirty when commands come too fast.
   *
   * @param {Channel[]} channels
   * @param {object} command
   */
  #command(channels, command) {
    const now = performance.now();
    this.#budget = Math.min(BURST, this.#budget + (now - this.#budgetAt) * RATE);
    this.#budgetAt = now;
    if (this.#budget < 1) {
      for (const channel of channels) this.#dirty.add(channel);
      return;
    }
    this.#budget -= 1;
    const id = ++this.#lastId;
    for (const channel of channels) channel.pending = id;
    this.#send({ ...command, id });
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
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

/**
 * One subscriber of a channel. `told`: it knows that the subscription stands.
 *
 * @typedef {object} Entry
 * @property {(data: any, publication: Publication) => void} callback
 * @property {Events<SubscriptionEvents>} events
 * @property {boolean} told
 */

/**
 * A channel, shared by its entries. `pending`: the id of the command under way, or 0.
 *
 * @typedef {object} Channel
 * @property {string} name
 * @property {Set<Entry>} entries
 * @property {boolean} on
 * @property {number} pending
 * @property {boolean} failed
 */

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

/** @param {unknown} text */
function parse(text) {
  try {
    return typeof text === 'string' ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Refused here, a wrong name is an exception where it is used and not an error from the server later on.
 *
 * @param {string} channel
 */
function checkName(channel) {
  const valid = typeof channel === 'string' && channel && !/[\p{Cc}\p{Cs}]/u.test(channel);
  if (!valid || new TextEncoder().encode(channel).length > 200) {
    throw new TypeError(`a channel is a string of 1 to 200 bytes without control characters, not "${String(channel)}"`);
  }
}

/** @param {unknown} callback */
function checkCallback(callback) {
  if (typeof callback !== 'function') throw new TypeError(`the callback is no function but ${String(callback)}`);
}

/** @param {string | URL} url */
function webSocketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^http/, 'ws');
  absolute.hash = '';
  return absolute.href;
}

globalThis.Realtime = Realtime;
})();
