/** What the tests of history and presence have in common: a page, a fake server with a store, and what the page logs. */
import { after, afterEach, before, beforeEach } from 'node:test';
import { FakeServer } from './fake-server.mjs';
import { FakeStore } from './fake-store.mjs';
import { Site, connect, reaches } from './site.mjs';
import { openBrowser } from './webdriver.mjs';

export const QUICK = { backoff: { min: 10, max: 50 } };

/** Registers the hooks of a test file; the fields are there while its tests run. */
export class Fixture {
  #browser;
  site;
  server;
  store;
  page;

  constructor() {
    before(async () => {
      this.site = await new Site().start();
      this.#browser = await openBrowser();
    });
    after(async () => {
      await this.#browser?.close();
      await this.site?.stop();
    });
    beforeEach(async () => {
      this.store = new FakeStore();
      this.server = await new FakeServer({ answers: this.store.answers }).start();
      this.page = await this.#browser.open(this.site.url);
    });
    afterEach(async () => {
      await this.page.close();
      await this.server.stop();
    });
  }

  /** Another server in place of the usual one, whose answers differ. */
  async answering(answers) {
    await this.server.stop();
    this.server = await new FakeServer({ answers: { ...this.store.answers, ...answers } }).start();
  }

  /** Connects the page; resolves with the server's end. */
  async connected(options = QUICK) {
    await connect(this.page, this.server.url, options);
    await this.page.run(() => {
      Object.assign(window, { logs: {}, subs: {}, gone: [] });
      window.rt.on('missed', (missed) => window.gone.push(missed));
      const EVENTS = {
        subscribed: ({ members, ...rest }) => ({ ...rest, ...(members && { members: [...members.keys()] }) }),
        missed: ({ channel, ...loss }) => (channel === undefined ? 'without channel' : loss),
        error: ({ code }) => code,
        join: ({ user }) => user,
        leave: ({ user }) => user,
      };
      window.follow = (channel, { name = channel, deaf = [], ...settings } = {}) => {
        const log = [];
        const sub = window.rt.subscribe(channel, (data) => log.push(data), settings);
        for (const [event, kept] of Object.entries(EVENTS)) {
          if (!deaf.includes(event)) sub.on(event, (value) => log.push({ [event]: kept(value) }));
        }
        // Own properties, whatever the channel is called.
        for (const [object, value] of [
          [window.logs, log],
          [window.subs, sub],
        ]) {
          Object.defineProperty(object, name, { value, configurable: true });
        }
      };
    });
    const connection = await this.server.accept();
    await reaches(this.page, 'connected');
    return connection;
  }

  /** Follows `channel` and waits until the subscription stands, or is refused. */
  async follow(channel, settings = {}) {
    await this.page.run((name, options) => window.follow(name, options), channel, settings);
    await this.logged(settings.name ?? channel, 1);
  }

  /** What happened to the subscription `name`, once that are `count` things: data, or `{event: …}`. */
  async logged(name, count) {
    await this.page.until((key, number) => window.logs[key].length >= number, name, count);
    return this.log(name);
  }

  log(name) {
    return this.page.run((key) => window.logs[key], name);
  }

  position(name) {
    return this.page.run((key) => window.subs[key].position, name);
  }

  /** Breaks `connection`; resolves with the one that the page makes then. */
  async cut(connection) {
    connection.destroy();
    const next = await this.server.accept();
    await reaches(this.page, 'connected');
    return next;
  }
}
