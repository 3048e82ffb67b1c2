--TEST--
Objects with the same URL and key share the connection of their process
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
for ($i = 0; $i < 200; $i++) {
    $server->client()->broadcast('c', $i);
    $kept[] = $server->client();
}
$kept[7]->ping();
unset($kept);
gc_collect_cycles();
$server->client()->ping();
register_shutdown_function(function () use ($server) {
    // Destructors, fibers and shutdown functions are nothing special.
    $fiber = new Fiber(function () use ($server) {
        Fiber::suspend($server->client()->broadcast('c', 1)->acknowledged);
    });
    var_dump($fiber->start());
    echo $server->publishers(), " connection\n";
});
?>
--EXPECT--
bool(true)
1 connection
