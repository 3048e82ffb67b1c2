/**
 * A WebSocket server that does what a test tells it, the wrong things too. It speaks enough of RFC 6455 for a browser:
 * whole frames, no extensions.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { userOf } from './tokens.mjs';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** What a server answers, unless a test says otherwise. Keys are the types of commands. */
const ANSWERS = {
  connect: ({ id, token }) => [{ type: 'connected', id, user: userOf(token), expires: null }],
  publish: ({ id }) => [{ type: 'ack', id, receivers: 1 }],
  subscribe: ({ id, channel }) => [{ type: 'subscribed', id, channel }],
  unsubscribe: ({ id, channel }) => (id === undefined ? [] : [{ type: 'unsubscribed', id, channel }]),
  register: ({ id, userId, channels }) => [
    ...(userId === undefined ? [] : [{ type: 'connected', user: String(userId) }]),
    ...channels.map((channel) => ({ type: 'subscribed', id, channel })),
  ],
  ping: () => [{ type: 'pong' }],
};

const PATIENCE = 30_000;

/** `promise`, or a failure that says what did not happen: a test must end. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${PATIENCE} ms`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Items put in on one side and awaited on the other. */
class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const taker = this.#waiting.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  take(what) {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return soon(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }
}

/** One browser's connection. */
class Connection {
  /** All commands so far. */
  received = [];
  #closed;
  #socket;
  #commands = new Queue();
  #buffer = Buffer.alloc(0);
  #code = 1006;

  constructor(socket, answers) {
    this.#socket = socket;
    // Not `once` of node:events, which fails at an error; the end comes after that, too.
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve(this.#code)));
    socket.on('error', () => {}); // `close` follows.
    socket.on('data', (bytes) => {
      this.#buffer = Buffer.concat([this.#buffer, bytes]);
      for (let frame; (frame = this.#frame());) this.#take(frame, answers);
    });
  }

  /** The next command that the browser has sent, or sends. */
  next() {
    return this.#commands.take('a command');
  }

  /** Resolves with the close code when the browser or the test has ended it. */
  get closed() {
    return soon(this.#closed, 'the end of a connection');
  }

  send(message) {
    this.sendText(JSON.stringify(message));
  }

  sendText(text) {
    this.#write(TEXT, Buffer.from(text));
  }

  sendBinary(bytes) {
    this.#write(BINARY, bytes);
  }

  /** Closes as a server does, with a close frame. */
  close(code, reason = '') {
    this.#write(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    this.#socket.end();
  }

  /** Goes away without a word. */
  destroy() {
    this.#socket.destroy();
  }

  #take({ opcode, payload }, answers) {
    if (opcode === PING) return this.#write(PONG, payload);
    if (opcode === CLOSE) {
      this.#code = payload.length ? payload.readUInt16BE(0) : 1005;
      return this.#socket.end();
    }
    const command = JSON.parse(payload.toString());
    this.received.push(command);
    this.#commands.put(command);
    for (const answer of answers[command.type ?? command.action]?.(command, this) ?? []) this.send(answer);
  }

  #write(opcode, payload) {
    const { length } = payload;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
    head[0] = 0x80 | opcode;
    head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
    if (head.length === 4) head.writeUInt16BE(length, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
    if (this.#socket.writable) this.#socket.write(Buffer.concat([head, payload]));
  }

  /** Takes one whole frame off the buffer (RFC 6455 §5.2); a browser's frames are masked. */
  #frame() {
    const bytes = this.#buffer;
    if (bytes.length < 2) return undefined;
    const short = bytes[1] & 127;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < start + 4) return undefined;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    const end = start + 4 + length;
    if (bytes.length < end) return undefined;
    const mask = bytes.subarray(start, start + 4);
    const payload = Buffer.from(bytes.subarray(start + 4, end)).map((byte, i) => byte ^ mask[i % 4]);
    this.#buffer = bytes.subarray(end);
    return { opcode: bytes[0] & 15, payload };
  }
}

/**
 * The server. `ping`: seconds in its greeting; `greet: false`: no greeting; `answers` replace those above, and are given
 * the command and its connection.
 */
export class FakeServer {
  /** All connections so far. */
  connections = [];
  #http = createServer((_, response) => response.writeHead(426).end());
  #accepted = new Queue();
  #sockets = new Set();

  constructor({ ping = 25, greet = true, answers = {} } = {}) {
    this.#http.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#http.on('upgrade', (request, socket) => {
      const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
      const accept = createHash('sha1').update(key).digest('base64');
      const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';
      socket.write(`${upgrade}Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
      const connection = new Connection(socket, { ...ANSWERS, ...answers });
      this.connections.push(connection);
      this.#accepted.put(connection);
      connection.id = `c${this.connections.length}`;
      if (greet) connection.send({ type: 'welcome', connection: connection.id, version: 1, ping });
    });
  }

  /** Listens, on a free port at first and on the same one after `stop`. */
  async start() {
    this.#http.listen(this.port ?? 0, '127.0.0.1');
    await once(this.#http, 'listening');
    this.port = this.#http.address().port;
    this.url = `ws://127.0.0.1:${this.port}/`;
    return this;
  }

  /** The next connection that has come, or comes. */
  accept() {
    return this.#accepted.take('a connection');
  }

  /** Ends all connections and listens no more. */
  async stop() {
    const closed = once(this.#http, 'close');
    this.#http.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
