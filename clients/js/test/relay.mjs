/** A TCP relay in front of a server, for what networks do: cut connections, and swallow bytes without a word. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Relay {
  #server;
  #pairs = new Set();
  #silent = false;

  /** Relays to `port` on this machine. */
  constructor(port) {
    // Half-open on both sides, so that an end is passed on like any other byte, or swallowed.
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      const pair = [near, connect({ port, host: '127.0.0.1', allowHalfOpen: true })];
      this.#pairs.add(pair);
      this.#join(pair, 0);
      this.#join(pair, 1);
    });
  }

  async start() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
    this.url = `ws://127.0.0.1:${this.port}/`;
    return this;
  }

  /** Breaks all connections. New ones work. */
  cut() {
    for (const pair of [...this.#pairs]) this.#break(pair);
  }

  /** From now on nothing gets through and nobody is told; new connections are accepted and swallowed as well. */
  blackhole() {
    this.#silent = true;
  }

  /** New connections work again. Those that lost bytes stay dead. */
  heal() {
    this.#silent = false;
    for (const pair of this.#pairs) pair.dead = pair.lost;
  }

  async stop() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #join(pair, side) {
    const [from, to] = [pair[side], pair[1 - side]];
    const pass = (action) => {
      if (this.#silent || pair.dead) pair.lost = true;
      else action();
    };
    from.on('data', (bytes) => pass(() => to.write(bytes)));
    from.on('end', () => pass(() => to.end()));
    from.on('error', () => pass(() => this.#break(pair)));
    from.on('close', () => pass(() => this.#break(pair)));
  }

  #break(pair) {
    this.#pairs.delete(pair);
    for (const socket of pair) socket.destroy();
  }
}
