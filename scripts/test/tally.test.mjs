import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const TALLY = fileURLToPath(new URL('../tally', import.meta.url));

function tally(log, failedSteps = 0) {
  return spawnSync(TALLY, [String(failedSteps)], { input: log })
    .stdout.toString()
    .trim()
    .split('\n')
    .at(-1);
}

test('the summaries of all kinds of suites are added up', () => {
  const log = `
test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
Number of tests :    20                19
Tests skipped   :     1 (  5.0%) --------
Tests warned    :     1 (  5.0%) (  5.3%)
Tests failed    :     2 ( 10.0%) ( 10.5%)
Tests passed    :    16 ( 80.0%) ( 84.2%)
ℹ tests 7
ℹ pass 4
ℹ fail 1
ℹ cancelled 1
ℹ skipped 1
ℹ todo 0
# pass 2
# fail 0`;
  assert.equal(tally(log), '38 passed, 6 failed, 5 skipped');
});

test('what tests print themselves is not counted', () => {
  assert.equal(tally('  # pass 3\nall 5 passed\ntest result of mine: 3 passed'), '0 passed, 0 failed, 0 skipped');
});

test('a step that failed without any failed test is a failure', () => {
  assert.equal(tally('ℹ pass 4\nℹ fail 0', 2), '4 passed, 2 failed, 0 skipped');
  assert.equal(tally('ℹ pass 4\nℹ fail 1', 2), '4 passed, 1 failed, 0 skipped');
});
