/** Idempotency keys for what this page publishes, so that what is sent again has its effect once. */
export class Keys {
  /** The form of those that libraries make: 16 random bytes, by which the server remembers the last ones of each page. */
  #prefix = `~${base64url(crypto.getRandomValues(new Uint8Array(16)))}`;
  #made = 0;

  next() {
    this.#made += 1;
    return `${this.#prefix}.${this.#made}`;
  }
}

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=/g, '');
}
