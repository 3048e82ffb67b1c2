--TEST--
php-fpm workers survive a restart of the server, and one that hangs costs each of them one timeout
--SKIPIF--
<?php
require __DIR__ . '/inc/all.php';
if (Fpm::binary() === null) die('skip no php-fpm of this version');
?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$mute = new MuteServer();
$fpm = new Fpm(2, ['realtime.url' => $server->url(), 'realtime.key' => $server->key, 'realtime.retry_after' => 3600, 'realtime.timeout' => 0.3]);
$script = $fpm->script('publish', <<<'PHP'
    ini_set('realtime.timeout', '20');
    try {
        echo (new RealtimeClient)->broadcast('c', 1)->acknowledged ? 'acknowledged' : 'lost';
    } catch (RealtimeException $error) {
        echo $error::class;
    }
    PHP);
$mute_script = $fpm->script('mute', <<<PHP
    try {
        (new RealtimeClient('{$mute->url()}'))->ping();
    } catch (RealtimeException \$error) {
        echo str_contains(\$error->getMessage(), 'retry_after') ? 'at once' : 'timeout';
    }
    PHP);
/** Two requests at once, $times times: how often each answer came. */
$both = function (string $script, int $times) use ($fpm): void {
    $answers = [];
    for ($i = 0; $i < $times; $i++) {
        $requests = [$fpm->begin($script), $fpm->begin($script)];
        foreach ($requests as $request) {
            $answers[] = $fpm->finish($request);
        }
    }
    $answers = array_count_values($answers);
    ksort($answers);
    echo json_encode($answers), "\n";
};
$both($script, 20);
$server->restart();
$both($script, 20);
$server->stop(Server::KILL);
$both($script, 5);
$server->start();
$both($script, 20);
// At most one per worker; both at once, so both have waited after the first two requests.
$both($mute_script, 1);
$both($mute_script, 20);
echo $mute->connections(), " connections\n";
?>
--EXPECT--
{"acknowledged":40}
{"acknowledged":40}
{"RealtimeConnectionException":10}
{"acknowledged":40}
{"timeout":2}
{"at once":40}
2 connections
