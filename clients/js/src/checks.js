/**
 * What the page gives, checked where it is given: refused here, it is an exception with the page's own line in its stack
 * and not an error from the server later on.
 *
 * @import * as types from '../realtime.js'
 */

/** The longest epoch (bytes) that a server takes. */
const LONGEST_EPOCH = 64;

/** @implements {types.RealtimeError} */
export class RealtimeError extends Error {
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
export function isTemporary(code) {
  return code === 'rate_limited' || code === 'unavailable';
}

/**
 * How long (ms) to wait before what was refused for the moment is sent again.
 *
 * @param {{after?: number}} error
 */
export function pauseAfter({ after = 0 }) {
  return after > 0 ? Math.min(after, 60_000) : 1_000;
}

/** @param {string} channel */
export function checkName(channel) {
  const valid = typeof channel === 'string' && channel && !/[\p{Cc}\p{Cs}]/u.test(channel);
  if (!valid || bytes(channel) > 200) {
    throw new TypeError(`a channel is a string of 1 to 200 bytes without control characters, not "${String(channel)}"`);
  }
}

/**
 * @param {types.Since | null | undefined} since
 * @returns {types.Since | null} A copy, which nobody changes.
 */
export function checkSince(since) {
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
export function isPosition(value) {
  const { epoch, offset } = value ?? {};
  return typeof epoch === 'string' && bytes(epoch) <= LONGEST_EPOCH && Number.isSafeInteger(offset) && offset >= 0;
}

/**
 * Whether it has the form of a JSON Web Token (RFC 7515 §7.1).
 *
 * @param {unknown} token
 */
export function isToken(token) {
  return typeof token === 'string' && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
}

/**
 * @param {types.TokenSource | null | undefined} source
 * @returns {types.TokenSource | undefined}
 */
export function checkToken(source) {
  if (source === undefined || source === null) return undefined;
  if (typeof source !== 'function' && !isToken(source)) {
    throw new TypeError('a token is a JSON Web Token, as a string, or a function that brings one');
  }
  return source;
}

/** @param {string | undefined} mode */
export function checkMode(mode) {
  if (mode !== undefined && mode !== 'stream' && mode !== 'latest') {
    throw new TypeError(`mode is "stream" or "latest", not ${JSON.stringify(mode)}`);
  }
}

/** @param {string | URL} url */
export function webSocketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^http/, 'ws');
  absolute.hash = '';
  return absolute.href;
}

/** @param {string} text */
function bytes(text) {
  return new TextEncoder().encode(text).length;
}
