/**
 * The real server, as a process that can be killed and started again. The binary is REALTIME_SERVER, or the newest of
 * those in target/ (`cargo build -p realtime-server`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Where the binary is; fails when there is none, since a test that is left out proves nothing. */
function binary() {
  if (process.env.REALTIME_SERVER) return process.env.REALTIME_SERVER;
  const built = ['debug', 'release']
    .map((profile) => fileURLToPath(new URL(`../../../target/${profile}/realtime-server`, import.meta.url)))
    .map((path) => ({ path, time: statSync(path, { throwIfNoEntry: false })?.mtimeMs }))
    .filter(({ time }) => time !== undefined)
    .sort((a, b) => b.time - a.time);
  if (!built.length) throw new Error('no realtime-server in target/: run `cargo build -p realtime-server` first');
  return built[0].path;
}

const KEY = `rtk_${'k'.repeat(43)}`;

export class RealServer {
  #process;
  #ended;
  #kill = () => this.#process?.kill('SIGKILL');
  #port = 0;

  /** Starts it, on a free port at first and on the same one later on. `settings` are REALTIME_* variables. */
  async start({ dev = true, settings = {} } = {}) {
    const args = ['start', '--listen', `127.0.0.1:${this.#port}`, '--unix-socket', 'off'];
    if (dev) args.push('--dev');
    // No variable of the machine gets in, so that the tests do not depend on it.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('REALTIME_'));
    const child = spawn(binary(), args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Nor does the configuration of a server that is installed here.
      env: { ...Object.fromEntries(inherited), REALTIME_CONFIG: '/dev/null', REALTIME_PUBLISHER_KEY: KEY, ...settings },
    });
    this.#process = child;
    this.#ended = once(child, 'exit');
    process.once('exit', this.#kill);
    const tls = 'REALTIME_TLS_LISTEN' in settings;
    [this.#port, this.tlsPort] = await listeningPorts(child, tls ? ['on', 'with TLS on'] : ['on']);
    return this;
  }

  get url() {
    return `ws://127.0.0.1:${this.#port}/`;
  }

  get port() {
    return this.#port;
  }

  /** Ends it; with SIGTERM as an administrator does, with SIGKILL as a crash does. */
  async stop(signal = 'SIGTERM') {
    if (!this.#process) return;
    this.#process.kill(signal);
    await this.#ended;
    this.#process = undefined;
    process.off('exit', this.#kill);
  }

  /**
   * Publishes as PHP does, but over HTTP: `{channel, data}`, or `user` or `connection` instead of `channel`. Resolves with
   * the acknowledgement.
   */
  async publish(publication) {
    const response = await fetch(`http://127.0.0.1:${this.#port}/broadcast`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ type: 'broadcast_update', ...publication }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`POST /broadcast: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }
}

/**
 * The ports that the log says it listens `on`, and `with TLS on`. The rest of the log is read too, or the pipe would fill
 * up.
 */
function listeningPorts(child, ways) {
  const said = [];
  const ports = new Map();
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${said.join('\n')}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      const found = /listening ((?:with TLS )?on) [^\s]*:(\d+)/.exec(line);
      if (found) ports.set(found[1], Number(found[2]));
      if (ways.every((way) => ports.has(way))) resolve(ways.map((way) => ports.get(way)));
    });
  });
}
