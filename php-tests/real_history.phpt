--TEST--
What the real server keeps: histories on disk, one effect for each key, whatever is killed in between
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$directory = sys_get_temp_dir() . '/realtime-test-' . bin2hex(random_bytes(6));
mkdir($directory, 0700);
file_put_contents("$directory/realtime.toml", <<<'TOML'
    [[channels]]
    pattern = "kept.*"
    history.size = 1000
    history.store = "disk"
    TOML);
$server = new Server(['--config', "$directory/realtime.toml", '--data-dir', "$directory/data"]);
$rt = $server->client();

// An acknowledgement says where it stands, and a repetition gets the same one.
$first = $rt->broadcast('kept.1', ['n' => 1], idempotencyKey: 'order-1');
$again = $rt->broadcast('kept.1', ['n' => 1], idempotencyKey: 'order-1');
var_dump($first->channels['kept.1']['offset'], $again->channels == $first->channels);
show(fn () => $rt->broadcast('kept.1', ['n' => 2], idempotencyKey: 'order-1'));

// A crash between the writing and the acknowledgement: sent again, with one effect.
for ($n = 2; $n <= 40; $n++) {
    $rt->broadcast('kept.1', ['n' => $n], confirm: 'later');
    if ($n % 10 === 0) {
        $server->restart(Server::KILL);
    }
}
$rt->flush();
$rt->batch(array_map(fn ($n) => ['channel' => 'kept.1', 'data' => ['n' => $n]], range(41, 60)));
$rt->broadcast('kept.1', ['n' => 61], confirm: 'deferred');
$rt->flush();
$numbers = [];
$since = 'earliest';
do {
    $page = $rt->history('kept.1', 25, $since);
    array_push($numbers, ...array_column(array_column($page['publications'], 'data'), 'n'));
    $since = ['epoch' => $page['epoch'], 'offset' => $page['next']];
} while ($page['next'] !== null);
var_dump($numbers === range(1, 61));
var_dump($rt->position('kept.1') == ['epoch' => $page['epoch'], 'offset' => 61], $rt->position('plain'));
var_dump(array_column($rt->history('kept.1', 2)['publications'], 'offset'));

$browser = Browser::subscribed($server->url(), 'orders.1');
var_dump($rt->subscribers('orders.1'), $rt->channels('orders.'), $rt->presence('orders.1'));
$server->stop();
array_map(unlink(...), glob("$directory/{*.toml,data/*}", GLOB_BRACE));
rmdir("$directory/data");
rmdir($directory);
?>
--EXPECT--
int(1)
bool(true)
RealtimeServerException: this idempotency key was used for another publication; a repetition must be the same, event, data and exclusion, and anything new needs a key of its own (key_conflict)
bool(true)
bool(true)
NULL
array(2) {
  [0]=>
  int(60)
  [1]=>
  int(61)
}
int(1)
array(1) {
  ["orders.1"]=>
  int(1)
}
array(0) {
}
