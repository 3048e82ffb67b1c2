/** Listeners, and callbacks of the page, which may do anything and throw anything. */

/**
 * Listeners by event.
 *
 * @template {Record<string, any[]>} Listened
 */
export class Events {
  /** @type {Map<keyof Listened, Set<{callback: (...args: any[]) => void}>>} */
  #listeners;

  /** @param {(keyof Listened)[]} names */
  constructor(...names) {
    this.#listeners = new Map(names.map((name) => [name, new Set()]));
  }

  /**
   * @template {keyof Listened} Name
   * @param {Name} name
   * @param {(...args: Listened[Name]) => void} callback
   * @returns {() => void}
   */
  on(name, callback) {
    const listeners = this.#listeners.get(name);
    if (!listeners) throw new TypeError(`no event ${String(name)}, but ${[...this.#listeners.keys()].join(', ')}`);
    checkCallback(callback);
    const listener = { callback }; // One function may be given twice; each has its own end.
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /**
   * @template {keyof Listened} Name
   * @param {Name} name
   * @param {Listened[Name]} args
   * @returns {boolean} Whether anybody listened.
   */
  emit(name, ...args) {
    const listeners = [...(this.#listeners.get(name) ?? [])];
    for (const { callback } of listeners) call(callback, ...args);
    return listeners.length > 0;
  }
}

/**
 * A callback that throws must not keep others from being called.
 *
 * @template {any[]} Args
 * @param {(...args: Args) => void} callback
 * @param {Args} args
 */
export function call(callback, ...args) {
  try {
    callback(...args);
  } catch (error) {
    report(error);
  }
}

/**
 * As an uncaught exception: in the console and to `window.onerror`.
 *
 * @param {unknown} error
 */
export function report(error) {
  queueMicrotask(() => {
    throw error;
  });
}

/** @param {unknown} callback */
export function checkCallback(callback) {
  if (typeof callback !== 'function') throw new TypeError(`the callback is no function but ${String(callback)}`);
}
