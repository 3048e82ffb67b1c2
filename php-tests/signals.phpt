--TEST--
A signal does not end a wait
--INI--
realtime.timeout=1.5
--EXTENSIONS--
pcntl
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$mute = new MuteServer();
pcntl_async_signals(true);
pcntl_signal(SIGUSR1, fn () => print "signal\n", restart_syscalls: false);
$parent = getmypid();
$child = pcntl_fork();
if ($child === 0) {
    // The parent's connection in the queue is the sign that it waits.
    [$read, $write, $except] = [[$mute->listener], null, null];
    stream_select($read, $write, $except, Server::PATIENCE);
    $connection = stream_socket_accept($mute->listener);
    fread($connection, 1);
    exec("kill -USR1 $parent");
    // Until the parent has given up.
    while (fread($connection, 8192) !== '') {
    }
    pcntl_exec('/bin/sh', ['-c', 'exit 0']);
}
show(fn () => (new RealtimeClient($mute->url()))->ping());
pcntl_waitpid($child, $status);
?>
--EXPECTF--
%ARealtimeConnectionException: Could not connect to ws://127.0.0.1:%d: no answer within 1.0 s. Is a firewall in between, or the server stopped?
