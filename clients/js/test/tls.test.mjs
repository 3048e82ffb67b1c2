/** The client over wss://, in a browser that knows the server's certificate by its key, and in one that does not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { RealServer } from './real-server.mjs';
import { QUICK, Site, connect, reaches } from './site.mjs';
import { openBrowser } from './webdriver.mjs';

let directory, certificate, site, server;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'realtime-tls-'));
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(directory, name));
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', '/CN=test', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert],
    ],
    { stdio: 'ignore' },
  );
  certificate = new X509Certificate(readFileSync(cert));
  const settings = { REALTIME_TLS_LISTEN: '127.0.0.1:0', REALTIME_TLS_CERT: cert, REALTIME_TLS_KEY: key };
  server = await new RealServer().start({ settings });
  site = await new Site().start();
});
after(async () => {
  await site?.stop();
  await server?.stop();
  rmSync(directory, { recursive: true });
});

/** Runs `use` in a page of a browser with these flags. */
async function inBrowser(flags, use) {
  const browser = await openBrowser({ flags });
  try {
    await use(await browser.open(site.url));
  } finally {
    await browser.close();
  }
}

const url = () => `wss://127.0.0.1:${server.tlsPort}/`;

test('what is published arrives over wss, and the script comes over https', async () => {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  const pin = createHash('sha256').update(spki).digest('base64');
  await inBrowser([`--ignore-certificate-errors-spki-list=${pin}`], async (page) => {
    const script = `https://127.0.0.1:${server.tlsPort}/realtime.js`;
    assert.equal(await page.run(async (address) => typeof (await import(address)).Realtime, script), 'function');
    await connect(page, url(), QUICK);
    await reaches(page, 'connected');
    await page.run(() => window.listen('orders.42').then(() => {}));
    const data = ['short', 'x'.repeat(40_000), { grin: '😀' }];
    for (const value of data) {
      assert.equal((await server.publish({ channel: 'orders.42', data: value })).receivers, 1);
    }
    await page.until((count) => window.got['orders.42'].length === count, data.length);
    assert.deepEqual(await page.run(() => window.got['orders.42']), data);
    await page.run(() => window.rt.close());
  });
});

test('a browser that does not trust the certificate does not connect', async () => {
  await inBrowser([], async (page) => {
    await connect(page, url(), QUICK);
    await page.until(() => window.states.filter(([state]) => state === 'disconnected').length >= 2);
    assert.ok((await page.run(() => window.states)).every(([state]) => state !== 'connected'));
  });
});
