<?php

declare(strict_types=1);

require __DIR__ . '/Board.php';
require __DIR__ . '/Live.php';

if (!class_exists('RealtimeClient')) {
    throw new RuntimeException('the extension "realtime" is not loaded; `make demo` loads it from target/');
}
