--TEST--
Thousands of calls leave no memory behind
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$down = new RealtimeClient('ws://127.0.0.1:1');
function work(Server $server, RealtimeClient $down, int $rounds): void
{
    for ($i = 0; $i < $rounds; $i++) {
        $rt = $server->client();
        $rt->broadcast("c$i", ['i' => $i, 'text' => str_repeat('x', 1000)], event: "e$i");
        $rt->broadcast(['a', "b$i"], $i);
        $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => $i]);
        $rt->broadcast('c', $i, confirm: 'later');
        $rt->sendToUser('u', $i, confirm: 'deferred', idempotencyKey: "k$i");
        $rt->flush();
        $rt->batch([['channel' => "c$i", 'data' => $i], ['channel' => ['a', ''], 'data' => $i]]);
        $rt->stats();
        try {
            $rt->subscribers('c');
        } catch (RealtimeServerException) {
        }
        try {
            $down->broadcast('c', 1, confirm: 'deferred');
            $down->flush();
        } catch (RealtimeConnectionException) {
            $down->discard();
        }
        try {
            $rt->broadcast(['a', ''], $i);
        } catch (RealtimeServerException) {
        }
        try {
            $down->broadcast('c', $i);
        } catch (RealtimeConnectionException) {
        }
        try {
            $rt->broadcast('c', NAN);
        } catch (JsonException) {
        }
    }
}
function resident(): int
{
    return (int) explode(' ', file_get_contents('/proc/self/statm'))[1] * 4096;
}
work($server, $down, 300);
$before = [memory_get_usage(), resident()];
work($server, $down, 1500);
$after = [memory_get_usage(), resident()];
var_dump($after[0] - $before[0] < 1000, $after[1] - $before[1] < 400_000);
?>
--SKIPIF--
<?php if (!is_readable('/proc/self/statm')) die('skip needs /proc'); ?>
--EXPECT--
bool(true)
bool(true)
