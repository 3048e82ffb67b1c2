/**
 * What the page wants and what is on the wire, brought together once per turn, so that a page may subscribe and
 * unsubscribe as it likes. A channel with a command under way waits for its answer.
 *
 * @import {Missed} from '../realtime.js'
 * @import {Entry} from './channel.js'
 * @import {Positions} from './positions.js'
 */
import { Channel } from './channel.js';
import { RealtimeError } from './checks.js';

/** Channels in one `register`: with their positions far below the server's 64 KiB for a message, whatever their names. */
const BATCH = 50;
/** Commands per ms and at once. Below the server's default limits (100 a second, 200 at once). */
const RATE = 0.08;
const BURST = 160;
/** Wait (ms) before a refused command is sent again, where the refusal is a matter of time. */
const RETRY = 1_000;
const TEMPORARY = ['rate_limited', 'unavailable'];
const RESTING = -1;

/**
 * A question to the server. `id`: of the command under way, 0 while it has to be sent (again), RESTING until it may.
 *
 * @typedef {{command: object, id: number, resolve: (reply: any) => void, reject: (error: Error) => void}} Request
 */

/**
 * @typedef {object} Wire
 * @property {() => boolean} isOpen
 * @property {() => string[]} previous The ids of former connections.
 * @property {(command: object) => void} send
 * @property {(entry: Entry | undefined, error: RealtimeError) => void} fail
 * @property {(missed: Missed) => void} unheard
 */

export class Channels {
  #wire;
  #positions;
  /** @type {Map<string, Channel>} Every channel that is wanted or on the wire. */
  #channels = new Map();
  /** @type {Set<Channel>} Those where what is wanted and what is on the wire may differ. */
  #dirty = new Set();
  /** @type {Set<Request>} */
  #requests = new Set();
  #flushing = false;
  #lastId = 0;
  #budget = BURST;
  #budgetAt = 0;

  /**
   * @param {Wire} wire
   * @param {Positions | undefined} positions
   */
  constructor(wire, positions) {
    this.#wire = wire;
    this.#positions = positions;
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
   */
  add(channel, entry) {
    this.#channels.set(channel.name, channel);
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
   * Asks the server, now or when there is a connection, and again on the next one if this one breaks.
   *
   * @param {object} command
   * @returns {Promise<any>}
   */
  request(command) {
    return new Promise((resolve, reject) => {
      this.#requests.add({ command, id: 0, resolve, reject });
      this.#schedule();
    });
  }

  connected() {
    this.#budget = BURST;
    for (const channel of this.#channels.values()) this.#touch(channel);
    this.#schedule();
  }

  lost() {
    for (const request of this.#requests) request.id = 0;
    for (const channel of this.#channels.values()) {
      channel.lost();
      this.#touch(channel);
    }
  }

  /** Ends everything; positions that are kept stay. */
  close() {
    for (const channel of this.#channels.values()) channel.entries.clear();
    this.#channels.clear();
    for (const { reject } of this.#requests) reject(new RealtimeError('closed', 'the connection is closed'));
    this.#requests.clear();
  }

  /** @param {any} message */
  receive(message) {
    const { type, id } = message;
    if (type === 'error') return this.#refused(message);
    if (type === 'history' || type === 'presence') return this.#replied(id, ({ resolve }) => resolve(message));
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
      case 'subscribed':
      case 'unsubscribed':
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

  /** @param {{id?: number, channel?: string, code: string, message: string}} error */
  #refused({ id, channel: name, code, message }) {
    const error = new RealtimeError(code, message, name);
    const retry = TEMPORARY.includes(code);
    const answered = this.#replied(id, (request) => {
      if (!retry) return request.reject(error);
      this.#requests.add(request);
      request.id = RESTING;
      setTimeout(() => {
        if (request.id === RESTING) request.id = 0;
        this.#schedule();
      }, RETRY);
    });
    const refused = [...this.#channels.values()].filter(
      (channel) => channel.pending === id && (name ?? channel.name) === channel.name,
    );
    if (!refused.length && !answered) this.#wire.fail(undefined, error);
    for (const channel of refused) {
      channel.pending = 0;
      // Who was to be left is left, and who was to be renewed stands as before.
      channel.on &&= channel.entries.size > 0;
      if (retry) {
        channel.renew = channel.on;
        setTimeout(() => this.#touch(channel), RETRY);
      } else {
        channel.failed = true;
        for (const entry of [...channel.entries]) this.#wire.fail(entry, error);
        this.#touch(channel);
      }
    }
  }

  /**
   * @param {number | undefined} id
   * @param {(request: Request) => void} action
   */
  #replied(id, action) {
    const request = [...this.#requests].find((open) => open.id && open.id === id);
    if (!request) return false;
    this.#requests.delete(request);
    action(request);
    return true;
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
    this.#join(joining);
    const waiting = [...this.#requests].filter((request) => !request.id && !this.#ask(request));
    if (!this.#dirty.size && !waiting.length) return;
    this.#flushing = true;
    setTimeout(() => this.#flush(), 1 / RATE);
  }

  /** @param {Channel} channel */
  #leave(channel) {
    if (!channel.on) this.#channels.delete(channel.name);
    else this.#command([channel], () => ({ type: 'unsubscribe', channel: channel.name }));
  }

  /** @param {Channel[]} channels */
  #join(channels) {
    // A `register` knows no mode.
    const alone = channels.filter(({ latest }) => latest);
    const together = channels.filter(({ latest }) => !latest);
    while (together.length > 1) this.#register(together.splice(0, BATCH));
    for (const channel of [...together, ...alone]) this.#subscribe(channel);
  }

  /** @param {Channel} channel */
  #subscribe(channel) {
    this.#command([channel], () => {
      const { name, latest } = channel;
      const since = channel.ask();
      return {
        type: 'subscribe',
        channel: name,
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
    const id = this.#nextId();
    for (const channel of channels) {
      if (id) channel.pending = id;
      else this.#dirty.add(channel);
    }
    if (id) this.#wire.send({ ...command(), id });
  }

  /** @param {Request} request */
  #ask(request) {
    request.id = this.#nextId();
    if (request.id) this.#wire.send({ ...request.command, id: request.id });
    return request.id > 0;
  }

  /** An id for a command that may be sent now, or 0. */
  #nextId() {
    const now = performance.now();
    this.#budget = Math.min(BURST, this.#budget + (now - this.#budgetAt) * RATE);
    this.#budgetAt = now;
    if (this.#budget < 1) return 0;
    this.#budget -= 1;
    return ++this.#lastId;
  }
}
