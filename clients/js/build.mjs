/**
 * Generates realtime.global.js, the classic script, from realtime.js, the module: `npm run build`, without any
 * dependency. The result is committed, since the server embeds both; a test compares it. With `--check` nothing is
 * written, and the exit code tells whether the file is current.
 */
import { readFile, writeFile } from 'node:fs/promises';

const SOURCE = new URL('realtime.js', import.meta.url);
const TARGET = new URL('realtime.global.js', import.meta.url);

/** The classic script: the module in a function of its own, of which only `Realtime` gets out. */
export function classic(module) {
  const body = module.replace(/^export (?=class )/gm, '');
  if (/^(import|export)\b/m.test(body)) throw new Error('realtime.js imports, or exports something other than classes');
  return `// Generated from realtime.js by build.mjs. Do not edit.\n(() => {\n'use strict';\n${body}\nglobalThis.Realtime = Realtime;\n})();\n`;
}

/** Whether the generated file belongs to the module as it is now. */
export async function isCurrent() {
  const current = await readFile(TARGET, 'utf8').catch(() => '');
  return current === classic(await readFile(SOURCE, 'utf8'));
}

if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  if (process.argv.includes('--check')) {
    if (!(await isCurrent())) {
      console.error('realtime.global.js is not current: run `npm run build`');
      process.exitCode = 1;
    }
  } else {
    await writeFile(TARGET, classic(await readFile(SOURCE, 'utf8')));
  }
}
