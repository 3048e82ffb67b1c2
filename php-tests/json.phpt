--TEST--
Data is encoded as json_encode() does it, errors included
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$browser = Browser::subscribed($server->url(), 'c');
$rt = $server->client();
enum Suit: string { case Hearts = 'H'; }
class Money implements JsonSerializable
{
    public function __construct(private mixed $value) {}
    public function jsonSerialize(): mixed { return $this->value; }
}
class Failing implements JsonSerializable
{
    public function jsonSerialize(): mixed { throw new DomainException('not today'); }
}
/** Uses the client while the client encodes it. */
class Nested implements JsonSerializable
{
    public function __construct(private RealtimeClient $rt) {}
    public function jsonSerialize(): mixed { return $this->rt->broadcast('c', 'inner')->receivers; }
}
$values = [null, true, 0.1, 1.0, -0.0, '', "\u{2028}</script>", [], new stdClass, [1 => 'a'], Suit::Hearts, new Money(['a' => new Money(5)])];
foreach ($values as $value) {
    $rt->broadcast('c', $value);
    $received = $browser->receive('broadcast_update')['data'];
    if ($received !== json_decode(json_encode($value), true)) {
        echo 'differs: ', json_encode($value), ' ', json_encode($received), "\n";
    }
}
$rt->broadcast('c', new Nested($rt));
echo json_encode(array_column($browser->drain($rt, 'c'), 'data')), "\n";

$deep = 1;
for ($i = 0; $i < 513; $i++) {
    $deep = [$deep];
}
$loop = [];
$loop['x'] = &$loop;
foreach ([NAN, INF, "\xff", $deep, $loop, STDERR, new Failing] as $value) {
    show(fn () => $rt->broadcast('c', $value));
    echo json_last_error_msg(), "\n";
}
$rt->broadcast('c', 'still here');
echo json_encode(array_column($browser->drain($rt, 'c'), 'data')), "\n";
?>
--EXPECT--
["inner",1]
JsonException: Inf and NaN cannot be JSON encoded
No error
JsonException: Inf and NaN cannot be JSON encoded
No error
JsonException: Malformed UTF-8 characters, possibly incorrectly encoded
No error
JsonException: Maximum stack depth exceeded
No error
JsonException: Recursion detected
No error
JsonException: Type is not supported
No error
DomainException: not today
No error
["still here"]
