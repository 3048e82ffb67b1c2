/**
 * What the page wants and what is on the wire, brought together once per turn, so that a page may subscribe and
 * unsubscribe as it likes. A channel with a command under way waits for its answer.
 *
 * @import {Missed, TokenAnswer, TokenSource} from '../realtime.js'
 * @import {Entry} from './channel.js'
 * @import {Positions} from './positions.js'
 */
import { Channel } from './channel.js';
import { RealtimeError, isTemporary, pauseAfter } from './checks.js';
import { Ids } from './ids.js';
import { Requests } from './requests.js';
import { Token } from './token.js';

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

export class Channels {
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
