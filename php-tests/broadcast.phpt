--TEST--
A broadcast reaches every subscriber, and the receipt says how many
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$first = Browser::subscribed($server->url(), 'orders', '42');
$second = Browser::subscribed($server->url(), 'orders');
foreach ([$server->client(), new RealtimeClient("unix://$server->socket")] as $rt) {
    $receipt = $rt->broadcast('orders', ['id' => 7, 'text' => 'é/ü', 'price' => 1.5]);
    var_dump($receipt->acknowledged, $receipt->receivers);
    echo json_encode($receipt->channels), "\n";
    foreach ([$first, $second] as $browser) {
        echo json_encode($browser->receive('broadcast_update'), JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES), "\n";
    }
    $receipt = $rt->broadcast(['orders', '42', 'empty'], null, event: 'updated', exclude: $second->connection);
    var_dump($receipt->receivers, array_keys($receipt->channels), $receipt->channels['42']['receivers']);
    echo json_encode($first->receive('broadcast_update')), json_encode($first->receive('broadcast_update')), "\n";
    echo json_encode($second->drain($rt, 'orders')), "\n";
}
var_dump($rt->ping() > 0);
?>
--EXPECT--
bool(true)
int(2)
{"orders":{"receivers":2,"epoch":null,"offset":null}}
{"type":"broadcast_update","channel":"orders","data":{"id":7,"text":"é/ü","price":1.5}}
{"type":"broadcast_update","channel":"orders","data":{"id":7,"text":"é/ü","price":1.5}}
int(2)
array(3) {
  [0]=>
  string(6) "orders"
  [1]=>
  int(42)
  [2]=>
  string(5) "empty"
}
int(1)
{"type":"broadcast_update","channel":"orders","event":"updated","data":null}{"type":"broadcast_update","channel":"42","event":"updated","data":null}
[]
bool(true)
int(2)
{"orders":{"receivers":2,"epoch":null,"offset":null}}
{"type":"broadcast_update","channel":"orders","data":{"id":7,"text":"é/ü","price":1.5}}
{"type":"broadcast_update","channel":"orders","data":{"id":7,"text":"é/ü","price":1.5}}
int(2)
array(3) {
  [0]=>
  string(6) "orders"
  [1]=>
  int(42)
  [2]=>
  string(5) "empty"
}
int(1)
{"type":"broadcast_update","channel":"orders","event":"updated","data":null}{"type":"broadcast_update","channel":"42","event":"updated","data":null}
[]
bool(true)
