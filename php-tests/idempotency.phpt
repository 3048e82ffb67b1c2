--TEST--
Every broadcast has an idempotency key, and one whose connection breaks is sent again with it
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['close', 'close', 'answer']);
$rt = $server->client();
$receipt = $rt->broadcast('c', 1);
$frames = [$server->frame(), $server->frame(), $server->frame()];
var_dump($frames[0] === $frames[1] && $frames[1] === $frames[2], $frames[0]['key'] === $receipt->idempotencyKey);
var_dump(preg_match('/^~[A-Za-z0-9_-]{22}\.1$/', $receipt->idempotencyKey));

$receipts = [
    $rt->broadcast(['a', 'b'], 1, idempotencyKey: 'order 42: paid'),
    $rt->sendToUser('u', 1, idempotencyKey: 'k"\\ü'),
    $rt->sendToConnection('x', 1, idempotencyKey: '0'),
    $rt->tryBroadcast('c', 1, idempotencyKey: str_repeat('k', 200)),
    $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => 1, 'key' => 'mine']),
    $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => 1]),
];
foreach ($receipts as $receipt) {
    $key = $server->frame()['key'];
    echo $key === $receipt->idempotencyKey ? strlen($key) < 100 && $key[0] !== '~' ? $key : 'a key' : 'another key', "\n";
}
foreach (['', str_repeat('k', 201), "a\nb", "\xff", '~', '~mine', $receipt->idempotencyKey . '0'] as $key) {
    show(fn () => $rt->broadcast('c', 1, idempotencyKey: $key));
}
show(fn () => $rt->sendToConnection('c', 1, idempotencyKey: ''));
show(fn () => $rt->broadcast('c', 1, idempotencyKey: []));
show(fn () => $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => 1, 'key' => '~x']));

// No acknowledgement in time: the exception tells the key, and the caller repeats it.
$server = new FakeServer(['mute', 'answer']);
ini_set('realtime.retry_after', '0');
try {
    $server->client(0.2)->broadcast('c', 1);
} catch (RealtimeTimeoutException $timeout) {
    var_dump(str_contains($timeout->getMessage(), "repeat it with idempotencyKey: \"$timeout->idempotencyKey\""));
}
$again = $server->client()->broadcast('c', 1, idempotencyKey: $timeout->idempotencyKey);
var_dump($again->idempotencyKey === $timeout->idempotencyKey, array_column($server->commands(), 'key') === array_fill(0, 2, $again->idempotencyKey));
var_dump((new RealtimeException)->idempotencyKey);

// A server that knows no keys is never sent anything twice.
$server = new FakeServer(['close', 'answer'], ttl: null);
show(fn () => $server->client()->broadcast('c', 1));
echo count($server->commands()), " command\n";
?>
--EXPECTF--
bool(true)
bool(true)
int(1)
order 42: paid
k"\ü
0
a key
mine
a key
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must have between 1 and 200 bytes
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must have between 1 and 200 bytes
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must not contain control characters
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must be valid UTF-8
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must not begin with ~, which marks keys that the extension makes, unless this process has made it
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must not begin with ~, which marks keys that the extension makes, unless this process has made it
ValueError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must not begin with ~, which marks keys that the extension makes, unless this process has made it
ValueError: RealtimeClient::sendToConnection(): Argument #4 ($idempotencyKey) must have between 1 and 200 bytes
TypeError: RealtimeClient::broadcast(): Argument #5 ($idempotencyKey) must be of type ?string, array given
ValueError: RealtimeClient::send(): Argument #1 ($message) must have a valid "key": it must not begin with ~, which marks keys that the extension makes, unless this process has made it
bool(true)
bool(true)
bool(true)
NULL
RealtimeConnectionException: The connection to ws://127.0.0.1:%d was closed before the acknowledgement came. The message may have been delivered.
1 command
