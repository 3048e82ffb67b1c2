/**
 * Browser client of the realtime server: one connection, any number of subscriptions.
 *
 *     const rt = new Realtime('ws://host:8080');
 *     const sub = rt.subscribe('orders.42', (data, publication) => { … });
 *     sub.unsubscribe();
 *
 * It works in pages and in workers. The manual is docs/browser-api.md, the protocol docs/protocol.md.
 *
 * @import {Ack, Options, Publication, PublishOptions, RealtimeEvents, State, StateInfo, SubscribeOptions} from '../realtime.js'
 * @import * as types from '../realtime.js'
 */
import { Entry } from './channel.js';
import { Channels } from './channels.js';
import { RealtimeError, checkMode, checkName, checkSince, checkToken, webSocketUrl } from './checks.js';
import { Connection } from './connection.js';
import { Events, checkCallback, report } from './events.js';
import { Identity } from './identity.js';
import { Keys } from './keys.js';
import { Positions } from './positions.js';

/** How many former connections the server is told of. */
const PREVIOUS = 8;

/**
 * A connection that restores itself and its subscriptions until it is closed. What is public is told in realtime.d.ts.
 *
 * @implements {types.Realtime}
 */
export class Realtime {
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
