--TEST--
A server that does not answer costs one timeout, then calls fail at once until retry_after is over
--INI--
realtime.timeout=0.2
realtime.retry_after=3600
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$mute = new MuteServer();
$rt = new RealtimeClient($mute->url());
for ($i = 0; $i < 4; $i++) {
    show(fn () => $rt->broadcast('c', 1));
}
echo $mute->connections(), " connection\n";
show(fn () => (new RealtimeClient($mute->url(), 'another-key'))->ping());
echo $mute->connections(), " connections\n";

// One that stops after it has worked: what it took may have been delivered.
$server = new Server();
$rt = $server->client();
$rt->ping();
$server->freeze();
show(fn () => $rt->broadcast('c', 1));
show(fn () => $rt->broadcast('c', 1));
$server->thaw();
show(fn () => $rt->broadcast('c', 1));
ini_set('realtime.timeout', '20');
show(fn () => (new RealtimeClient("unix://$server->socket"))->broadcast('c', 1));
?>
--EXPECTF--
RealtimeConnectionException: Could not connect to ws://127.0.0.1:%d: no answer within 0.2 s. Is a firewall in between, or the server stopped?
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
1 connection
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
0 connections
RealtimeTimeoutException: ws://127.0.0.1:%d sent no acknowledgement within 0.2 s (realtime.timeout). The message may have been delivered; repeat it with idempotencyKey: "~%s.%d", so that it is delivered once.
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
RealtimeConnectionException: ws://127.0.0.1:%d did not answer a moment ago; it is tried again in 3%d.%d s (realtime.retry_after)
RealtimeReceipt
