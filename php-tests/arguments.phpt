--TEST--
Arguments follow PHP's own coercion and wording
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$rt = new RealtimeClient('ws://127.0.0.1:1');
foreach ([
    fn () => new RealtimeClient([]),
    fn () => new RealtimeClient(timeout: 'soon'),
    fn () => new RealtimeClient(timeout: NAN),
    fn () => new RealtimeClient(timeout: -1.0),
    fn () => new RealtimeClient(timeout: 0),
    fn () => new RealtimeClient(timeout: INF),
    fn () => new RealtimeClient(timeout: '1.5'),
    fn () => new RealtimeClient(timeout: null),
    fn () => $rt->broadcast(),
    fn () => $rt->broadcast('a'),
    fn () => $rt->broadcast('a', 1, null, null, null, 'ack', 5),
    fn () => $rt->broadcast('a', 1, []),
    fn () => $rt->broadcast('a', 1, exclude: new stdClass),
    fn () => $rt->broadcast(new stdClass, 1),
    fn () => $rt->broadcast(STDERR, 1),
    fn () => $rt->broadcast([], 1),
    fn () => $rt->broadcast(['a', []], 1),
    fn () => $rt->broadcast(["\xff"], 1),
    fn () => $rt->broadcast("\xff", 1),
    fn () => $rt->broadcast('a', 1, "\xff"),
    fn () => $rt->sendToUser([], 1),
    fn () => $rt->sendToConnection('x', 1, fn () => 1),
    fn () => $rt->send(5.5),
    fn () => $rt->send('[1]'),
    fn () => $rt->send(new stdClass),
    fn () => $rt->tryBroadcast(new stdClass, 1),
    fn () => $rt->ping(1),
] as $call) {
    show($call);
}
// These are strings to PHP.
class Name { public function __toString(): string { return 'a'; } }
foreach ([fn () => $rt->broadcast(42, 1), fn () => $rt->broadcast(new Name, 1), fn () => $rt->sendToUser(7, 1, event: 1.5), fn () => $rt->broadcast([42, 'b'], 1)] as $call) {
    try {
        $call();
    } catch (RealtimeConnectionException) {
        echo "understood\n";
    }
}
?>
--EXPECTF--
TypeError: RealtimeClient::__construct(): Argument #1 ($url) must be of type ?string, array given
TypeError: RealtimeClient::__construct(): Argument #3 ($timeout) must be of type ?float, string given
ValueError: RealtimeClient::__construct(): Argument #3 ($timeout) must be greater than 0 and at most 86400 seconds
ValueError: RealtimeClient::__construct(): Argument #3 ($timeout) must be greater than 0 and at most 86400 seconds
ValueError: RealtimeClient::__construct(): Argument #3 ($timeout) must be greater than 0 and at most 86400 seconds
ValueError: RealtimeClient::__construct(): Argument #3 ($timeout) must be greater than 0 and at most 86400 seconds
RealtimeClient
RealtimeClient
ArgumentCountError: RealtimeClient::broadcast() expects at least 2 arguments, 0 given
ArgumentCountError: RealtimeClient::broadcast() expects at least 2 arguments, 1 given
ArgumentCountError: RealtimeClient::broadcast() expects at most 6 arguments, 7 given
TypeError: RealtimeClient::broadcast(): Argument #3 ($event) must be of type ?string, array given
TypeError: RealtimeClient::broadcast(): Argument #4 ($exclude) must be of type ?string, stdClass given
TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must be of type array|string, stdClass given
TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must be of type array|string, resource given
ValueError: RealtimeClient::broadcast(): Argument #1 ($channel) must not be empty
TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must contain only values of type string, array given
ValueError: RealtimeClient::broadcast(): Argument #1 ($channel) must contain only valid UTF-8
ValueError: RealtimeClient::broadcast(): Argument #1 ($channel) must be valid UTF-8
ValueError: RealtimeClient::broadcast(): Argument #3 ($event) must be valid UTF-8
TypeError: RealtimeClient::sendToUser(): Argument #1 ($user) must be of type string, array given
TypeError: RealtimeClient::sendToConnection(): Argument #3 ($event) must be of type ?string, Closure given
ValueError: RealtimeClient::send(): Argument #1 ($message) must be a JSON object: %s
ValueError: RealtimeClient::send(): Argument #1 ($message) must be a JSON object: %s
TypeError: RealtimeClient::send(): Argument #1 ($message) must be of type array|string, stdClass given
TypeError: RealtimeClient::tryBroadcast(): Argument #1 ($channel) must be of type array|string, stdClass given
ArgumentCountError: RealtimeClient::ping() expects exactly 0 arguments, 1 given
understood
understood
understood
understood
