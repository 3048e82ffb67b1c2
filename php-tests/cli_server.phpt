--TEST--
Each worker of php -S has a connection of its own, and keeps it
--SKIPIF--
<?php if (PHP_OS_FAMILY === 'Windows') die('skip no workers'); ?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$directory = dirname($server->socket);
file_put_contents("$directory/router.php", '<?php (new RealtimeClient)->broadcast("c", 1); echo getmypid();');
// A process group of its own, since the master leaves its workers behind when it ends.
$command = ['setsid', PHP_BINARY, '-n', '-d', 'extension=' . getenv('REALTIME_EXTENSION'), '-d', "realtime.url={$server->url()}", '-d', "realtime.key=$server->key",
    '-S', '127.0.0.1:0', "$directory/router.php"];
$process = proc_open($command, [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['pipe', 'w']], $pipes, null, ['PHP_CLI_SERVER_WORKERS' => '3']);
while (!preg_match('~\(http://([\d.:]+)\) started~', $line = fgets($pipes[2]), $match)) {
}
// Nobody reads its access log any longer.
stream_set_blocking($pipes[2], false);
$workers = [];
for ($i = 0; $i < 60; $i++) {
    stream_get_contents($pipes[2]);
    $workers[file_get_contents("http://$match[1]/")] = true;
}
echo count($workers) === $server->publishers() ? 'one connection for each worker' : 'not one for each', "\n";
exec('kill -TERM -' . proc_get_status($process)['pid']);    // the shell's own kill knows no --
proc_close($process);
unlink("$directory/router.php");
?>
--EXPECT--
one connection for each worker
