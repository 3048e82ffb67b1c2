--TEST--
confirm: 'deferred' waits in memory for flush() or the end of the request; discard() drops it
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['answer']);
$rt = $server->client();
$other = $server->client();
$first = $rt->broadcast('a', 1, confirm: 'deferred');
$rt->sendToUser('u', 2, confirm: 'deferred');
$other->broadcast('b', 3, confirm: 'deferred');
echo json_encode([$first->acknowledged, $first->receivers, $first->channels, strlen($first->idempotencyKey) > 24]), "\n";
echo json_encode($rt->stats()), "\n";
$receipts = $rt->flush();
echo json_encode([count($receipts), $receipts[0]->acknowledged, $receipts[0]->idempotencyKey === $first->idempotencyKey]), "\n";
echo json_encode(array_column($server->frame(), 'data')), json_encode($server->published()), "\n";
$rt->broadcast('a', 4, confirm: 'deferred');
echo $rt->discard(), $rt->discard(), $other->discard(), json_encode($rt->flush()), json_encode($server->published()), "\n";
echo json_encode($rt->stats()), "\n";
// Encoding happens at once.
show(fn () => $rt->broadcast('c', NAN, confirm: 'deferred'));
// What cannot be sent stays.
$down = new RealtimeClient('ws://127.0.0.1:1');
$down->broadcast('c', 1, confirm: 'deferred');
show(fn () => $down->flush());
echo $down->discard(), "\n";
?>
--EXPECT--
[false,0,[],true]
{"sent":0,"acknowledged":0,"resent":0,"failed":0,"dropped":0,"outstanding":0,"deferred":3,"connects":0}
[2,true,true]
[1,2][]
101[][]
{"sent":2,"acknowledged":2,"resent":0,"failed":0,"dropped":2,"outstanding":0,"deferred":0,"connects":1}
JsonException: Inf and NaN cannot be JSON encoded
RealtimeConnectionException: Could not connect to ws://127.0.0.1:1: Connection refused (os error 111). Is realtime-server running there?
1
