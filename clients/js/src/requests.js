/**
 * What is asked of the server and has one answer: questions, and publications.
 *
 * @import {Ids} from './ids.js'
 * @import {RealtimeError} from './checks.js'
 */

const RESTING = -1;

/**
 * `id`: of the command under way, 0 while it has to be sent (again), RESTING until it may.
 *
 * @typedef {{command: {type: string, [field: string]: any}, id: number, resolve: (reply: any) => void, reject: (error: Error) => void}} Request
 */

export class Requests {
  #ids;
  #send;
  #due;
  /** In the order in which they were made. @type {Set<Request>} */
  #open = new Set();

  /**
   * @param {Ids} ids
   * @param {(command: object) => void} send
   * @param {() => void} due There is something to be sent.
   */
  constructor(ids, send, due) {
    this.#ids = ids;
    this.#send = send;
    this.#due = due;
  }

  /**
   * Asks the server, now or when there is a connection, and again on the next one if this one breaks.
   *
   * @param {{type: string, [field: string]: any}} command
   * @returns {Promise<any>}
   */
  make(command) {
    return new Promise((resolve, reject) => {
      this.#open.add({ command, id: 0, resolve, reject });
      this.#due();
    });
  }

  /** Sends what is not sent. Returns whether that is all, but for what rests. */
  flush() {
    let isComplete = true;
    // Publications keep their order, so none overtakes one that has to wait.
    let isHeld = false;
    for (const request of this.#open) {
      const publishes = request.command.type === 'publish';
      if (publishes && request.id === RESTING) isHeld = true;
      if (request.id || (publishes && isHeld)) continue;
      request.id = this.#ids.next(publishes);
      if (request.id) {
        this.#send({ ...request.command, id: request.id });
      } else {
        isComplete = false;
        isHeld ||= publishes;
      }
    }
    return isComplete;
  }

  lost() {
    for (const request of this.#open) request.id = 0;
  }

  /** @param {Error} error */
  close(error) {
    for (const { reject } of this.#open) reject(error);
    this.#open.clear();
  }

  /** @param {{id?: number}} reply */
  answered(reply) {
    const request = this.#find(reply.id);
    if (!request) return;
    this.#open.delete(request);
    request.resolve(reply);
  }

  /**
   * @param {number | undefined} id
   * @param {RealtimeError} error
   * @param {number | undefined} pause After how long (ms) to send it again; undefined: never.
   * @returns {boolean} Whether it was one of these.
   */
  refused(id, error, pause) {
    const request = this.#find(id);
    if (request && pause !== undefined) {
      request.id = RESTING;
      setTimeout(() => {
        if (request.id === RESTING) request.id = 0;
        this.#due();
      }, pause);
    } else if (request) {
      this.#open.delete(request);
      request.reject(error);
    }
    return request !== undefined;
  }

  /** @param {number | undefined} id */
  #find(id) {
    return [...this.#open].find((request) => request.id && request.id === id);
  }
}
