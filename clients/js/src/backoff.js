/**
 * The waits between attempts: longer and longer, and by full jitter, so that the pages of a restarted server do not all
 * come back at once.
 */
export class Backoff {
  #min;
  #max;
  #attempts = 0;

  /** @param {{min: number, max: number}} limits The shortest and the longest wait (ms). */
  constructor({ min, max }) {
    this.#min = min;
    this.#max = max;
  }

  /** How long to wait (ms) now. */
  next() {
    this.#attempts += 1;
    return this.#min + Math.random() * (Math.min(this.#max, this.#min * 2 ** this.#attempts) - this.#min);
  }

  reset() {
    this.#attempts = 0;
  }
}
