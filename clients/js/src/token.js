/**
 * Tokens, and the page's ways to bring one: a string, or a function that is asked whenever another one is needed.
 *
 * @import {TokenAnswer, TokenSource} from '../realtime.js'
 */
import { Backoff } from './backoff.js';
import { RealtimeError, isToken } from './checks.js';

/** Answers of an endpoint that say that there is no user. */
const NOBODY = [401, 403];

export class Token {
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
export function subject(token) {
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
