/**
 * Drives headless Chromium through chromedriver, over plain WebDriver HTTP (W3C WebDriver, and chromedriver's own
 * `goog/cdp/execute`). Nothing but node's core is needed; Debian packages the rest: chromium, chromium-driver.
 *
 *     import { test, before, after } from 'node:test';
 *     import { openBrowser } from './webdriver.mjs';
 *
 *     let browser;
 *     before(async () => { browser = await openBrowser(); });
 *     after(() => browser?.close());
 *
 *     test('a click in one window shows in the other', async () => {
 *       const [a, b] = [await browser.open(url), await browser.open(url)];     // two windows, same profile
 *       await a.click('#buy');
 *       await b.until(() => document.querySelector('#count').textContent === '1');
 *       await b.screenshot('/tmp/b.png');
 *       await Promise.all([a.close(), b.close()]);
 *     });
 *
 * Functions given to `run` and `until` are sent to the page as text: they see the page's globals and the arguments that
 * are passed along (JSON), nothing of the test's own scope. They may be async. What they throw, the call throws.
 *
 * A session carries out one command at a time, so never wait inside `run` for what another window does: keep the promise
 * in the page (`run(() => { window.seen = … })`) and use `until`, which lets other commands pass between its looks.
 *
 * `CHROMEDRIVER` and `CHROMIUM` name other binaries than those in the PATH.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const FLAGS = [
  '--headless=new',
  '--no-sandbox', // tests also run as root and in containers, where the sandbox cannot start
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-proxy-server',
];
const START_TIMEOUT = 60_000;
const UNTIL_TIMEOUT = 30_000;
const LOOK = 250;
/** The key under which WebDriver wraps an element's reference (W3C WebDriver §12.1). */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

/**
 * Starts chromedriver on a free port and Chromium with a fresh profile. `flags` are added to Chromium's command line.
 *
 * @param {{flags?: string[], width?: number, height?: number}} [options]
 * @returns {Promise<Browser>}
 */
export async function openBrowser({ flags = [], width = 1200, height = 800 } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'realtime-chromium-'));
  const driver = spawn(process.env.CHROMEDRIVER ?? 'chromedriver', ['--port=0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, DISPLAY: '' },
  });
  const browser = new Browser(driver, profile);
  try {
    await browser.start([...FLAGS, ...flags, `--window-size=${width},${height}`, `--user-data-dir=${profile}`]);
  } catch (error) {
    await browser.close();
    throw error;
  }
  return browser;
}

/** One Chromium with one profile. Made by `openBrowser`; must be closed. */
export class Browser {
  #driver;
  #profile;
  #base = '';
  #session = '';
  #chromium = 0;
  #spare;
  #queue = Promise.resolve();
  #abandon = () => {
    this.#kill('SIGKILL');
    rmSync(this.#profile, { recursive: true, force: true });
  };

  constructor(driver, profile) {
    this.#driver = driver;
    this.#profile = profile;
    // A test run that is cut short must not leave a browser behind.
    process.once('exit', this.#abandon);
  }

  async start(args) {
    this.#base = `http://127.0.0.1:${await driverPort(this.#driver)}`;
    const { sessionId, capabilities } = await this.#request('POST', '/session', {
      capabilities: {
        alwaysMatch: {
          browserName: 'chrome',
          timeouts: { script: UNTIL_TIMEOUT, pageLoad: UNTIL_TIMEOUT },
          'goog:loggingPrefs': { browser: 'ALL' },
          'goog:chromeOptions': {
            args,
            ...(process.env.CHROMIUM && { binary: process.env.CHROMIUM }),
          },
        },
      },
    });
    this.#session = `/session/${sessionId}`;
    this.#chromium = capabilities['goog:processID'] ?? 0;
    this.#spare = await this.command('GET', '/window');
  }

  /** Opens `url` in a window of its own. */
  async open(url = 'about:blank') {
    const spare = this.#spare;
    this.#spare = undefined;
    const handle = spare ?? (await this.command('POST', '/window/new', { type: 'window' })).handle;
    const page = new Page(this, handle);
    await page.goto(url);
    return page;
  }

  /** Makes sure that a window is open besides those handed out: Chromium ends with its last one. */
  async keepOpen() {
    this.#spare ??= (await this.command('POST', '/window/new', { type: 'window' })).handle;
  }

  /** One WebDriver command of the session, in the window `handle` if given. Commands run one after the other. */
  command(method, path, body, handle) {
    const result = this.#queue.then(async () => {
      if (handle) await this.#request('POST', `${this.#session}/window`, { handle });
      return this.#request(method, this.#session + path, body);
    });
    this.#queue = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  /** Ends Chromium and chromedriver and removes the profile. */
  async close() {
    if (this.#session) {
      const ended = await this.#request('DELETE', this.#session).then(
        () => true,
        () => false,
      );
      if (ended) this.#chromium = 0;
    }
    const gone =
      this.#driver.exitCode ?? this.#driver.signalCode ?? (this.#driver.pid ? once(this.#driver, 'exit') : 0);
    this.#kill('SIGTERM');
    await gone;
    process.off('exit', this.#abandon);
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #kill(signal) {
    this.#driver.kill(signal);
    if (!this.#chromium) return;
    try {
      process.kill(this.#chromium, signal);
    } catch {
      // It has ended meanwhile.
    }
  }

  async #request(method, path, body) {
    const response = await fetch(this.#base + path, {
      method,
      ...(method === 'POST' && { body: JSON.stringify(body ?? {}) }),
      headers: { 'Content-Type': 'application/json' },
    });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }
}

/** One window. Made by `Browser.open`. */
export class Page {
  #browser;
  #handle;

  constructor(browser, handle) {
    this.#browser = browser;
    this.#handle = handle;
  }

  /** Loads `url` and waits for its load event. */
  goto(url) {
    return this.#command('POST', '/url', { url });
  }

  /** Loads the page again. */
  reload() {
    return this.#command('POST', '/refresh');
  }

  /** Goes one page back, out of the back/forward cache where it can. */
  back() {
    return this.#command('POST', '/back');
  }

  /** Calls `fn(...args)` in the page, awaits it there and returns its result (JSON). */
  async run(fn, ...args) {
    const script = `
      const done = arguments[arguments.length - 1];
      (async () => (${fn})(...arguments[0]))().then(
        (value) => done({ value }),
        (error) => done({ error: String((error && error.stack) || error) }));`;
    const { value, error } = await this.#command('POST', '/execute/async', { script, args: [args] });
    if (error !== undefined) throw new Error(`in the page: ${error}`);
    return value;
  }

  /**
   * Looks in the page until `fn(...args)` is truthy, and returns that value. Fails after 30 s with `fn` and what it
   * returned last.
   */
  async until(fn, ...args) {
    const give = Date.now() + UNTIL_TIMEOUT;
    for (;;) {
      const value = await this.run(
        `async (fnArgs) => {
          const end = Date.now() + ${LOOK};
          for (;;) {
            const value = await (${fn})(...fnArgs);
            if (value || Date.now() >= end) return value;
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        }`,
        args,
      );
      if (value) return value;
      if (Date.now() > give) throw new Error(`never came true (last: ${JSON.stringify(value)}): ${fn}`);
    }
  }

  /**
   * Clicks the first element that matches the CSS selector, as a user would: once it stands still. It must be visible
   * and not covered.
   */
  async click(selector) {
    await this.until(async (css) => {
      const place = () => JSON.stringify(document.querySelector(css)?.getBoundingClientRect());
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const before = place();
      await frame();
      await frame();
      return before !== undefined && place() === before;
    }, selector);
    await this.#command('POST', `/element/${await this.#element(selector)}/click`);
  }

  /** Types `text` into the first element that matches. */
  async type(selector, text) {
    await this.#command('POST', `/element/${await this.#element(selector)}/value`, { text });
  }

  /** The rendered text of the first element that matches. */
  async text(selector) {
    return this.#command('GET', `/element/${await this.#element(selector)}/text`);
  }

  /** Sets the size of the viewport, in CSS pixels: `resize(390, 844)` is a phone. */
  async resize(width, height) {
    await this.cdp('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  /** Writes the viewport as PNG. */
  async screenshot(path) {
    await writeFile(path, Buffer.from(await this.#command('GET', '/screenshot'), 'base64'));
  }

  /** What the console and failed requests said since the last call: `[{level, message, source}]`. */
  logs() {
    return this.#command('POST', '/se/log', { type: 'browser' });
  }

  /** One command of the Chrome DevTools Protocol. */
  cdp(cmd, params = {}) {
    return this.#command('POST', '/goog/cdp/execute', { cmd, params });
  }

  /**
   * Takes this window offline, or back. Fires the page's `offline` and `online` events; sockets that are open freeze
   * instead of closing, so cut connections belong into a relay.
   */
  async setOffline(offline) {
    await this.cdp('Network.enable');
    const unlimited = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await this.cdp('Network.emulateNetworkConditions', { offline, ...unlimited });
  }

  /** Closes the window. The browser stays, even without any. */
  async close() {
    await this.#browser.keepOpen();
    await this.#command('DELETE', '/window');
  }

  async #element(selector) {
    const found = await this.#command('POST', '/element', { using: 'css selector', value: selector });
    return found[ELEMENT];
  }

  #command(method, path, body) {
    return this.#browser.command(method, path, body, this.#handle);
  }
}

/** The port that chromedriver says it has taken. */
async function driverPort(driver) {
  const lines = createInterface({ input: driver.stdout });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('chromedriver did not start in time')), START_TIMEOUT);
    const settle = (how, value) => {
      clearTimeout(timer);
      how(value);
    };
    driver.once('error', (error) =>
      settle(reject, new Error(`chromedriver (Debian: chromium-driver): ${error.message}`)),
    );
    driver.once('exit', (code) => settle(reject, new Error(`chromedriver ended with ${code}`)));
    lines.on('line', (line) => {
      const port = /started successfully on port (\d+)/.exec(line);
      if (port) settle(resolve, port[1]);
    });
  });
}
