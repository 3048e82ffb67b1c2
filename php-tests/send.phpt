--TEST--
send() takes a whole message, as an array or as JSON
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$browser = Browser::subscribed($server->url(), 'c', 'd');
$rt = $server->client();
$message = ['type' => 'broadcast_update', 'channel' => 'c', 'data' => ['a' => [1, 2.5, null]], 'id' => 'mine'];
foreach ([$message, json_encode($message, JSON_PRETTY_PRINT), ['type' => 'broadcast_update', 'channels' => ['c', 'd'], 'data' => 'x']] as $one) {
    $receipt = $rt->send($one);
    echo $receipt->receivers, ' ', json_encode($receipt->channels), "\n";
}
foreach ($browser->drain($rt, 'c', 'd') as $update) {
    echo json_encode($update), "\n";
}
show(fn () => $rt->send(['type' => 'nonsense']));
show(fn () => $rt->send(['type' => 'broadcast_update', 'data' => 1]));
show(fn () => $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => NAN]));
show(fn () => $rt->send(['type' => 'ping']));
?>
--EXPECTF--
1 {"c":{"receivers":1,"epoch":null,"offset":null}}
1 {"c":{"receivers":1,"epoch":null,"offset":null}}
2 {"c":{"receivers":1,"epoch":null,"offset":null},"d":{"receivers":1,"epoch":null,"offset":null}}
{"type":"broadcast_update","channel":"c","data":{"a":[1,2.5,null]}}
{"type":"broadcast_update","channel":"c","data":{"a":[1,2.5,null]}}
{"type":"broadcast_update","channel":"c","data":"x"}
{"type":"broadcast_update","channel":"d","data":"x"}
RealtimeServerException: %s (unknown_type)
RealtimeServerException: %s (bad_request)
JsonException: Inf and NaN cannot be JSON encoded
RealtimeReceipt
