--TEST--
One user, one connection
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server(['--dev']);
$rt = $server->client();
$browsers = [];
foreach (['u7', 'u7', 'u8'] as $user) {
    $browsers[] = $browser = new Browser($server->url(), [['action' => 'register', 'userId' => $user, 'channels' => ['general']]]);
    echo json_encode($browser->receive('connected')), "\n";
    $browser->receive('subscribed');
}
[$phone, $laptop, $other] = $browsers;
$receipt = $rt->sendToUser('u7', 'for you', event: 'hint', exclude: $laptop->connection);
var_dump($receipt->receivers, $receipt->channels);
var_dump($rt->sendToUser('nobody', 1)->receivers);
$receipt = $rt->sendToConnection($other->connection, ['percent' => 50]);
var_dump($receipt->receivers, $rt->sendToConnection('gone', 1)->receivers);
$rt->sendToUser('u7', 'the end');
foreach ([$phone, $phone, $laptop, $other] as $browser) {
    echo json_encode($browser->receive('message')), "\n";
}
show(fn () => $rt->sendToUser('', 1));
show(fn () => $rt->sendToConnection('', 1));
?>
--EXPECT--
{"type":"connected","user":"u7"}
{"type":"connected","user":"u7"}
{"type":"connected","user":"u8"}
int(1)
array(0) {
}
int(0)
int(1)
int(0)
{"type":"message","event":"hint","user":true,"data":"for you"}
{"type":"message","user":true,"data":"the end"}
{"type":"message","user":true,"data":"the end"}
{"type":"message","data":{"percent":50}}
RealtimeServerException: user ids must not be empty (invalid_name)
RealtimeServerException: connection ids must not be empty (invalid_name)
