/** The generated file, and what the module may not do so that it can be generated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classic, isCurrent } from '../build.mjs';

test('realtime.global.js is what build.mjs makes of realtime.js', async () => {
  assert.ok(await isCurrent(), 'run `npm run build` in clients/js');
});

test('a module that cannot become a classic script is refused', () => {
  assert.throws(() => classic("import x from 'y';\nexport class A {}\n"), /imports/);
  assert.throws(() => classic('export const a = 1;\n'), /other than classes/);
});
