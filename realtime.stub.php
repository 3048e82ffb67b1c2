<?php

/**
 * What `extension=realtime` adds to PHP, for editors and static analysis. It is checked against reflection by
 * php-tests/check-stub.php; nothing loads it at run time.
 */

/** Base of all failures at run time. */
class RealtimeException extends Exception
{
    /**
     * The broadcast's key, where its fate is unknown or the server refused it: given as idempotencyKey: again, in the
     * same process, it is delivered once.
     */
    public ?string $idempotencyKey = null;
}

/** Could not connect, or the connection broke. The message says when something may have been delivered. */
class RealtimeConnectionException extends RealtimeException
{
}

/** No acknowledgement in time. The message says whether it may have been delivered. */
class RealtimeTimeoutException extends RealtimeException
{
}

/** The server refused the key, or its absence. The code is the HTTP status, 401 or 403. */
class RealtimeAuthException extends RealtimeException
{
}

/** The server refused a command. */
class RealtimeServerException extends RealtimeException
{
    /** The protocol's code, such as "forbidden"; of several refused channels, that of the first. */
    public readonly string $serverCode;

    /**
     * After a broadcast to several channels: the outcome of each, by channel. A name that looks like an integer is an
     * integer key, as in every PHP array.
     *
     * @var array<string|int, RealtimeReceipt|RealtimeServerException>
     */
    public readonly array $results;

    public function __construct(string $message = "", int $code = 0, ?Throwable $previous = null, string $serverCode = "", array $results = [])
    {
    }
}

/** What a broadcast returns. */
final class RealtimeReceipt
{
    /** Whether the server has queued it; false for 'later' and 'deferred'. */
    public readonly bool $acknowledged;

    /** Connections that it was queued for, over all channels; 0 until it is acknowledged. */
    public readonly int $receivers;

    /**
     * By channel; empty when it went to a user or a connection. A name that looks like an integer is an integer key, as
     * in every PHP array. Without history, epoch and offset are null.
     *
     * @var array<string|int, array{receivers: int, epoch: ?string, offset: ?int}>
     */
    public readonly array $channels;

    /** The key that was given, or the one that was made. */
    public readonly string $idempotencyKey;

    public function __construct(bool $acknowledged = true, int $receivers = 0, array $channels = [], string $idempotencyKey = "")
    {
    }
}

/** Type-hint this in applications; replace it in tests. It may grow until version 1.0. */
interface RealtimePublisher
{
    /**
     * Publishes $data; returns once the server has queued it. To several channels it tries all, and then throws one
     * RealtimeServerException if any was refused.
     *
     * 'later' writes it at once and leaves the acknowledgement to flush() or the end of the request; 'deferred' keeps it
     * until then, and drops it when the request fails.
     *
     * @param string|non-empty-list<string> $channel
     * @param mixed $data anything that json_encode() takes
     * @param ?string $event the application's name on it
     * @param ?string $exclude id of the connection that shall not receive it
     * @param ?string $idempotencyKey repeats are delivered once; 1–200 bytes; null: made for you
     * @param 'ack'|'later'|'deferred' $confirm
     * @throws JsonException|ValueError|RealtimeException
     */
    public function broadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt;

    /**
     * Sends to all connections of one user.
     *
     * @param mixed $data anything that json_encode() takes
     * @param 'ack'|'later'|'deferred' $confirm
     * @throws JsonException|ValueError|RealtimeException
     */
    public function sendToUser(string $user, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt;

    /**
     * Sends to one browser, for example the progress of the job that it started.
     *
     * @param string $connection the id that the browser knows from its welcome message
     * @param mixed $data anything that json_encode() takes
     * @param 'ack'|'later'|'deferred' $confirm
     * @throws JsonException|ValueError|RealtimeException
     */
    public function sendToConnection(string $connection, mixed $data, ?string $event = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt;

    /**
     * Many in one round trip, in order; not atomic.
     *
     * @param list<array{channel: string|non-empty-list<string>, data: mixed, event?: ?string, exclude?: ?string, idempotencyKey?: ?string}> $items
     * @return list<RealtimeReceipt|RealtimeServerException> one per item
     * @throws JsonException|ValueError|RealtimeException when the outcome of an item is unknown
     */
    public function batch(array $items): array;

    /**
     * Sends what this object has deferred, waits for everything outstanding, and returns the outcomes of what this object
     * has sent with 'later' and 'deferred' since the last time, at most the last 1,024. When it throws, nothing is lost
     * yet: it can be called again, until the end of the request gives up.
     *
     * @return list<RealtimeReceipt|RealtimeServerException>
     * @throws RealtimeException
     */
    public function flush(): array;

    /** Drops this object's deferred broadcasts; returns how many. */
    public function discard(): int;
}

/**
 * Cheap to make: the process owns the connection, and all objects with the same URL and key share it. Neither cloneable
 * nor serializable.
 */
final class RealtimeClient implements RealtimePublisher
{
    /**
     * Connects at the first call, not here.
     *
     * @param ?string $url ws://, wss:// or unix://; null: realtime.url, or else the server's default socket or port on
     *                     this machine
     * @param ?string $key null: realtime.key, which goes only to realtime.url
     * @param ?float $timeout seconds for one call altogether; null: realtime.timeout
     * @throws ValueError
     */
    public function __construct(?string $url = null, #[\SensitiveParameter] ?string $key = null, ?float $timeout = null)
    {
    }

    public function broadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
    }

    public function sendToUser(string $user, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
    }

    public function sendToConnection(string $connection, mixed $data, ?string $event = null, ?string $idempotencyKey = null, string $confirm = 'ack'): RealtimeReceipt
    {
    }

    public function batch(array $items): array
    {
    }

    public function flush(): array
    {
    }

    public function discard(): int
    {
    }

    /**
     * Sends a whole message, for code written after tutorials:
     * ['type' => 'broadcast_update', 'channel' => …, 'data' => …], or its JSON.
     *
     * @param array<string, mixed>|string $message
     * @throws JsonException|ValueError|RealtimeException
     */
    public function send(array|string $message): RealtimeReceipt
    {
    }

    /**
     * broadcast() for pages that must never suffer: a failure is written to PHP's error log, once per cause and
     * realtime.retry_after, and null is returned. Only arguments of a wrong type throw.
     *
     * @param string|non-empty-list<string> $channel
     */
    public function tryBroadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null, ?string $idempotencyKey = null, string $confirm = 'ack'): ?RealtimeReceipt
    {
    }

    /**
     * The round trip to the server and back, in seconds.
     *
     * @throws RealtimeException
     */
    public function ping(): float
    {
    }

    /**
     * What this process has done so far; all but connects count broadcasts.
     *
     * @return array{sent: int, acknowledged: int, resent: int, failed: int, dropped: int, outstanding: int, deferred: int, connects: int}
     */
    public function stats(): array
    {
    }

    /**
     * Publications of a channel in ascending order: the newest $limit, or those after $since. `next` is the offset to go
     * on after, null at the end.
     *
     * @param array{epoch: string, offset: int}|'earliest'|null $since
     * @return array{channel: string, publications: list<array{offset: int, event?: string, data: mixed}>, oldest: ?int, top: ?int, epoch: ?string, next: ?int}
     * @throws ValueError|RealtimeException
     */
    public function history(string $channel, int $limit = 100, array|string|null $since = null): array
    {
    }

    /**
     * Where the channel's history stands; null when it keeps none. Read it before the state that the page shows, and give
     * it to the page's subscribe() as since: nothing in between is missed.
     *
     * @return ?array{epoch: string, offset: int}
     * @throws RealtimeException
     */
    public function position(string $channel): ?array
    {
    }

    /**
     * Who is in the channel.
     *
     * @return list<array{user: string, info?: mixed, connections: int}>
     * @throws RealtimeException
     */
    public function presence(string $channel): array
    {
    }

    /**
     * Channels with subscribers whose names begin with $prefix. A name that looks like an integer is an integer key.
     *
     * @return array<string|int, int> subscribers by channel
     * @throws RealtimeException
     */
    public function channels(string $prefix = ''): array
    {
    }

    /**
     * Connections that have subscribed to the channel.
     *
     * @throws RealtimeException
     */
    public function subscribers(string $channel): int
    {
    }

    /**
     * A token that says who a browser is, for the page's token endpoint: see docs/authentication.md. It is signed with
     * realtime.token_secret, here and without the server; realtime.token_kid and realtime.token_audience go into it.
     *
     * @param list<string> $channels names, or patterns with a * at the end, that may be subscribed to without more
     * @param int $ttl seconds until it expires
     * @param mixed $info anything that json_encode() takes; others see it in presence channels
     * @throws JsonException|ValueError
     */
    public function connectionToken(string $user, array $channels = [], int $ttl = 3600, mixed $info = null): string
    {
    }

    /**
     * A token for one user's subscription of one channel.
     *
     * @param int $ttl seconds until it expires
     * @throws ValueError
     */
    public function channelToken(string $channel, string $user, int $ttl = 3600): string
    {
    }

    /**
     * Closes all connections of a user. Their pages do not come back by themselves; a page that is loaded anew does, as
     * long as it gets a token.
     *
     * @param ?string $reason told to the pages
     * @return int connections that were closed
     * @throws RealtimeException
     */
    public function disconnectUser(string $user, ?string $reason = null): int
    {
    }

    /**
     * Ends a user's subscriptions of a channel, on all connections.
     *
     * @return int the user's connections, each of which leaves the channel if it is in it
     * @throws RealtimeException
     */
    public function unsubscribeUser(string $user, string $channel): int
    {
    }

    /**
     * Makes all tokens of a user invalid that were made until now, and closes the connections that came with one. Their
     * pages ask for a new token and stay away without one.
     *
     * @return int the user's connections, of which those with such a token are closed
     * @throws RealtimeException
     */
    public function revokeTokens(string $user): int
    {
    }
}
