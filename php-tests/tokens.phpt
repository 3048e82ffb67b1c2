--TEST--
connectionToken() and channelToken() sign what they are told, as PHP itself would
--INI--
realtime.token_secret=0123456789abcdef0123456789abcdef
--FILE--
<?php
require __DIR__ . '/inc/all.php';
/** Header and claims of a token whose signature is right, with the times relative to now. */
function opened(string $token, int $before): string
{
    [$header, $payload, $signature] = explode('.', $token);
    $expected = hash_hmac('sha256', "$header.$payload", ini_get('realtime.token_secret'), true);
    if (rtrim(strtr(base64_encode($expected), '+/', '-_'), '=') !== $signature) {
        throw new Exception("wrong signature: $token");
    }
    [$header, $payload] = array_map(fn ($part) => base64_decode(strtr($part, '-_', '+/'), true), [$header, $payload]);
    $claims = json_decode($payload, true, flags: JSON_THROW_ON_ERROR);
    $lifetime = $claims['exp'] - $claims['iat'];
    $fresh = $claims['iat'] >= $before && $claims['iat'] <= time() ? 'now' : 'at another time';
    unset($claims['exp'], $claims['iat']);
    return "$header " . json_encode($claims, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES) . " for $lifetime s, made $fresh\n";
}
enum Role: string { case Cook = 'cook'; }
// No server is asked.
$rt = new RealtimeClient('ws://127.0.0.1:1');
$now = time();
$name = 'orders.*';
foreach ([
    $rt->connectionToken('u7'),
    $rt->connectionToken('u7', channels: ['user:u7', $name, 42], ttl: 60, info: ['name' => 'Änne', 'role' => Role::Cook, 'n' => [1.0]]),
    $rt->connectionToken('u7', [&$name], info: false),
    $rt->connectionToken(7, [], 1, null),
    $rt->channelToken('orders.42', 'u7'),
    $rt->channelToken('café', "u'7", 5),
    $rt->channelToken('literal*star', 'u7'),
] as $token) {
    echo opened($token, $now);
}
class Broken implements JsonSerializable { public function jsonSerialize(): mixed { throw new LogicException('mine'); } }
foreach ([
    fn () => $rt->connectionToken(),
    fn () => $rt->connectionToken(''),
    fn () => $rt->connectionToken(str_repeat('u', 129)),
    fn () => $rt->connectionToken("u\n"),
    fn () => $rt->connectionToken("\xff"),
    fn () => $rt->connectionToken('u7', 'orders'),
    fn () => $rt->connectionToken('u7', ['orders', '']),
    fn () => $rt->connectionToken('u7', ['*.orders']),
    fn () => $rt->connectionToken('u7', [null]),
    fn () => $rt->connectionToken('u7', ["\xff"]),
    fn () => $rt->connectionToken('u7', ttl: 0),
    fn () => $rt->connectionToken('u7', ttl: -1),
    fn () => $rt->connectionToken('u7', ttl: time() * 1000),
    fn () => $rt->connectionToken('u7', ttl: 'soon'),
    fn () => $rt->connectionToken('u7', info: "\xff"),
    fn () => $rt->connectionToken('u7', info: NAN),
    fn () => $rt->connectionToken('u7', info: new Broken),
    fn () => strlen($rt->connectionToken('u7', info: str_repeat('i', 4094))),
    fn () => $rt->connectionToken('u7', info: str_repeat('i', 4095)),
    fn () => $rt->connectionToken('u7', array_fill(0, 1200, 'orders.42')),
    fn () => $rt->channelToken('orders.42', ''),
    fn () => $rt->channelToken('', 'u7'),
    fn () => $rt->channelToken('orders.42', 'u7', 0),
] as $wrong) {
    show($wrong);
}
?>
--EXPECT--
{"alg":"HS256","typ":"JWT"} {"sub":"u7"} for 3600 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"u7","channels":["user:u7","orders.*","42"],"info":{"name":"Änne","role":"cook","n":[1]}} for 60 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"u7","channels":["orders.*"],"info":false} for 3600 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"7"} for 1 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"u7","channel":"orders.42"} for 3600 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"u'7","channel":"café"} for 5 s, made now
{"alg":"HS256","typ":"JWT"} {"sub":"u7","channel":"literal*star"} for 3600 s, made now
ArgumentCountError: RealtimeClient::connectionToken() expects at least 1 argument, 0 given
ValueError: RealtimeClient::connectionToken(): Argument #1 ($user) must not be empty
ValueError: RealtimeClient::connectionToken(): Argument #1 ($user) must not be longer than 128 bytes
ValueError: RealtimeClient::connectionToken(): Argument #1 ($user) must not contain control characters
ValueError: RealtimeClient::connectionToken(): Argument #1 ($user) must be valid UTF-8
TypeError: RealtimeClient::connectionToken(): Argument #2 ($channels) must be of type array, string given
ValueError: RealtimeClient::connectionToken(): Argument #2 ($channels) must contain only names and patterns of channels, which must not be empty
ValueError: RealtimeClient::connectionToken(): Argument #2 ($channels) must contain only names and patterns of channels, which must have no * but at the end, where it stands for the rest of a name
TypeError: RealtimeClient::connectionToken(): Argument #2 ($channels) must contain only values of type string, null given
ValueError: RealtimeClient::connectionToken(): Argument #2 ($channels) must contain only valid UTF-8
ValueError: RealtimeClient::connectionToken(): Argument #3 ($ttl) must be greater than 0 and at most 2147483647 seconds
ValueError: RealtimeClient::connectionToken(): Argument #3 ($ttl) must be greater than 0 and at most 2147483647 seconds
ValueError: RealtimeClient::connectionToken(): Argument #3 ($ttl) must be greater than 0 and at most 2147483647 seconds
TypeError: RealtimeClient::connectionToken(): Argument #3 ($ttl) must be of type int, string given
JsonException: Malformed UTF-8 characters, possibly incorrectly encoded
JsonException: Inf and NaN cannot be JSON encoded
LogicException: mine
5615
ValueError: RealtimeClient::connectionToken(): Argument #4 ($info) must not be longer than 4096 bytes as JSON, 4097 given
ValueError: RealtimeClient::connectionToken(): Argument #2 ($channels) are too many or too long: use patterns such as orders.*, or channelToken() (the token would have 19360 bytes, and servers take 16384)
ValueError: RealtimeClient::channelToken(): Argument #2 ($user) must not be empty
ValueError: RealtimeClient::channelToken(): Argument #1 ($channel) must not be empty
ValueError: RealtimeClient::channelToken(): Argument #3 ($ttl) must be greater than 0 and at most 2147483647 seconds
