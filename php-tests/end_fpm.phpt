--TEST--
Under php-fpm the user has the whole response before acknowledgements are awaited
--SKIPIF--
<?php
require __DIR__ . '/inc/all.php';
if (Fpm::binary() === null) die('skip no php-fpm of this version');
?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['hold']);
// The server answers only when the test has the response: else nobody would ever be told.
$fpm = new Fpm(1, ['realtime.url' => $server->url(), 'realtime.timeout' => '60', 'display_errors' => '0']);
$script = $fpm->script('publish', <<<'PHP'
    $rt = new RealtimeClient;
    parse_str($_SERVER['QUERY_STRING'], $query);
    if (isset($query['stats'])) {
        exit(json_encode($rt->stats()));
    }
    $rt->broadcast('c', 'later', confirm: 'later');
    $rt->broadcast('c', 'deferred', confirm: 'deferred');
    http_response_code((int) $query['status']);
    if (isset($query['throw'])) {
        throw new Exception('no');
    }
    echo 'the whole page';
    PHP);
echo $fpm->request($script, 'status=200'), "\n";
echo $server->frame()['data'], "\n";
$server->release();
// The one worker serves the next request when it has settled the one before.
$settle = fn () => $fpm->request($script, 'stats') . ' ' . implode(',', $server->published()) . "\n";
echo $settle();
foreach (['status=404', 'status=500', 'status=200&throw'] as $query) {
    echo $query, ': ', $fpm->request($script, $query), "\n", $settle();
}
?>
--EXPECT--
the whole page
later
{"sent":2,"acknowledged":2,"resent":0,"failed":0,"dropped":0,"outstanding":0,"deferred":0,"connects":1} deferred
status=404: the whole page
{"sent":4,"acknowledged":4,"resent":0,"failed":0,"dropped":0,"outstanding":0,"deferred":0,"connects":1} later,deferred
status=500: the whole page
{"sent":5,"acknowledged":5,"resent":0,"failed":0,"dropped":1,"outstanding":0,"deferred":0,"connects":1} later
status=200&throw: 
{"sent":6,"acknowledged":6,"resent":0,"failed":0,"dropped":2,"outstanding":0,"deferred":0,"connects":1} later
