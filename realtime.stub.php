<?php

/**
 * What `extension=realtime` adds to PHP, for editors and static analysis. It is checked against reflection by
 * php-tests/check-stub.php; nothing loads it at run time.
 */

/** Base of all failures at run time. */
class RealtimeException extends Exception
{
}

/** Could not connect, or the connection broke. The message says when something may have been delivered. */
class RealtimeConnectionException extends RealtimeException
{
}

/** No acknowledgement in time; it may have been delivered. */
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
    /** Whether the server has queued it. */
    public readonly bool $acknowledged;

    /** Connections that it was queued for, over all channels. */
    public readonly int $receivers;

    /**
     * By channel; empty when it went to a user or a connection. A name that looks like an integer is an integer key, as
     * in every PHP array. Without history, epoch and offset are null.
     *
     * @var array<string|int, array{receivers: int, epoch: ?string, offset: ?int}>
     */
    public readonly array $channels;

    public function __construct(bool $acknowledged = true, int $receivers = 0, array $channels = [])
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
     * @param string|non-empty-list<string> $channel
     * @param mixed $data anything that json_encode() takes
     * @param ?string $event the application's name on it
     * @param ?string $exclude id of the connection that shall not receive it
     * @throws JsonException|ValueError|RealtimeException
     */
    public function broadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null): RealtimeReceipt;

    /**
     * Sends to all connections of one user.
     *
     * @param mixed $data anything that json_encode() takes
     * @throws JsonException|ValueError|RealtimeException
     */
    public function sendToUser(string $user, mixed $data, ?string $event = null, ?string $exclude = null): RealtimeReceipt;

    /**
     * Sends to one browser, for example the progress of the job that it started.
     *
     * @param string $connection the id that the browser knows from its welcome message
     * @param mixed $data anything that json_encode() takes
     * @throws JsonException|ValueError|RealtimeException
     */
    public function sendToConnection(string $connection, mixed $data, ?string $event = null): RealtimeReceipt;
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

    public function broadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null): RealtimeReceipt
    {
    }

    public function sendToUser(string $user, mixed $data, ?string $event = null, ?string $exclude = null): RealtimeReceipt
    {
    }

    public function sendToConnection(string $connection, mixed $data, ?string $event = null): RealtimeReceipt
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
     * broadcast() for pages that must never suffer: a failure is written to PHP's error log, once per
     * realtime.retry_after, and null is returned. Only arguments of a wrong type throw.
     *
     * @param string|non-empty-list<string> $channel
     */
    public function tryBroadcast(array|string $channel, mixed $data, ?string $event = null, ?string $exclude = null): ?RealtimeReceipt
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
}
