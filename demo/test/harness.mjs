/** Starts what the tests need: a realtime server that can be killed, and the demo by its own runner, `scripts/demo`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A port that is free now. */
export async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

/** The realtime server on `port`, for development. Resolves when it listens. */
export async function startServer(port) {
  const rules = `${ROOT}demo/realtime.toml`;
  const args = ['start', '--dev', '--config', rules, '--listen', `127.0.0.1:${port}`, '--unix-socket', 'off'];
  const server = spawn(`${ROOT}target/release/realtime-server`, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  await line(server, server.stderr, /listening on/);
  return server;
}

/**
 * `scripts/demo` with these environment variables, as leader of its own process group, so that `process.kill(-pid)` is
 * what Ctrl-C is. Resolves when it has printed its address: `{child, url, output()}`.
 */
export async function startDemo(variables) {
  const child = spawn(`${ROOT}scripts/demo`, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...variables },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const [, url] = await line(child, child.stdout, /Open (\S+) in two windows/);
  return { child, url, output: () => output };
}

/** Sends `signal` to a child and waits for its end. */
export async function stop(child, signal = 'SIGINT') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** The first line of `stream` that matches; fails when the process ends before. */
export function line(child, stream, pattern) {
  const said = [];
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnfile} ended with ${code}:\n${said.join('\n')}`)));
    createInterface({ input: stream }).on('line', (text) => {
      said.push(text);
      const found = pattern.exec(text);
      if (found) resolve(found);
    });
  });
}
