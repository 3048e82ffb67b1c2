<?php

declare(strict_types=1);

// Does the long jobs, as a queue worker does in a real application: no web request waits for them.

require __DIR__ . '/src/bootstrap.php';

const STEPS = 20;
const STEP_MICROSECONDS = 200_000;
const POLL_MICROSECONDS = 100_000;

$board = Board::open();
$live = new Live();
for (;;) {
    $job = $board->takeJob();
    if ($job === null) {
        usleep(POLL_MICROSECONDS); // SQLite cannot wake anybody; a real queue would
        continue;
    }
    for ($step = 1; $step <= STEPS; $step++) {
        usleep(STEP_MICROSECONDS); // stands for the work
        // The connection comes back with it: the window may have reconnected meanwhile.
        $live->jobProgress($board->progress($job['id'], intdiv(100 * $step, STEPS)));
    }
}
