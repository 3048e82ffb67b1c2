/**
 * Who this is: what the page says of it (a token, or a bare `userId`), what the server makes of that, and what is sent to
 * that user.
 *
 * @import {Message, Missed, Since, TokenSource} from '../realtime.js'
 * @import {Positions} from './positions.js'
 */
import { RealtimeError, isTemporary, pauseAfter } from './checks.js';
import { Personal } from './personal.js';
import { Token, subject } from './token.js';

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

export class Identity {
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
