<?php

/*
 * Everything that the extension does, often, for scripts/memcheck, which watches its memory from outside: broadcasts of
 * all kinds, what they can fail with, and connections that break. The argument is the number of broadcasts.
 */

require __DIR__ . '/inc/all.php';

/** Calls what must fail with an exception of this class. */
function refused(string $class, callable $call): void
{
    try {
        $call();
    } catch (Throwable $error) {
        if ($error instanceof $class) {
            return;
        }
        throw $error;
    }
    throw new Exception("there was no $class");
}

/** One broadcast of each kind. */
function publish(RealtimeClient $rt, int $i): void
{
    $receipt = $rt->broadcast("c$i", ['i' => $i, 'text' => str_repeat('x', 1000)], event: "e$i");
    if (!$receipt->acknowledged) {
        throw new Exception('a broadcast was not acknowledged');
    }
    $rt->broadcast(['a', "b$i"], $i);
    $rt->send(['type' => 'broadcast_update', 'channel' => 'c', 'data' => $i]);
    $rt->broadcast('c', $i, confirm: 'later');
    $rt->sendToUser('u', $i, confirm: 'deferred', idempotencyKey: "k$i");
    $rt->flush();
    $rt->batch([['channel' => "c$i", 'data' => $i], ['channel' => ['a', ''], 'data' => $i]]);
    $rt->presence('c');
    $rt->channels();
    $rt->disconnectUser('u', 'over');
    $rt->unsubscribeUser('u', 'c');
    $rt->connectionToken("u$i", ["user:u$i", 'orders.*'], info: ['name' => 'Ana']);
    $rt->channelToken("c$i", "u$i");
    $rt->stats();
}

/** Everything that fails, and is caught. */
function fail(RealtimeClient $rt, RealtimeClient $down, int $i): void
{
    refused(RealtimeServerException::class, fn () => $rt->broadcast(['a', ''], $i));
    refused(RealtimeServerException::class, fn () => $rt->broadcast('', $i));
    refused(JsonException::class, fn () => $rt->broadcast('c', NAN));
    refused(TypeError::class, fn () => $rt->broadcast('c'));
    refused(ValueError::class, fn () => $rt->channelToken('', "u$i"));
    refused(ValueError::class, fn () => $rt->broadcast('c', $i, confirm: 'perhaps'));
    refused(RealtimeConnectionException::class, fn () => $down->broadcast('c', $i));
    refused(Exception::class, fn () => $rt->broadcast('c', new class implements JsonSerializable {
        public function jsonSerialize(): mixed
        {
            throw new Exception('no data');
        }
    }));
    if ($down->tryBroadcast('c', $i) !== null) {
        throw new Exception('nobody listens there');
    }
    $down->broadcast('c', $i, confirm: 'deferred');
    refused(RealtimeConnectionException::class, fn () => $down->flush());
    $down->discard();
}

$broadcasts = (int) ($argv[1] ?? 10_000);
/** Broadcasts between two restarts of the server. */
const STRETCH = 500;
/** Broadcasts of publish(). */
const EACH = 8;

// Under Valgrind all takes long.
ini_set('realtime.connect_timeout', '60');
ini_set('realtime.retry_after', '0');
ini_set('error_log', '/dev/null');
$server = new Server();
$down = new RealtimeClient('ws://127.0.0.1:1');
$done = 0;
$restarts = 0;
while ($done < $broadcasts) {
    $rt = $server->client(timeout: 60);
    for ($i = 0; $i < STRETCH / EACH; $i++, $done += EACH) {
        publish($rt, $done);
        fail($rt, $down, $i);
    }
    // By turns with a farewell and without.
    $server->restart($restarts++ % 2 ? Server::KILL : Server::TERM);
    refused(RealtimeAuthException::class, fn () => (new RealtimeClient($server->url(), 'rtk_' . str_repeat('x', 43)))->broadcast('c', 1));
}
$server->stop();
echo "$done broadcasts, $restarts reconnects\n";
