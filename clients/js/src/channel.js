/**
 * One channel and those who want it: they share its subscription on the wire.
 *
 * @import {Missed, Position, Publication, Since, Standing, SubscriptionEvents} from '../realtime.js'
 * @import {Loss, Outcome, Verdict} from './stream.js'
 * @import {Token} from './token.js'
 */
import { Events, call } from './events.js';
import { Members } from './members.js';
import { Cursor, Stream } from './stream.js';

/** One subscriber of a channel. */
export class Entry {
  /** @type {Events<SubscriptionEvents>} */
  events = new Events('subscribed', 'error', 'missed', 'join', 'leave');
  /** Whether it knows how the subscription stands. */
  told = false;
  /** @type {Outcome | null} */
  outcome = null;

  /**
   * @param {(data: any, publication: Publication) => void} callback
   * @param {Since | null} since
   * @param {boolean} latest Whether the newest publication is all that matters.
   */
  constructor(callback, since, latest) {
    this.callback = callback;
    this.cursor = new Cursor(since);
    this.latest = latest;
  }
}

export class Channel {
  stream = new Stream();
  members = new Members();
  /** @type {Set<Entry>} */
  entries = new Set();
  /** Whether it is subscribed on the wire. */
  on = false;
  /** Whether it has to be subscribed again, although it is. */
  renew = false;
  /** The id of the command under way, or 0. */
  pending = 0;
  /** Whether the server refused it. */
  failed = false;
  /** The token that opens it, if it takes one of its own. @type {Token | null} */
  token = null;
  /** Whether it waits for that token. */
  waiting = false;
  /** Whether it is renewed for a new token only, which is no news to subscribers. */
  #quiet = false;
  #unheard;

  /**
   * @param {string} name
   * @param {Position | null} resume Where the page stood before it was loaded again.
   * @param {(missed: Missed) => void} unheard Told what is gone when a subscriber does not listen.
   */
  constructor(name, resume, unheard) {
    this.name = name;
    this.resume = resume;
    this.#unheard = unheard;
  }

  /** What all of its subscribers have had. */
  get position() {
    const since = this.stream.since(this.#cursors());
    return since === 'earliest' ? null : since;
  }

  /** Whether the newest publication is all that matters, to every subscriber. */
  get latest() {
    return [...this.entries].every(({ latest }) => latest);
  }

  /** @param {Entry} entry */
  add(entry) {
    this.entries.add(entry);
    this.failed = false;
    if (!this.on) return;
    entry.outcome = this.stream.join(entry.cursor);
    if (!entry.outcome || (this.stream.latest && !entry.latest)) this.renew = true;
  }

  /** Another token is needed, for a subscription that stands. */
  refresh() {
    if (!this.on) return;
    this.#quiet = !this.renew;
    this.renew = true;
  }

  /** The server has ended the subscription. */
  ended() {
    this.on = this.renew = this.failed = false;
    for (const entry of this.entries) entry.told = false;
  }

  /** What a subscription that is sent now has to ask for. */
  ask() {
    this.renew = false;
    return this.stream.ask(this.#cursors(), this.latest);
  }

  /** The connection is gone. */
  lost() {
    this.ended();
    this.#quiet = false;
    this.pending = 0;
    this.stream.reset();
    this.token?.lost();
  }

  /** @param {any} reply */
  subscribed(reply) {
    this.on = true;
    this.failed = false;
    this.resume = null;
    const outcomes = this.stream.settle(this.#cursors(), reply);
    [...this.entries].forEach((entry, i) => {
      const outcome = (entry.outcome = outcomes[i]);
      entry.told &&= this.#quiet && !!outcome && !outcome.loss;
    });
    this.#quiet = false;
    this.token?.accepted();
    this.members.reset(reply.members, reply.next);
    this.renew = outcomes.includes(null) || (this.stream.latest && !this.latest);
    this.tell();
  }

  /** Tells those who do not know yet how the subscription stands. */
  tell() {
    for (const entry of [...this.entries]) {
      const { outcome, told } = entry;
      if (told || !outcome || !this.on || !this.entries.has(entry)) continue;
      entry.told = true;
      entry.events.emit('subscribed', this.#standing(outcome));
      if (outcome.loss) this.#missed(entry, outcome.loss);
    }
  }

  /** @param {any} publication */
  publication(publication) {
    this.#act(this.stream.take([...this.entries], publication), publication);
  }

  /** @param {any} missed */
  missed(missed) {
    this.#act(this.stream.miss([...this.entries], missed), missed);
  }

  /** @param {{offset: number}} position */
  skip({ offset }) {
    this.stream.skip([...this.entries], offset);
  }

  /** @param {{type: string, member: import('../realtime.js').Member}} presence */
  presence({ type, member }) {
    const event = type === 'join' ? 'join' : 'leave';
    if (!this.members[event](member)) return;
    for (const entry of [...this.entries]) if (entry.told && this.entries.has(entry)) entry.events.emit(event, member);
  }

  /**
   * @param {Verdict<Entry>} verdict
   * @param {any} publication
   */
  #act({ readers, losses, broken }, publication) {
    if (broken) this.renew = true;
    // Callbacks may subscribe and unsubscribe. Who subscribes now wants what comes next.
    for (const { reader, loss } of losses) this.#missed(reader, loss);
    for (const entry of readers) if (this.entries.has(entry)) call(entry.callback, publication.data, publication);
  }

  /**
   * @param {Entry} entry
   * @param {Loss} loss
   */
  #missed(entry, loss) {
    const missed = { channel: this.name, ...loss };
    if (this.entries.has(entry) && !entry.events.emit('missed', missed)) this.#unheard(missed);
  }

  /**
   * @param {Outcome} outcome
   * @returns {Standing}
   */
  #standing({ recovered, reason }) {
    const { list, complete } = this.members;
    return {
      ...(recovered !== undefined && { recovered }),
      ...(reason !== undefined && { reason }),
      ...(list && { members: list, complete }),
    };
  }

  #cursors() {
    return [...this.entries].map(({ cursor }) => cursor);
  }
}
