/**
 * Positions that survive a reload of the page, in sessionStorage. Whatever storage does (missing, forbidden, full, filled
 * with something else), the client goes on without.
 *
 * @import {Position} from '../realtime.js'
 */
import { isPosition } from './checks.js';

/** How many channels are kept; the one written longest ago makes room. */
const KEPT = 500;
const CHANNEL = 'channel:';

export class Positions {
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
