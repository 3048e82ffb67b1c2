/**
 * Order and recovery of one stream (a channel, or what is sent to one user), without any I/O: what the wire brings goes
 * in, and out comes who is called and what is gone.
 *
 * One stream on the wire may serve several readers. Each has a `Cursor` of its own, so the wire can go back for the one
 * that is behind, and no other one is given anything twice.
 *
 * @import {Position, Since} from '../realtime.js'
 */

/** How many publications' ids a reader remembers, to know them again in another epoch. */
const IDS = 200;

/**
 * What is gone for good.
 *
 * @typedef {{reason?: string, from?: number, to?: number, count?: number}} Loss
 */

/**
 * How a subscription came to stand, for one reader. `recovered` is there if the reader came with a position.
 *
 * @typedef {{recovered?: boolean, reason?: string, loss?: Loss}} Outcome
 */

/**
 * What to do with something from the wire: call `readers`, after telling each loss to its reader; or, if it is `broken`,
 * subscribe again.
 *
 * @template {Reader} Kind
 * @typedef {{readers: Kind[], losses: {reader: Kind, loss: Loss}[], broken: boolean}} Verdict
 */

/** @typedef {{cursor: Cursor}} Reader */

/** What one reader has had. */
export class Cursor {
  /** Up to where; null while that is open: from now on, or a stream without history. @type {Since | null} */
  at;
  /** Whether the wire is not where this reader needs it yet; until then nothing is for it. */
  waiting = true;
  /** The epochs in which ids came, oldest first. @type {Map<string, string>} */
  #ids = new Map();

  /** @param {Since | null} since */
  constructor(since) {
    this.at = since;
  }

  /** @type {Position | null} */
  get position() {
    return this.at === 'earliest' ? null : this.at;
  }

  /** @param {Position} position */
  isBehind({ epoch, offset }) {
    const { position } = this;
    return !this.waiting && (position?.epoch !== epoch || position.offset < offset);
  }

  /**
   * The publication at `position` is there. Returns whether it is new to the reader.
   *
   * A key that comes back in the same epoch is one that the server has forgotten and taken anew. In another epoch it is
   * a publisher's second attempt, after a crash which the first one outlived in this page only.
   *
   * @param {Position} position
   * @param {string} [id]
   */
  advance(position, id) {
    if (!this.isBehind(position)) return false;
    this.at = position;
    if (id === undefined) return true;
    const before = this.#ids.get(id) ?? position.epoch;
    this.#ids.delete(id);
    this.#ids.set(id, position.epoch);
    const [oldest] = this.#ids.keys();
    if (this.#ids.size > IDS) this.#ids.delete(oldest);
    return before === position.epoch;
  }
}

export class Stream {
  /** Where the wire stands; null without history. @type {Position | null} */
  position = null;
  /** Whether only the newest publication is asked for: then a jump is no loss. */
  latest = false;
  /** Whether what comes is of no use until the next reply. */
  #broken = false;
  /** The newest offset that is known of. */
  #top = 0;
  /** @type {Since | null} */
  #asked = null;
  /** From where a repair was tried last. */
  #repairedAt = -1;

  /** A new connection: every repair may be tried once more. */
  reset() {
    this.#repairedAt = -1;
  }

  /**
   * From where the wire has to begin for `cursors`: the one that is furthest behind. When their epochs differ only one
   * can be asked for; it is the one known last, or else that of the latest reader, and `settle` sees to the others.
   *
   * @param {Cursor[]} cursors
   * @returns {Since | null}
   */
  since(cursors) {
    if (cursors.some(({ at }) => at === 'earliest')) return 'earliest';
    const positions = cursors.flatMap(({ position }) => position ?? []);
    const of = (/** @type {string | undefined} */ epoch) => positions.filter((position) => position.epoch === epoch);
    const known = of(this.position?.epoch);
    const candidates = known.length ? known : of(positions[positions.length - 1]?.epoch);
    return candidates.length ? candidates.reduce((a, b) => (b.offset < a.offset ? b : a)) : null;
  }

  /**
   * Like `since`, for a command that is sent now.
   *
   * @param {Cursor[]} cursors
   * @param {boolean} latest
   */
  ask(cursors, latest) {
    this.latest = latest;
    this.#asked = this.since(cursors);
    return this.#asked;
  }

  /**
   * A reader comes to a stream that stands. Returns its outcome, or null if the wire has to go back for it.
   *
   * @param {Cursor} cursor
   * @returns {Outcome | null}
   */
  join(cursor) {
    const { position } = this;
    if (!position) return withoutHistory(cursor);
    const { at } = cursor;
    if (at === 'earliest' || (at?.epoch === position.epoch && at.offset < position.offset)) return null;
    cursor.waiting = false;
    if (at?.epoch === position.epoch) return { recovered: true };
    cursor.at = { epoch: position.epoch, offset: this.#top };
    return at ? { recovered: false, reason: 'epoch', loss: { reason: 'epoch' } } : {};
  }

  /**
   * The reply to what was asked. Returns the outcomes in the order of `cursors`, null for one that has to ask again.
   *
   * @param {Cursor[]} cursors
   * @param {{epoch?: string, offset?: number, top?: number, recovered?: boolean, reason?: string}} reply
   * @returns {(Outcome | null)[]}
   */
  settle(cursors, { epoch, offset = 0, top = offset, recovered = true, reason = 'gap' }) {
    if (epoch === undefined) {
      this.#broken = false;
      this.position = null;
      return cursors.map(withoutHistory);
    }
    this.position = { epoch, offset };
    this.#top = top;
    const outcomes = cursors.map((cursor) => {
      const outcome = this.#settleOne(cursor, this.#position(), recovered, reason);
      cursor.waiting = !outcome;
      return outcome;
    });
    this.#broken = outcomes.includes(null);
    return outcomes;
  }

  /**
   * @param {Cursor} cursor
   * @param {Position} position
   * @param {boolean} recovered
   * @param {string} reason
   * @returns {Outcome | null}
   */
  #settleOne(cursor, position, recovered, reason) {
    const { at } = cursor;
    const { epoch, offset } = position;
    if (at === null) {
      cursor.at = { epoch, offset: this.#top };
      return {};
    }
    const asked = this.#asked;
    const covered =
      asked === 'earliest' || (at !== 'earliest' && asked?.epoch === at.epoch && asked.offset <= at.offset);
    if (at !== 'earliest' && at.epoch === epoch && at.offset >= offset && at.offset <= this.#top) {
      return { recovered: true };
    }
    if (!covered && (at === 'earliest' || (at.epoch === epoch && at.offset < offset))) return null;
    cursor.at = position;
    // The newest publication makes up for all before it, whatever the epoch.
    if (covered && recovered && (this.latest || at === 'earliest')) return { recovered };
    if (at === 'earliest') return { recovered: false, reason, loss: { reason } };
    if (at.epoch !== epoch) return { recovered: false, reason: 'epoch', loss: { reason: 'epoch' } };
    if (at.offset > this.#top) return { recovered: false, reason: 'ahead', loss: { reason: 'ahead' } };
    return { recovered: false, reason, loss: { reason, from: at.offset + 1, to: offset } };
  }

  /**
   * A publication.
   *
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {{offset?: number, prev?: number, id?: string}} frame
   * @returns {Verdict<Kind>}
   */
  take(readers, { offset, prev = (offset ?? 0) - 1, id }) {
    const { position } = this;
    if (offset === undefined || !position) return verdict({ readers: present(readers) });
    if (this.#broken || offset <= position.offset) return verdict({});
    const jump = prev > position.offset && !this.latest;
    if (jump && this.#repair()) return verdict({ broken: true });
    const losses = jump ? this.#lose(readers, { ...position, offset: prev }, { reason: 'gap', to: prev }) : [];
    const here = this.#move(position.epoch, offset);
    return verdict({ readers: readers.filter(({ cursor }) => cursor.advance(here, id)), losses });
  }

  /**
   * Nothing up to `offset` was meant for this connection.
   *
   * @param {Reader[]} readers
   * @param {number} offset
   */
  skip(readers, offset) {
    const { position } = this;
    if (!position || this.#broken || offset <= position.offset) return;
    const here = this.#move(position.epoch, offset);
    for (const { cursor } of readers) cursor.advance(here);
  }

  /**
   * The server has left something out.
   *
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {{epoch?: string, offset?: number, recoverable?: boolean} & Loss} frame
   * @returns {Verdict<Kind>}
   */
  miss(readers, { epoch, offset, recoverable, reason, from, to, count }) {
    const { position } = this;
    const loss = given({ reason, from, to, count });
    if (offset === undefined || !position) {
      return verdict({ losses: present(readers).map((reader) => ({ reader, loss })) });
    }
    const sameEpoch = epoch === undefined || epoch === position.epoch;
    // While it is broken the reply will tell, from where the readers stand.
    if (this.#broken || (sameEpoch && offset <= position.offset)) return verdict({});
    if (recoverable && this.#repair()) return verdict({ broken: true });
    const here = this.#move(epoch ?? position.epoch, offset);
    return verdict({ losses: this.#lose(readers, here, loss) });
  }

  /** Whether asking again from here may help: not if it did not get any further the last time. */
  #repair() {
    const at = this.#position().offset;
    if (at === this.#repairedAt) return false;
    this.#repairedAt = at;
    this.#broken = true;
    return true;
  }

  /**
   * @template {Reader} Kind
   * @param {Kind[]} readers
   * @param {Position} to
   * @param {Loss} loss
   */
  #lose(readers, to, loss) {
    return readers
      .filter(({ cursor }) => cursor.isBehind(to))
      .map((reader) => {
        const { position } = reader.cursor;
        reader.cursor.at = to;
        return { reader, loss: position?.epoch === to.epoch ? { ...loss, from: position.offset + 1 } : loss };
      });
  }

  /**
   * @param {string} epoch
   * @param {number} offset
   */
  #move(epoch, offset) {
    this.#top = epoch === this.position?.epoch ? Math.max(this.#top, offset) : offset;
    return (this.position = { epoch, offset });
  }

  #position() {
    if (!this.position) throw new Error('a stream without history has no position');
    return this.position;
  }
}

/**
 * @param {Cursor} cursor
 * @returns {Outcome}
 */
function withoutHistory(cursor) {
  const wanted = cursor.at !== null;
  cursor.at = null;
  cursor.waiting = false;
  return wanted ? { recovered: false, reason: 'no_history', loss: { reason: 'no_history' } } : {};
}

/**
 * Without what is not known.
 *
 * @param {Loss} loss
 * @returns {Loss}
 */
function given(loss) {
  return Object.fromEntries(Object.entries(loss).filter(([, value]) => value !== undefined));
}

/**
 * @template {Reader} Kind
 * @param {Kind[]} readers
 */
function present(readers) {
  return readers.filter(({ cursor }) => !cursor.waiting);
}

/**
 * @template {Reader} Kind
 * @param {Partial<Verdict<Kind>>} parts
 * @returns {Verdict<Kind>}
 */
function verdict({ readers = [], losses = [], broken = false }) {
  return { readers, losses, broken };
}
