<?php

require __DIR__ . '/server.php';
require __DIR__ . '/browser.php';
require __DIR__ . '/fpm.php';
require __DIR__ . '/fake.php';
require __DIR__ . '/tls.php';
require __DIR__ . '/manual.php';

/** Runs $code and shows what it throws, one line. */
function show(callable $code): void
{
    try {
        $result = $code();
        echo is_object($result) ? $result::class : json_encode($result), "\n";
    } catch (Throwable $error) {
        echo $error::class, ': ', $error->getMessage(), "\n";
    }
}

/** Another PHP process with the extension; its output, errors included. */
function run_php(string ...$arguments): string
{
    $command = array_map(escapeshellarg(...), [PHP_BINARY, '-n', '-d', 'extension=' . getenv('REALTIME_EXTENSION'), ...$arguments]);
    return (string) shell_exec(implode(' ', $command) . ' 2>&1');
}
