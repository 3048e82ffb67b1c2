/**
 * Channels with history as the real server keeps them, for the fake one: its `answers`, and what a test does to them.
 *
 *     const store = new FakeStore();
 *     const server = await new FakeServer({ answers: store.answers }).start();
 *     store.publish('c', 'hello');
 */
export class FakeStore {
  epoch = 'one';
  /** How many publications a channel keeps. */
  size = Infinity;
  #losing = 0;
  #streams = new Map();
  /** Streams by connection: those that it gets live. */
  #live = new Map();

  answers = {
    subscribe: (command, connection) => this.#subscribe(command, connection, command.channel, command.since),
    unsubscribe: ({ id, channel }, connection) => {
      this.#live.get(connection)?.delete(channel);
      return [{ type: 'unsubscribed', id, channel }];
    },
    register: ({ id, userId, user_since, previous, channels, since = {} }, connection) => [
      ...(userId === undefined ? [] : [{ type: 'connected', user: userId }]),
      ...(userId === undefined ? [] : this.#subscribe({ previous }, connection, { user: userId }, user_since)),
      ...channels.flatMap((channel) => {
        const from = Object.hasOwn(since, channel) ? since[channel] : undefined;
        return this.#subscribe({ id, previous }, connection, channel, from);
      }),
    ],
    // Without `since` the newest, else what comes after it.
    history: ({ id, channel, since, limit = Infinity }) => {
      const { kept, top } = this.#stream(channel);
      const after = kept.filter(({ offset }) => offset > (since?.offset ?? 0));
      const part = since ? after.slice(0, limit) : after.slice(-limit);
      const publications = part.map(({ offset, data }) => ({ offset, data }));
      const last = publications.at(-1)?.offset ?? top;
      const oldest = kept[0]?.offset ?? top + 1;
      const next = last < top && { next: last };
      return [{ type: 'history', id, channel, publications, oldest, top, epoch: this.epoch, ...next }];
    },
  };

  /** Publishes to a channel, or to `{user}`. Returns the frame. */
  publish(to, data, { id, exclude } = {}) {
    const stream = this.#stream(to);
    const frame = { ...this.#head(to, 'broadcast_update', 'message'), offset: ++stream.top, data, ...(id && { id }) };
    stream.kept.push({ ...frame, exclude });
    if (stream.kept.length > this.size) stream.kept.splice(0, stream.kept.length - this.size);
    if (this.#losing > 0) {
      this.#losing -= 1;
      return frame;
    }
    for (const [connection, streams] of this.#live) {
      if (streams.has(key(to))) connection.send(this.#visible({ ...frame, exclude }, [connection.id], to));
    }
    return frame;
  }

  /** The next `count` publications get lost on the way: they are kept, and nobody is sent anything. */
  losing(count) {
    this.#losing = count;
  }

  /** Nothing is kept of the channel any more. */
  trim(to) {
    this.#stream(to).kept = [];
  }

  /** Another life: all that was kept is gone, and so are the connections' subscriptions. */
  restart(epoch) {
    this.epoch = epoch;
    this.#streams.clear();
    this.#live.clear();
  }

  /** Rules of `subscribe`: recovered only in the same epoch, if what follows `since` is still kept. */
  #subscribe({ id, mode, previous = [] }, connection, to, since) {
    const { kept, top } = this.#stream(to);
    const oldest = kept[0]?.offset ?? top + 1;
    const from = since === 'earliest' ? { epoch: this.epoch, offset: 0 } : since;
    const newest = mode === 'latest' && kept.length > 0;
    let reason;
    if (from && !newest) {
      if (from.epoch !== this.epoch) reason = 'epoch';
      else if (from.offset > top) reason = 'ahead';
      else if (since !== 'earliest' && from.offset < oldest - 1) reason = 'trimmed';
    }
    let offset = from && !reason ? from.offset : top;
    if (from && newest) offset = from.epoch === this.epoch && from.offset === top ? top : top - 1;
    if (!this.#live.has(connection)) this.#live.set(connection, new Set());
    this.#live.get(connection).add(key(to));
    const subscribed = {
      ...this.#head(to, 'subscribed', 'subscribed'),
      ...(id !== undefined && { id }),
      epoch: this.epoch,
      offset,
      top,
      ...(since && { recovered: !reason }),
      ...(reason && { reason }),
      ...(mode && { mode }),
    };
    const missed = {
      ...this.#head(to, 'missed', 'missed'),
      epoch: this.epoch,
      from: offset + 1,
      to: oldest - 1,
      offset: oldest - 1,
      reason: 'trimmed',
      recoverable: false,
    };
    const replay = kept.filter((publication) => publication.offset > offset);
    return [
      subscribed,
      ...(offset < oldest - 1 ? [missed] : []),
      ...replay.map((publication) => this.#visible(publication, previous, to)),
    ];
  }

  #visible({ exclude, ...frame }, connections, to) {
    if (!exclude || !connections.includes(exclude)) return frame;
    return { ...this.#head(to, 'position', 'position'), offset: frame.offset };
  }

  #head(to, type, userType) {
    return typeof to === 'string' ? { type, channel: to } : { type: userType, user: true };
  }

  #stream(to) {
    if (!this.#streams.has(key(to))) this.#streams.set(key(to), { kept: [], top: 0 });
    return this.#streams.get(key(to));
  }
}

/** Users and channels do not mix. */
const key = (to) => (typeof to === 'string' ? to : JSON.stringify(to));
