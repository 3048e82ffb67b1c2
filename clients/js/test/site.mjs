/** Serves the client and empty pages to Chromium, and what is common to the tests that run in them. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';

/** Short waits, so that tests are quick; nothing depends on how long they are exactly. */
export const QUICK = { backoff: { min: 10, max: 50 } };

const FILES = {
  '/realtime.js': 'text/javascript',
  '/realtime.global.js': 'text/javascript',
};

export class Site {
  #http = createServer(async (request, response) => {
    const type = FILES[request.url];
    if (type) {
      response.writeHead(200, { 'Content-Type': type });
      response.end(await readFile(new URL(`..${request.url}`, import.meta.url)));
    } else {
      response.writeHead(200, { 'Content-Type': 'text/html' });
      response.end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>test</title></html>');
    }
  });

  async start() {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    this.port = this.#http.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }

  async stop() {
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }
}

/**
 * Makes `window.rt` in the page and keeps what happens to it: `states` (`[state, info]`), `errors` (codes), `messages`,
 * `said` (the text of the last error), and in `uncaught` what reaches `window.onerror`. `listen(channel)` subscribes and keeps the data in `got[channel]`.
 */
export async function connect(page, url, options = {}) {
  await page.run(
    async (address, settings) => {
      const { Realtime } = await import('/realtime.js');
      Object.assign(window, { states: [], errors: [], messages: [], uncaught: [], got: {} });
      window.onerror = (text) => {
        window.uncaught.push(text);
        return true;
      };
      const { answers, channelAnswers } = window; // See tokens.mjs.
      window.rt = new Realtime(address, {
        ...settings,
        ...(answers && { token: () => ((window.asked += 1), window.next(answers)) }),
        ...(channelAnswers && {
          channelToken: (channel) => (window.channelsAsked.push(channel), window.next(channelAnswers)),
        }),
      });
      window.rt.on('state', (state, info) => window.states.push([state, info]));
      window.rt.on('error', (error) => {
        window.errors.push(error.code);
        window.said = error.message;
      });
      window.rt.on('message', (data, message) => window.messages.push([data, message]));
      window.listen = (channel) => {
        const got = (window.got[channel] = []);
        const sub = window.rt.subscribe(channel, (data) => got.push(data));
        return new Promise((resolve, reject) => {
          sub.on('subscribed', () => resolve(sub));
          sub.on('error', reject);
        });
      };
    },
    url,
    options,
  );
}

/** Waits until `rt` is in `state`. */
export function reaches(page, state) {
  return page.until((wanted) => window.rt.state === wanted, state);
}
