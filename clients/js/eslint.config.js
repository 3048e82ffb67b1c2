import js from '@eslint/js';

const names = (list) => Object.fromEntries(list.split(' ').map((name) => [name, 'readonly']));

const EVERYWHERE =
  'AbortController TextDecoder TextEncoder URL WebSocket atob btoa clearTimeout console crypto performance queueMicrotask setTimeout fetch';

export default [
  { ignores: ['realtime.js', 'realtime.global.js', 'realtime.d.ts'] },
  js.configs.recommended,
  {
    rules: {
      curly: ['error', 'multi-line', 'consistent'],
      eqeqeq: 'error',
      'no-shadow': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  { files: ['src/**'], languageOptions: { globals: names(`${EVERYWHERE} document`) } },
  {
    // Tests hand functions to the page, so they name what exists there too.
    files: ['build.mjs', 'eslint.config.js', 'test/**'],
    languageOptions: {
      globals: names(
        `${EVERYWHERE} process Buffer setImmediate window document navigator location Event Worker Blob Storage sessionStorage DOMException PageTransitionEvent requestAnimationFrame`,
      ),
    },
  },
];
