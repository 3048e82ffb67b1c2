--TEST--
batch() sends many in one frame, in order, with an outcome for each
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$browser = Browser::subscribed($server->url(), 'a', 'b');
$rt = $server->client();
$results = $rt->batch([
    ['channel' => 'a', 'data' => 1, 'event' => 'e', 'idempotencyKey' => 'k'],
    ['channel' => ['a', 'b'], 'data' => null, 'exclude' => null],
    'any key' => ['channel' => '', 'data' => 2],
    ['channel' => 'b', 'data' => 3, 'exclude' => $browser->connection],
    ['channel' => ['a', ''], 'data' => 4],
]);
foreach ($results as $i => $result) {
    echo "$i ", $result::class, ' ', $result instanceof RealtimeReceipt ? json_encode(array_map(fn ($channel) => $channel['receivers'], $result->channels)) : $result->serverCode, "\n";
}
echo $results[0]->idempotencyKey, " ", strlen($results[1]->idempotencyKey) > 24, " ", implode(',', array_keys($results[4]->results)), "\n";
$by_channel = [];
foreach ($browser->drain($rt, 'a', 'b') as $message) {
    $by_channel[$message['channel']][] = $message['data'];
}
ksort($by_channel);
echo json_encode($by_channel), "\n", json_encode($rt->batch([])), "\n";
// More than fits into one frame.
$many = $rt->batch(array_fill(0, 2500, ['channel' => 'a', 'data' => 5]));
var_dump(count($many), count($browser->drain($rt, 'a')));

class Late implements JsonSerializable
{
    public function __construct(public array &$items) {}
    public function jsonSerialize(): mixed
    {
        // Code of the application that changes what is being read.
        $this->items[0]['channel'] = 'changed';
        $this->items = [];
        return 'late';
    }
}
$items = [];
$item = ['channel' => 'a', 'data' => null];
$list = [&$item];
$item['data'] = new Late($list);
echo $rt->batch($list)[0]->channels['changed']['receivers'] ?? 'unchanged', "\n";

$browser->drain($rt, 'a');
foreach ([
    [1],
    [['data' => 1]],
    [['channel' => 'a']],
    [['channel' => 1.5, 'data' => 1]],
    [['channel' => "\xff", 'data' => 1]],
    [['channel' => [], 'data' => 1]],
    [['channel' => 'a', 'data' => 1], ['channel' => 'a', 'data' => NAN]],
    [['channel' => 'a', 'data' => 1, 'event' => 5]],
    [['channel' => 'a', 'data' => 1, 'idempotency_key' => 'k']],
    [['channel' => 'a', 'data' => 1, 'idempotencyKey' => '~x']],
] as $wrong) {
    show(fn () => $rt->batch($wrong));
}
show(fn () => $rt->batch('a'));
echo count($browser->drain($rt, 'a')), " sent\n";
show(fn () => (new RealtimeClient('ws://127.0.0.1:1'))->batch([['channel' => 'a', 'data' => 1]]));
?>
--EXPECT--
0 RealtimeReceipt {"a":1}
1 RealtimeReceipt {"a":1,"b":1}
2 RealtimeServerException invalid_name
3 RealtimeReceipt {"b":0}
4 RealtimeServerException invalid_name
k 1 a,
{"a":[1,null,4],"b":[null]}
[]
int(2500)
int(2500)
unchanged
TypeError: RealtimeClient::batch(): Argument #1 ($items) must have an array as item 0, int given
ValueError: RealtimeClient::batch(): Argument #1 ($items) must have a "channel" in item 0
ValueError: RealtimeClient::batch(): Argument #1 ($items) must have "data" in item 0
TypeError: RealtimeClient::batch(): Argument #1 ($items) must have a string as "channel" in item 0, float given
ValueError: RealtimeClient::batch(): Argument #1 ($items) must have a valid UTF-8 "channel" in item 0
ValueError: RealtimeClient::batch(): Argument #1 ($items) must not be empty
JsonException: Inf and NaN cannot be JSON encoded
TypeError: RealtimeClient::batch(): Argument #1 ($items) must have a string as "event" in item 0, int given
ValueError: RealtimeClient::batch(): Argument #1 ($items) must have only channel, data, event, exclude, idempotencyKey in item 0, "idempotency_key" given
ValueError: RealtimeClient::batch(): Argument #1 ($items) must have a valid "idempotencyKey" in item 0: it must not begin with ~, which marks keys that the extension makes, unless this process has made it
TypeError: RealtimeClient::batch(): Argument #1 ($items) must be of type array, string given
0 sent
RealtimeConnectionException: Could not connect to ws://127.0.0.1:1: Connection refused (os error 111). Is realtime-server running there?
