/**
 * Who is in a channel.
 *
 * @import {Member} from '../realtime.js'
 */

export class Members {
  /** By user, kept up to date in place; null as long as the server has given no list. @type {Map<string, {info: any}> | null} */
  list = null;
  /** Whether the list names everybody, or only the first page. */
  complete = false;
  /** Lists that are being fetched, and take part in what happens meanwhile. @type {Set<Gathering>} */
  #gatherings = new Set();

  /**
   * The list that came with a subscription; none, if the channel has no presence.
   *
   * @param {Member[] | undefined} members
   * @param {string | null} [next]
   */
  reset(members, next) {
    for (const gathering of this.#gatherings) gathering.stale = true;
    this.complete = false;
    if (members) this.#fill(members, (next ?? undefined) === undefined);
    else this.list = null;
  }

  /**
   * @param {Member} member
   * @returns {boolean} Whether that is news.
   */
  join(member) {
    const { user, info } = member;
    const known = this.list?.has(user) ?? false;
    this.list?.set(user, { info });
    for (const { found } of this.#gatherings) found.set(user, { connections: 1, ...member });
    return !known;
  }

  /**
   * @param {Member} member
   * @returns {boolean} Whether that is news.
   */
  leave({ user }) {
    const known = this.list?.delete(user) ?? false;
    for (const { found } of this.#gatherings) found.delete(user);
    return known || !this.complete;
  }

  /**
   * Fetches everybody, page by page.
   *
   * @param {(after: string | undefined) => Promise<{members: Member[], next?: string | null}>} page
   * @returns {Promise<Member[]>}
   */
  async gather(page) {
    /** @type {Gathering} */
    const gathering = { found: new Map(), stale: false };
    this.#gatherings.add(gathering);
    try {
      /** @type {string | undefined} */
      let after;
      for (let more = true; more;) {
        const { members, next } = await page(after);
        // A new connection has not heard who came and went during the pages before.
        const restart = gathering.stale && after !== undefined;
        gathering.stale = false;
        if (restart) gathering.found.clear();
        else for (const member of members) gathering.found.set(member.user, member);
        after = restart ? undefined : (next ?? undefined);
        more = restart || after !== undefined;
      }
    } finally {
      this.#gatherings.delete(gathering);
    }
    const everybody = [...gathering.found.values()];
    if (this.list) this.#fill(everybody, true);
    return everybody;
  }

  /**
   * @param {Member[]} members
   * @param {boolean} complete
   */
  #fill(members, complete) {
    this.list ??= new Map();
    this.list.clear();
    for (const { user, info } of members) this.list.set(user, { info });
    this.complete = complete;
  }
}

/** @typedef {{found: Map<string, Member>, stale: boolean}} Gathering */
