--TEST--
confirm: 'later' waits for no acknowledgement; flush() and the end of the request do
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['hold']);
$rt = $server->client();
$sent = [];
foreach ([$rt->broadcast('a', 1, confirm: 'later'), $rt->sendToUser('u', 2, confirm: 'later'), $rt->sendToConnection('x', 3, confirm: 'later'), $rt->tryBroadcast(['a', 'b'], 4, confirm: 'later')] as $receipt) {
    echo json_encode([$receipt->acknowledged, $receipt->receivers, $receipt->channels]), "\n";
    $sent[] = $receipt->idempotencyKey;
}
for ($i = 0; $i < 4; $i++) {
    // It has been written already.
    echo $server->frame()['data'], ' ';
}
echo $rt->stats()['outstanding'], " outstanding\n";
$server->release();
$receipts = $rt->flush();
var_dump(array_column($receipts, 'idempotencyKey') === $sent, array_column($receipts, 'acknowledged'), $receipts[0]->channels);
echo json_encode($rt->flush()), json_encode($rt->stats()), "\n";
show(fn () => $rt->broadcast('c', 1, confirm: 'sometime'));
show(fn () => $rt->broadcast('c', 1, confirm: null));
show(fn () => $rt->sendToConnection('c', 1, confirm: ''));

// What the server refused is in the list.
$server = new FakeServer(['answer'], replies: ['broadcast_update' => ['{"type":"error","id":ID,"code":"forbidden","message":"not here"}', '{"type":"ack","id":ID,"receivers":2}']]);
$rt = $server->client();
$refused = $rt->broadcast('c', 1, confirm: 'later');
$rt->broadcast('c', 2, confirm: 'later');
[$error, $receipt] = $rt->flush();
echo $error::class, ": {$error->getMessage()}, $error->serverCode, ", $error->idempotencyKey === $refused->idempotencyKey ? 'its key' : 'another key', "; $receipt->receivers receivers\n";

// A connection that breaks: all again, in order, before what is newer.
$server = new FakeServer(['close', 'answer']);
$rt = $server->client();
$rt->broadcast('c', 1, confirm: 'later');
$rt->broadcast('c', 2, confirm: 'later');
$rt->broadcast('c', 3);
$published = $server->published();
echo json_encode(array_slice($published, -3)), "\n";
// A real server, with more than may be outstanding.
$server = new Server();
$browser = Browser::subscribed($server->url(), 'c');
foreach ([$server->client(), new RealtimeClient("unix://$server->socket")] as $rt) {
    for ($i = 0; $i < 3000; $i++) {
        $rt->broadcast('c', $i, confirm: 'later');
    }
    $rt->flush();
    var_dump(array_column($browser->drain($server->client(), 'c'), 'data') === range(0, 2999));
}
?>
--EXPECT--
[false,0,[]]
[false,0,[]]
[false,0,[]]
[false,0,[]]
1 2 3 4 4 outstanding
bool(true)
array(4) {
  [0]=>
  bool(true)
  [1]=>
  bool(true)
  [2]=>
  bool(true)
  [3]=>
  bool(true)
}
array(1) {
  ["a"]=>
  array(3) {
    ["receivers"]=>
    int(1)
    ["epoch"]=>
    NULL
    ["offset"]=>
    NULL
  }
}
[]{"sent":4,"acknowledged":4,"resent":0,"failed":0,"dropped":0,"outstanding":0,"deferred":0,"connects":1}
ValueError: RealtimeClient::broadcast(): Argument #6 ($confirm) must be "ack", "later" or "deferred"
TypeError: Argument `$confirm` must not be null
ValueError: RealtimeClient::sendToConnection(): Argument #5 ($confirm) must be "ack", "later" or "deferred"
RealtimeServerException: not here (forbidden), forbidden, its key; 2 receivers
[1,2,3]
bool(true)
bool(true)
