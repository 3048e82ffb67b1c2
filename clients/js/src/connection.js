/**
 * One WebSocket at a time, made again whenever it is lost. It knows greetings, silence and partings, and nothing of
 * channels.
 *
 * @import {State, StateInfo} from '../realtime.js'
 */
import { Backoff } from './backoff.js';

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

export class Connection {
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
