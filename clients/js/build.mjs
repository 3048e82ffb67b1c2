/**
 * Joins src/ into realtime.js, the module, and makes realtime.global.js, the classic script, of it: `npm run build`,
 * without any dependency. The results are committed, since the server embeds both; a test compares them. With `--check`
 * nothing is written, and the exit code tells whether the files are current.
 */
import { readFile, writeFile } from 'node:fs/promises';

const ENTRY = 'realtime.js';
const IMPORT = /^import \{[^}]*\} from '\.\/([\w-]+\.js)';\n/gm;
const HEAD = '// Generated from clients/js/src/ by build.mjs. Do not edit.\n';

/**
 * One module out of several, each after those that it imports. Of what they export only the entry's is left.
 *
 * @param {(name: string) => Promise<string>} read
 */
export async function bundle(read, entry = ENTRY) {
  const parts = new Map();
  const add = async (name) => {
    if (parts.has(name)) return;
    parts.set(name, ''); // Before its imports: a circle would go round for ever.
    const text = await read(name);
    for (const [, imported] of text.matchAll(IMPORT)) await add(imported);
    const body = text.replace(IMPORT, '').replaceAll("'../realtime.js'", "'./realtime.d.ts'");
    if (/^import\b/m.test(body)) throw new Error(`${name} imports in a way that build.mjs does not know`);
    const inner = name === entry ? body : body.replace(/^export (?=class |function )/gm, '');
    if (name !== entry && /^export\b/m.test(inner)) throw new Error(`${name} exports more than classes and functions`);
    parts.delete(name);
    parts.set(name, inner.trim());
  };
  await add(entry);
  return `${HEAD}\n${[...parts.values()].join('\n\n')}\n`;
}

/** The classic script: the module in a function of its own, of which only `Realtime` gets out. */
export function classic(module) {
  const body = module.replace(/^export (?=class )/gm, '');
  if (/^(import|export)\b/m.test(body)) throw new Error('realtime.js imports, or exports something other than classes');
  return `(() => {\n'use strict';\n${body}\nglobalThis.Realtime = Realtime;\n})();\n`;
}

/** Both files, as they have to be now. */
async function build() {
  const module = await bundle((name) => readFile(new URL(`src/${name}`, import.meta.url), 'utf8'));
  return { 'realtime.js': module, 'realtime.global.js': classic(module) };
}

/** The names of those generated files that do not belong to the sources as they are now. */
export async function outdated() {
  const names = [];
  for (const [name, text] of Object.entries(await build())) {
    const current = await readFile(new URL(name, import.meta.url), 'utf8').catch(() => '');
    if (current !== text) names.push(name);
  }
  return names;
}

if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  if (process.argv.includes('--check')) {
    const names = await outdated();
    if (names.length) {
      console.error(`not current: ${names.join(', ')}; run \`npm run build\``);
      process.exitCode = 1;
    }
  } else {
    for (const [name, text] of Object.entries(await build())) await writeFile(new URL(name, import.meta.url), text);
  }
}
