--TEST--
strict_types holds for our methods as for PHP's own
--FILE--
<?php
declare(strict_types=1);
require __DIR__ . '/inc/all.php';
$rt = new RealtimeClient('ws://127.0.0.1:1');
class Name { public function __toString(): string { return 'a'; } }
show(fn () => $rt->broadcast(42, 1));
show(fn () => $rt->broadcast(new Name, 1));
show(fn () => $rt->broadcast('a', 1, 5));
show(fn () => $rt->sendToUser(7, 1));
show(fn () => new RealtimeClient(timeout: '1'));
show(fn () => new RealtimeClient(timeout: 1));
?>
--EXPECT--
TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must be of type array|string, int given
TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must be of type array|string, Name given
TypeError: RealtimeClient::broadcast(): Argument #3 ($event) must be of type ?string, int given
TypeError: RealtimeClient::sendToUser(): Argument #1 ($user) must be of type string, int given
TypeError: RealtimeClient::__construct(): Argument #3 ($timeout) must be of type ?float, string given
RealtimeClient
