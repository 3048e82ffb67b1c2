--TEST--
After a restart of the server the first broadcast works
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$tcp = $server->client();
$unix = new RealtimeClient("unix://$server->socket");
foreach ([Server::TERM, Server::KILL, Server::TERM] as $signal) {
    var_dump($tcp->broadcast('c', 1)->acknowledged, $unix->broadcast('c', 1)->acknowledged);
    $server->restart($signal);
}
var_dump($tcp->broadcast('c', 1)->acknowledged, $unix->broadcast('c', 1)->acknowledged);
// Refused and missing sockets are tried at each call.
$server->stop();
foreach ([$tcp, $unix, $tcp, $unix] as $rt) {
    try {
        $rt->ping();
    } catch (RealtimeConnectionException) {
        echo "down\n";
    }
}
$server->start();
var_dump($tcp->ping() > 0, $unix->ping() > 0);
?>
--EXPECT--
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
down
down
down
down
bool(true)
bool(true)
