/**
 * Browser client of the realtime server: one connection, any number of subscriptions.
 *
 *     const rt = new Realtime('ws://host:8080');
 *     const sub = rt.subscribe('orders.42', (data, publication) => { … });
 *     sub.unsubscribe();
 *
 * It works in pages and in workers. The manual is docs/browser-api.md, the protocol docs/protocol.md.
 *
 * @import {Options, Publication, RealtimeEvents, State, StateInfo, SubscribeOptions} from '../realtime.js'
 * @import * as types from '../realtime.js'
 */
import { Entry } from './channel.js';
import { Channels } from './channels.js';
import { RealtimeError, checkMode, checkName, checkSince, webSocketUrl } from './checks.js';
import { Connection } from './connection.js';
import { Events, checkCallback, report } from './events.js';
import { Personal } from './personal.js';
import { Positions } from './positions.js';

/** How many former connections the server is told of. */
const PREVIOUS = 8;

/**
 * A connection that restores itself and its subscriptions until it is closed. What is public is told in realtime.d.ts.
 *
 * @implements {types.Realtime}
 */
export class Realtime {
  #userId;
  /** @type {Events<RealtimeEvents>} */
  #events = new Events('state', 'message', 'missed', 'error');
  #connection;
  #channels;
  #positions;
  #personal;
  /** @type {string | null} */
  #user = null;
  /** The ids of this connection and those before it, the newest first. @type {string[]} */
  #ids;

  /**
   * @param {string | URL} url
   * @param {Options} [options]
   */
  constructor(url, { userId, userSince, persist, backoff: { min = 300, max = 20_000 } = {}, timeout = 10_000 } = {}) {
    if (!(min > 0 && max >= min && timeout > 0)) throw new RangeError('times are in ms, above 0, and min ≤ max');
    const address = webSocketUrl(url);
    const since = checkSince(userSince);
    this.#userId = userId;
    this.#positions = persist ? new Positions(address) : undefined;
    // A duplicated tab gets a copy of the storage, but is not who the other tab is: they are stored only between pages.
    this.#ids = this.#positions?.take('connections', () => this.#ids) ?? [];
    this.#personal = this.#openPersonal(since);
    this.#connection = new Connection(
      address,
      { backoff: { min, max }, timeout },
      {
        greeted: () => this.#greeted(),
        received: (message) => this.#receive(message),
        lost: () => this.#lost(),
        entered: (state, info) => this.#entered(state, info),
      },
    );
    this.#channels = new Channels(
      {
        isOpen: () => this.state === 'connected',
        previous: () => this.#previous(),
        send: (command) => this.#connection.send(command),
        fail: (entry, error) => this.#fail(entry, error),
        unheard: (missed) => this.#events.emit('missed', missed),
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
    return this.#user;
  }

  get userPosition() {
    return this.#personal.cursor.position;
  }

  /**
   * @param {string} name
   * @param {(data: any, publication: Publication) => void} callback
   * @param {SubscribeOptions} [options]
   * @returns {types.Subscription}
   */
  subscribe(name, callback, { since, mode } = {}) {
    checkName(name);
    checkCallback(callback);
    checkMode(mode);
    const start = checkSince(since);
    const channels = this.#channels;
    const channel = channels.open(name);
    const entry = new Entry(callback, start ?? (channel.on ? null : channel.resume), mode === 'latest');
    if (this.state === 'closed') {
      queueMicrotask(() => this.#fail(entry, closed(name)));
    } else {
      channels.add(channel, entry);
    }
    const { events, cursor } = entry;
    /** @type {(command: object) => Promise<any>} */
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

  close() {
    this.#connection.end({ code: 1000, reason: 'closed by the page' });
  }

  #greeted() {
    const { id } = this.#connection;
    this.#ids = [id ?? '', ...this.#ids].slice(0, PREVIOUS + 1);
    this.#register();
    this.#channels.connected();
  }

  #lost() {
    this.#user = null;
    this.#personal.lost();
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
    if (message.user === true) return this.#personal.receive(message);
    if (message.type === 'message') return void this.#events.emit('message', message.data, message);
    if (message.type === 'connected') return this.#identified(message);
    this.#channels.receive(message);
  }

  // The user

  /** @param {types.Since | null} since */
  #openPersonal(since) {
    // Offsets count in one user's stream; another user's position means nothing there.
    const key = `user:${this.#userId}`;
    const kept = this.#userId === undefined ? null : this.#positions?.position(key);
    return new Personal(since ?? kept ?? null, {
      message: (message) => this.#events.emit('message', message.data, message),
      missed: (missed) => this.#events.emit('missed', missed),
      broken: () => this.#register(),
      moved: (position) => this.#userId !== undefined && this.#positions?.set(key, position),
    });
  }

  /** Says who this is, and up to where it has what was sent to its user. */
  #register() {
    if (this.#userId === undefined) return;
    const since = this.#personal.ask();
    const previous = this.#previous();
    this.#connection.send({
      action: 'register',
      userId: this.#userId,
      channels: [],
      ...(since && { user_since: since }),
      ...(since && previous.length && { previous }),
    });
  }

  /** @param {{user?: string | null}} connected */
  #identified({ user = null }) {
    this.#user = user;
    if (this.#userId === undefined || user !== null) return;
    this.#fail(undefined, new RealtimeError('anonymous', 'the server did not accept userId (see insecure_identity)'));
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
