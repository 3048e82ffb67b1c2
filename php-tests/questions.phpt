--TEST--
history(), position(), presence(), channels() and subscribers() ask the server
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['answer'], replies: [
    'history' => ['{"type":"history","id":ID,"channel":"c","publications":[{"offset":1,"event":"e","data":{"a":1.5}},{"offset":2,"data":null}],"oldest":1,"top":9,"epoch":"x","next":2}',
        '{"type":"history","id":ID,"channel":"c","publications":[],"oldest":null,"top":0,"epoch":"x"}',
        '{"type":"history","id":ID,"channel":"c","publications":[],"oldest":null,"top":0,"epoch":"x"}'],
    'position' => ['{"type":"position","id":ID,"channel":"c","epoch":"x","offset":9}', '{"type":"position","id":ID,"channel":"c","epoch":null,"offset":null}'],
    'presence' => ['{"type":"presence","id":ID,"channel":"c","members":[{"user":"a","info":{"name":"A"},"connections":2}],"next":"a"}', '{"type":"presence","id":ID,"channel":"c","members":[{"user":"b","connections":1}]}'],
    'channels' => ['{"type":"channels","id":ID,"channels":[{"channel":"o.1","subscribers":2}],"next":"o.1"}', '{"type":"channels","id":ID,"channels":[{"channel":"42","subscribers":1}]}'],
    'subscribers' => '{"type":"subscribers","id":ID,"channel":"c","subscribers":12}',
]);
$rt = $server->client();
echo json_encode($rt->history('c', since: 'earliest'), JSON_PRESERVE_ZERO_FRACTION), "\n";
$position = $rt->position('c');
echo json_encode($position), json_encode($rt->position('c')), "\n";
echo json_encode($rt->history('c', 5, $position)), "\n";
$rt->history('c');
echo json_encode($rt->presence('c')), "\n", json_encode($rt->channels('o.')), "\n", $rt->subscribers('c'), "\n";
foreach ($server->commands() as $command) {
    unset($command['id']);
    echo json_encode($command), "\n";
}
foreach ([
    fn () => $rt->history('c', 0),
    fn () => $rt->history('c', '5 apples'),
    fn () => $rt->history('c', since: 'yesterday'),
    fn () => $rt->history('c', since: ['epoch' => 'x']),
    fn () => $rt->history('c', since: ['epoch' => 'x', 'offset' => -1]),
    fn () => $rt->history('c', since: new stdClass),
    fn () => $rt->channels([]),
    fn () => (new RealtimeClient('ws://127.0.0.1:1'))->subscribers('c'),
] as $wrong) {
    show($wrong);
}
?>
--EXPECT--
{"channel":"c","publications":[{"offset":1,"event":"e","data":{"a":1.5}},{"offset":2,"data":null}],"oldest":1,"top":9,"epoch":"x","next":2}
{"epoch":"x","offset":9}null
{"channel":"c","publications":[],"oldest":null,"top":0,"epoch":"x","next":null}
[{"user":"a","info":{"name":"A"},"connections":2},{"user":"b","connections":1}]
{"o.1":2,"42":1}
12
{"type":"history","channel":"c","limit":100,"since":"earliest"}
{"type":"position","channel":"c"}
{"type":"position","channel":"c"}
{"type":"history","channel":"c","limit":5,"since":{"offset":9,"epoch":"x"}}
{"type":"history","channel":"c","limit":100}
{"type":"presence","channel":"c","limit":1000}
{"type":"presence","channel":"c","after":"a","limit":1000}
{"type":"channels","prefix":"o.","limit":1000}
{"type":"channels","prefix":"o.","after":"o.1","limit":1000}
{"type":"subscribers","channel":"c"}
ValueError: RealtimeClient::history(): Argument #2 ($limit) must be greater than 0
TypeError: RealtimeClient::history(): Argument #2 ($limit) must be of type int, string given
ValueError: RealtimeClient::history(): Argument #3 ($since) must be "earliest" or an array with the string "epoch" and the int "offset"
ValueError: RealtimeClient::history(): Argument #3 ($since) must be "earliest" or an array with the string "epoch" and the int "offset"
ValueError: RealtimeClient::history(): Argument #3 ($since) must be "earliest" or an array with the string "epoch" and the int "offset"
TypeError: RealtimeClient::history(): Argument #3 ($since) must be of type array|string|null, stdClass given
TypeError: RealtimeClient::channels(): Argument #1 ($prefix) must be of type string, array given
RealtimeConnectionException: Could not connect to ws://127.0.0.1:1: Connection refused (os error 111). Is realtime-server running there?
