--TEST--
tryBroadcast() returns null and logs each cause once per retry_after instead of throwing
--INI--
log_errors=1
error_log={TMP}/realtime-try-broadcast.log
realtime.retry_after=3600
--FILE--
<?php
require __DIR__ . '/inc/all.php';
@unlink(ini_get('error_log'));
$server = new Server();
$rt = $server->client();
var_dump($rt->tryBroadcast('c', 1)->receivers);

class Failing implements JsonSerializable
{
    public function jsonSerialize(): mixed { throw new DomainException('not today'); }
}
class Leaving implements JsonSerializable
{
    public function jsonSerialize(): mixed { exit("left\n"); }
}
$log = fn () => preg_replace('/^\[[^]]*\] /m', '', (string) @file_get_contents(ini_get('error_log')));
$down = new RealtimeClient('ws://127.0.0.1:1');
for ($i = 0; $i < 3; $i++) {
    var_dump($down->tryBroadcast('c', 1));
}
for ($i = 0; $i < 2; $i++) {
    $rt->tryBroadcast('', 1);
    $rt->tryBroadcast('c', new Failing);
}
echo $log();
unlink(ini_get('error_log'));
ini_set('realtime.retry_after', '0');
foreach ([['c', NAN], ['c', new Failing], [[], 1], ["\xff", 1], ['', 1]] as [$channel, $data]) {
    var_dump($rt->tryBroadcast($channel, $data));
}
echo $log();
unlink(ini_get('error_log'));
var_dump($rt->tryBroadcast('c', 1)->receivers);
$rt->tryBroadcast('c', new Leaving);
echo "not reached\n";
?>
--EXPECT--
int(0)
NULL
NULL
NULL
RealtimeClient::tryBroadcast(): Could not connect to ws://127.0.0.1:1: Connection refused (os error 111). Is realtime-server running there?
RealtimeClient::tryBroadcast(): channel names must not be empty (invalid_name)
RealtimeClient::tryBroadcast(): DomainException: not today
NULL
NULL
NULL
NULL
NULL
RealtimeClient::tryBroadcast(): JsonException: Inf and NaN cannot be JSON encoded
RealtimeClient::tryBroadcast(): DomainException: not today
RealtimeClient::tryBroadcast(): ValueError: RealtimeClient::tryBroadcast(): Argument #1 ($channel) must not be empty
RealtimeClient::tryBroadcast(): ValueError: RealtimeClient::tryBroadcast(): Argument #1 ($channel) must be valid UTF-8
RealtimeClient::tryBroadcast(): channel names must not be empty (invalid_name)
int(0)
left
