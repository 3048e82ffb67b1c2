--TEST--
disconnectUser(), unsubscribeUser() and revokeTokens() tell the server, and again when the connection breaks
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['close', 'answer'], replies: [
    'disconnect' => ['{"type":"ack","id":ID,"receivers":2}', '{"type":"ack","id":ID,"receivers":0}'],
    'unsubscribe' => ['{"type":"ack","id":ID,"receivers":3}', '{"type":"error","id":ID,"code":"invalid_name","message":"channel names must not be empty"}'],
    'revoke' => '{"type":"ack","id":ID,"receivers":1}',
]);
$rt = $server->client();
show(fn () => $rt->disconnectUser('u7', reason: 'banned'));
show(fn () => $rt->disconnectUser('ü7'));
show(fn () => $rt->unsubscribeUser('u7', 'orders.42'));
show(fn () => $rt->unsubscribeUser('u7', ''));
show(fn () => $rt->revokeTokens('u7'));
foreach ($server->commands() as $command) {
    unset($command['id']);
    echo json_encode($command, JSON_UNESCAPED_UNICODE), "\n";
}
// They are no broadcasts.
echo json_encode(array_filter($rt->stats())), "\n";
foreach ([
    fn () => $rt->disconnectUser(),
    fn () => $rt->disconnectUser([]),
    fn () => $rt->unsubscribeUser('u7'),
    fn () => $rt->revokeTokens("\xff"),
    fn () => (new RealtimeClient('ws://127.0.0.1:1'))->revokeTokens('u7'),
] as $wrong) {
    show($wrong);
}
?>
--EXPECT--
2
0
3
RealtimeServerException: channel names must not be empty (invalid_name)
1
{"type":"disconnect","user":"u7","reason":"banned"}
{"type":"disconnect","user":"u7","reason":"banned"}
{"type":"disconnect","user":"ü7"}
{"type":"unsubscribe","user":"u7","channel":"orders.42"}
{"type":"unsubscribe","user":"u7","channel":""}
{"type":"revoke","user":"u7"}
{"connects":2}
ArgumentCountError: RealtimeClient::disconnectUser() expects at least 1 argument, 0 given
TypeError: RealtimeClient::disconnectUser(): Argument #1 ($user) must be of type string, array given
ArgumentCountError: RealtimeClient::unsubscribeUser() expects exactly 2 arguments, 1 given
ValueError: RealtimeClient::revokeTokens(): Argument #1 ($user) must be valid UTF-8
RealtimeConnectionException: Could not connect to ws://127.0.0.1:1: Connection refused (os error 111). Is realtime-server running there?
