--TEST--
1,000 requests of two php-fpm workers use two connections, however the requests end
--SKIPIF--
<?php
require __DIR__ . '/inc/all.php';
if (Fpm::binary() === null) die('skip no php-fpm of this version');
?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$fpm = new Fpm(2, ['realtime.url' => $server->url(), 'realtime.key' => $server->key]);
$script = $fpm->script('publish', <<<'PHP'
    $rt = new RealtimeClient;
    $receipt = $rt->broadcast('c', $_SERVER['QUERY_STRING']);
    /** Ends the request in the middle of encoding. */
    class Ending implements JsonSerializable
    {
        public function __construct(private string $how) {}
        public function jsonSerialize(): mixed
        {
            match ($this->how) {
                'exit' => exit('exit'),
                'fatal' => trigger_error('fatal', E_USER_ERROR),
                'throw' => throw new Exception('uncaught'),
                'limit' => set_time_limit(1) && $this->spin(),
            };
        }
        private function spin(): never { for (;;); }
    }
    if ($_SERVER['QUERY_STRING'] !== 'ok') {
        echo "pid:", getmypid(), "\n";
        $rt->broadcast('c', new Ending($_SERVER['QUERY_STRING']));
    }
    echo "pid:", getmypid(), " ", $receipt->acknowledged ? 'acknowledged' : 'lost';
    PHP);
$endings = ['exit', 'fatal', 'throw'];
$acknowledged = $ended = 0;
$workers = [];
for ($i = 0; $i < 500; $i++) {
    // Two at once, so that both workers have work.
    $query = match (true) {
        $i === 100 || $i === 300 => 'limit',
        $i % 10 === 5 => $endings[intdiv($i, 10) % 3],
        default => 'ok',
    };
    $requests = [$fpm->begin($script, $query), $fpm->begin($script, $query)];
    foreach ($requests as $request) {
        $answer = $fpm->finish($request);
        preg_match('/pid:(\d+)/', $answer, $match);
        $workers[$match[1] ?? 'none'] = true;
        str_ends_with($answer, ' acknowledged') ? $acknowledged++ : $ended++;
    }
}
echo "$acknowledged acknowledged, $ended ended otherwise, ", count($workers), " workers\n";
echo $server->publishers(), " connections\n";
?>
--EXPECT--
896 acknowledged, 104 ended otherwise, 2 workers
2 connections
