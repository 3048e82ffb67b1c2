/**
 * What is sent to the user of this connection, on all of the user's connections: a stream like a channel's, with one
 * reader, which begins with `connect` or `register` and needs no subscription.
 *
 * @import {Message, Missed, Position, Since} from '../realtime.js'
 */
import { Cursor, Stream } from './stream.js';

/**
 * @typedef {object} PersonalListener
 * @property {(message: Message) => void} message
 * @property {(missed: Missed) => void} missed
 * @property {() => void} broken It has to be asked for again.
 * @property {(position: Position | null) => void} moved
 */

export class Personal {
  cursor = new Cursor(null);
  #stream = new Stream();
  #listener;

  /**
   * @param {Since | null} since
   * @param {PersonalListener} listener
   */
  constructor(since, listener) {
    this.#listener = listener;
    this.begin(since);
  }

  /**
   * Begins anew, with another user's stream.
   *
   * @param {Since | null} since
   */
  begin(since) {
    this.#stream = new Stream();
    this.cursor = new Cursor(since);
    // Servers without a personal history send messages and nothing else.
    this.cursor.waiting = false;
  }

  lost() {
    this.#stream.reset();
  }

  /** From where a `connect` or `register` that is sent now has to go on. */
  ask() {
    return this.#stream.ask([this.cursor], false);
  }

  /** @param {any} message */
  receive(message) {
    switch (message.type) {
      case 'message':
        this.#act(this.#stream.take([this], message), message);
        break;
      case 'position':
        this.#stream.skip([this], message.offset);
        break;
      case 'missed':
        this.#act(this.#stream.miss([this], message), message);
        break;
      case 'subscribed': {
        const loss = this.#stream.settle([this.cursor], message)[0]?.loss;
        if (loss) this.#listener.missed({ user: true, ...loss });
      }
    }
    this.#listener.moved(this.cursor.position);
  }

  /**
   * @param {import('./stream.js').Verdict<Personal>} verdict
   * @param {any} message
   */
  #act({ readers, losses, broken }, message) {
    if (broken) this.#listener.broken();
    for (const { loss } of losses) this.#listener.missed({ user: true, ...loss });
    if (readers.length) this.#listener.message(message);
  }
}
