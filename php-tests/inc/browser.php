<?php

/** What `new WebSocket(…)` is in a page: sends JSON, receives JSON. */
final class Browser
{
    /** @var resource */
    private $stream;
    private const END = 'end:';
    private string $buffer = '';
    /** The id in the server's welcome. */
    public readonly string $connection;

    public function __construct(string $url, array $first = [])
    {
        $address = parse_url($url, PHP_URL_HOST) . ':' . parse_url($url, PHP_URL_PORT);
        $this->stream = stream_socket_client("tcp://$address", timeout: Server::PATIENCE);
        stream_set_timeout($this->stream, Server::PATIENCE);
        $key = base64_encode(random_bytes(16));
        $path = parse_url($url, PHP_URL_PATH) ?: '/';
        fwrite($this->stream, "GET $path HTTP/1.1\r\nHost: $address\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            . "Origin: http://$address\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: $key\r\n\r\n");
        while (($end = strpos($this->buffer, "\r\n\r\n")) === false) {
            $this->fill();
        }
        if (!str_contains(strtok($this->buffer, "\r\n"), ' 101 ')) {
            throw new Exception("no WebSocket: $this->buffer");
        }
        $this->buffer = substr($this->buffer, $end + 4);
        $this->connection = $this->receive('welcome')['connection'];
        foreach ($first as $message) {
            $this->send($message);
        }
    }

    /** A browser that is subscribed. */
    public static function subscribed(string $url, string ...$channels): self
    {
        $browser = new self($url);
        foreach ($channels as $channel) {
            $browser->send(['type' => 'subscribe', 'channel' => $channel]);
            $browser->receive('subscribed');
        }
        return $browser;
    }

    public function send(array $message): void
    {
        $text = json_encode($message);
        $length = strlen($text);
        $mask = random_bytes(4);
        $head = $length < 126 ? pack('CC', 0x81, 0x80 | $length) : pack('CCn', 0x81, 0xFE, $length);
        fwrite($this->stream, $head . $mask . ($text ^ str_repeat($mask, intdiv($length, 4) + 1)));
    }

    /** The next message of this type. Others are passed over, as a page that tests `message.type` does. */
    public function receive(string $type): array
    {
        do {
            $message = json_decode($this->frame(), true, flags: JSON_THROW_ON_ERROR);
        } while ($message['type'] !== $type || self::is_end($message));
        return $message;
    }

    /** Whether it is the mark of some browser's drain(). */
    private static function is_end(array $message): bool
    {
        return is_string($message['data'] ?? null) && str_starts_with($message['data'], self::END);
    }

    /**
     * Everything that was sent until now to this browser, in these channels. Order is promised per channel, so a last
     * publication in each marks its end.
     */
    public function drain(RealtimeClient $rt, string ...$channels): array
    {
        $end = self::END . bin2hex(random_bytes(8));
        foreach ($channels as $channel) {
            $rt->broadcast($channel, $end);
        }
        $messages = [];
        for ($ends = count($channels); $ends > 0;) {
            $message = json_decode($this->frame(), true, flags: JSON_THROW_ON_ERROR);
            if (!self::is_end($message)) {
                $messages[] = $message;
            } elseif ($message['data'] === $end) {
                $ends--;
            }
        }
        return $messages;
    }

    private function frame(): string
    {
        do {
            ['head' => $head, 'length' => $length] = unpack('Chead/Clength', $this->read(2));
            if ($length === 126) {
                $length = unpack('n', $this->read(2))[1];
            } elseif ($length === 127) {
                $length = unpack('J', $this->read(8))[1];
            }
            $payload = $this->read($length);
        } while (($head & 0x0F) !== 1);
        return $payload;
    }

    private function read(int $length): string
    {
        while (strlen($this->buffer) < $length) {
            $this->fill();
        }
        $bytes = substr($this->buffer, 0, $length);
        $this->buffer = substr($this->buffer, $length);
        return $bytes;
    }

    private function fill(): void
    {
        $chunk = fread($this->stream, 65536);
        if ($chunk === '' || $chunk === false) {
            throw new Exception('the server closed the connection, or sent nothing for ' . Server::PATIENCE . ' s');
        }
        $this->buffer .= $chunk;
    }
}
