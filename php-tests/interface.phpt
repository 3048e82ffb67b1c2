--TEST--
Applications type-hint RealtimePublisher and replace it in their tests
--FILE--
<?php
require __DIR__ . '/inc/all.php';
class Fake implements RealtimePublisher
{
    public array $sent = [];
    public function broadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
        $this->sent[] = [$channel, $data];
        return new RealtimeReceipt(true, 1, [$channel => ['receivers' => 1, 'epoch' => null, 'offset' => null]]);
    }
    public function sendToUser(string $user, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
        throw new RealtimeServerException('no', serverCode: 'forbidden');
    }
    public function sendToConnection(string $connection, mixed $data, ?string $event = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
        return new RealtimeReceipt(false, idempotencyKey: 'k');
    }
    public function batch(array $items): array
    {
        return [new RealtimeReceipt];
    }
    public function flush(): array
    {
        return [];
    }
    public function discard(): int
    {
        return 0;
    }
}
function application(RealtimePublisher $rt): int
{
    return $rt->broadcast('c', 1)->receivers;
}
$fake = new Fake;
var_dump(application($fake), $fake->sent, $fake->sendToConnection('x', 1)->idempotencyKey, $fake->batch([])[0]->idempotencyKey, new RealtimeClient instanceof RealtimePublisher);
show(fn () => clone new RealtimeClient);
show(fn () => serialize(new RealtimeClient));
show(fn () => (new ReflectionClass(RealtimeClient::class))->newInstanceWithoutConstructor());
$rt = new RealtimeClient;
show(fn () => $rt->more = 1);
echo run_php('-r', 'class Mine extends RealtimeClient {}');
?>
--EXPECTF--
int(1)
array(1) {
  [0]=>
  array(2) {
    [0]=>
    string(1) "c"
    [1]=>
    int(1)
  }
}
string(1) "k"
string(0) ""
bool(true)
Error: Trying to clone an uncloneable object of class RealtimeClient
Exception: Serialization of 'RealtimeClient' is not allowed
ReflectionException: Class RealtimeClient is an internal class marked as final that cannot be instantiated without invoking its constructor
Error: Cannot create dynamic property RealtimeClient::$more
%AFatal error: Class Mine %s final class %SRealtimeClient%S in Command line code on line 1
