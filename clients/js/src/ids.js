/** How fast commands go out, publications among them: per ms and at once. Below the server's default limits. */
const COMMANDS = { rate: 0.08, burst: 160 };
const PUBLICATIONS = { rate: 0.04, burst: 80 };

/** What may go out, refilled by time. */
class Allowance {
  #rate;
  #burst;
  #left = 0;
  #at = 0;

  /** @param {{rate: number, burst: number}} limits */
  constructor({ rate, burst }) {
    this.#rate = rate;
    this.#burst = burst;
    this.reset();
  }

  reset() {
    this.#left = this.#burst;
  }

  get isUsedUp() {
    const now = performance.now();
    this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#rate);
    this.#at = now;
    return this.#left < 1;
  }

  take() {
    this.#left -= 1;
  }
}

/** Ids for commands, as fast as the server takes commands. */
export class Ids {
  /** How long (ms) to wait before there are more. */
  static WAIT = 1 / COMMANDS.rate;

  #last = 0;
  #commands = new Allowance(COMMANDS);
  #publications = new Allowance(PUBLICATIONS);

  /** A new connection may send as much at once as the first. */
  reset() {
    this.#commands.reset();
    this.#publications.reset();
  }

  /** An id for a command, or for a publication, that may be sent now, or 0. */
  next(publishes = false) {
    const used = publishes ? [this.#commands, this.#publications] : [this.#commands];
    if (used.some(({ isUsedUp }) => isUsedUp)) return 0;
    for (const allowance of used) allowance.take();
    return ++this.#last;
  }
}
