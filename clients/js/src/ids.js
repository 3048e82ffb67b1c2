/** Commands per ms and at once. Below the server's default limits (100 a second, 200 at once). */
const RATE = 0.08;
const BURST = 160;

/** Ids for commands, as fast as the server takes commands. */
export class Ids {
  /** How long (ms) to wait before there are more. */
  static WAIT = 1 / RATE;

  #last = 0;
  #budget = BURST;
  #budgetAt = 0;

  /** A new connection has its whole burst. */
  reset() {
    this.#budget = BURST;
  }

  /** An id for a command that may be sent now, or 0. */
  next() {
    const now = performance.now();
    this.#budget = Math.min(BURST, this.#budget + (now - this.#budgetAt) * RATE);
    this.#budgetAt = now;
    if (this.#budget < 1) return 0;
    this.#budget -= 1;
    return ++this.#last;
  }
}
