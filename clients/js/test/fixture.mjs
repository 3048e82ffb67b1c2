/** What the tests of history and presence have in common: a page, a fake server with a store, and what the page logs. */
import { beforeEach } from 'node:test';
import { FakeStore } from './fake-store.mjs';
import { QUICK, page, serve, server } from './scene.mjs';
import { connect, reaches } from './site.mjs';

/** The store is there while a test runs. */
export class Fixture {
  store;

  constructor() {
    beforeEach(async () => {
      this.store = new FakeStore();
      await this.answering({});
    });
  }

  /** Another server in place of the usual one, whose answers differ. */
  async answering(answers) {
    await serve({ answers: { ...this.store.answers, ...answers } });
  }

  /** Connects the page; resolves with the server's end. */
  async connected(options = QUICK) {
    await connect(page, server.url, options);
    await page.run(() => {
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
    const connection = await server.accept();
    await reaches(page, 'connected');
    return connection;
  }

  /** Follows `channel` and waits until the subscription stands, or is refused. */
  async follow(channel, settings = {}) {
    await page.run((name, options) => window.follow(name, options), channel, settings);
    await this.logged(settings.name ?? channel, 1);
  }

  /** What happened to the subscription `name`, once that are `count` things: data, or `{event: …}`. */
  async logged(name, count) {
    await page.until((key, number) => window.logs[key].length >= number, name, count);
    return this.log(name);
  }

  log(name) {
    return page.run((key) => window.logs[key], name);
  }

  position(name) {
    return page.run((key) => window.subs[key].position, name);
  }

  /** Breaks `connection`; resolves with the one that the page makes then. */
  async cut(connection) {
    connection.destroy();
    const next = await server.accept();
    await reaches(page, 'connected');
    return next;
  }
}
