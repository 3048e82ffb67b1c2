--TEST--
Over wss:// broadcasts arrive, over one connection, and the server's certificate is verified
--SKIPIF--
<?php if (!`command -v openssl`) die('skip needs the openssl command'); ?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$certificates = (new Certificates())->make('server');
$server = new Server($certificates->options('server'));
$port = tls_port($server);
$browser = Browser::subscribed($server->url(), 'orders');
$code = "
    foreach (['localhost', '127.0.0.1'] as \$host) {
        \$rt = new RealtimeClient(\"wss://\$host:$port\", '$server->key');
        for (\$i = 0; \$i < 3; \$i++) {
            \$rt->broadcast('orders', [\$host, \$i, str_repeat('x', 40000)]);
        }
        \$rt->broadcast('orders', 'later', confirm: 'later');
        \$rt->flush();
    }
    echo 'done';";
echo with_authority($certificates->path('server.pem'), $code), "\n";
for ($i = 0; $i < 8; $i++) {
    $data = $browser->receive('broadcast_update')['data'];
    echo is_array($data) ? "$data[0] $data[1] " . strlen($data[2]) : $data, "\n";
}
echo $server->publishers(), " connections\n";
?>
--EXPECT--
done
localhost 0 40000
localhost 1 40000
localhost 2 40000
later
127.0.0.1 0 40000
127.0.0.1 1 40000
127.0.0.1 2 40000
later
2 connections
