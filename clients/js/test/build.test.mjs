/** The generated files, and what the sources may not do so that they can be generated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundle, classic, outdated } from '../build.mjs';

const from = (files) => bundle(async (name) => files[name], 'entry.js');

test('realtime.js and realtime.global.js are what build.mjs makes of src/', async () => {
  assert.deepEqual(await outdated(), [], 'run `npm run build` in clients/js');
});

test('modules are joined once each, in the order in which they need each other', async () => {
  const text = await from({
    'entry.js': "import { b } from './b.js';\nimport {\n  c,\n} from './c.js';\nexport class Entry {}\n",
    'b.js': "import { c } from './c.js';\nexport class B {}\n",
    'c.js': 'export function c() {}\n',
  });
  assert.deepEqual(text.match(/^(export )?(class|function) \w+/gm), ['function c', 'class B', 'export class Entry']);
  assert.doesNotMatch(text, /import/);
});

test('a module that cannot be joined, or not become a classic script, is refused', async () => {
  await assert.rejects(from({ 'entry.js': "import x from 'y';\n" }), /does not know/);
  await assert.rejects(
    from({ 'entry.js': "import { a } from './a.js';\n", 'a.js': 'export const a = 1;\n' }),
    /more than classes/,
  );
  assert.throws(() => classic("import x from 'y';\nexport class A {}\n"), /imports/);
  assert.throws(() => classic('export const a = 1;\n'), /other than classes/);
});
