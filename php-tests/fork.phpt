--TEST--
A child never uses its parent's connection
--EXTENSIONS--
pcntl
--FILE--
<?php
require __DIR__ . '/inc/all.php';
/** Ends a child without the destructors of what belongs to its parent. */
function leave(): never
{
    pcntl_exec('/bin/sh', ['-c', 'exit 0']);
    exit;
}
$server = new Server();
$browser = Browser::subscribed($server->url(), 'c');
foreach ([$server->client(), new RealtimeClient("unix://$server->socket")] as $rt) {
    $rt->broadcast('c', 'before');
    for ($i = 0; $i < 3; $i++) {
        $child = pcntl_fork();
        if ($child === 0) {
            $rt->broadcast('c', 'child');
            $rt->broadcast('c', 'child');
            leave();
        }
        $rt->broadcast('c', 'parent');
        pcntl_waitpid($child, $status);
        $rt->broadcast('c', 'parent');
    }
    // A child that never publishes closes nothing of its parent's.
    if (($child = pcntl_fork()) === 0) {
        leave();
    }
    pcntl_waitpid($child, $status);
    $rt->broadcast('c', 'after');
}
$counts = array_count_values(array_column($browser->drain($server->client(), 'c'), 'data'));
ksort($counts);
echo json_encode($counts), "\n";
echo $server->publishers(), " connections\n";
?>
--EXPECT--
{"after":2,"before":2,"child":12,"parent":12}
8 connections
