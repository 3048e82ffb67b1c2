<?php

/*
 * The process behind FakeServer. Its argument is JSON: script, ttl, replies. Each event is a line: "listening ADDRESS",
 * "connected", "frame JSON", "mark". Instructions are lines, too: "release", "mark".
 */

['script' => $script, 'ttl' => $ttl, 'replies' => $replies] = json_decode($argv[1], true, flags: JSON_THROW_ON_ERROR);

function tell(string $event): void
{
    fwrite(STDOUT, "$event\n");
}

/** A connection: what was read and not understood yet, and the answers that are held back. */
final class Guest
{
    public string $buffer = '';
    public bool $upgraded = false;
    /** @var list<string> */
    public array $held = [];

    /** @param resource $stream */
    public function __construct(public $stream, public string $how)
    {
    }

    public function send(string $text): void
    {
        $length = strlen($text);
        $head = match (true) {
            $length < 126 => pack('CC', 0x81, $length),
            $length < 65536 => pack('CCn', 0x81, 126, $length),
            default => pack('CCJ', 0x81, 127, $length),
        };
        fwrite($this->stream, $head . $text);
    }

    /** The next frame's text, if it has come whole. */
    public function take(): ?string
    {
        if (strlen($this->buffer) < 2) {
            return null;
        }
        [$start, $length] = [2, ord($this->buffer[1]) & 0x7F];
        if ($length >= 126) {
            $bytes = $length === 126 ? 2 : 8;
            if (strlen($this->buffer) < 2 + $bytes) {
                return null;
            }
            $length = unpack($bytes === 2 ? 'n' : 'J', $this->buffer, 2)[1];
            $start += $bytes;
        }
        if (strlen($this->buffer) < $start + 4 + $length) {
            return null;
        }
        $mask = substr($this->buffer, $start, 4);
        $text = substr($this->buffer, $start + 4, $length) ^ str_repeat($mask, intdiv($length, 4) + 1);
        $this->buffer = substr($this->buffer, $start + 4 + $length);
        return $text;
    }
}

function upgrade(Guest $guest, ?int $ttl): void
{
    preg_match('/sec-websocket-key: (\S+)/i', $guest->buffer, $key);
    $accept = base64_encode(sha1($key[1] . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11', true));
    $header = $ttl === null ? '' : "Realtime-Key-Ttl: $ttl\r\n";
    fwrite($guest->stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        . "Sec-WebSocket-Accept: $accept\r\nSec-WebSocket-Protocol: realtime.publisher.v1\r\n$header\r\n");
    $guest->buffer = '';
    $guest->upgraded = true;
}

function reply(array $command): string
{
    global $replies;
    $reply = $replies[$command['type']] ?? '{"type":"ack","id":ID,"receivers":1}';
    if (is_array($reply)) {
        $reply = array_shift($replies[$command['type']]);
    }
    return str_replace('ID', (string) $command['id'], $reply);
}

function answer(string $text): string
{
    $frame = json_decode($text, true, flags: JSON_THROW_ON_ERROR);
    return array_is_list($frame) ? '[' . implode(',', array_map(reply(...), $frame)) . ']' : reply($frame);
}

$listener = stream_socket_server('tcp://127.0.0.1:0');
tell('listening ' . stream_socket_get_name($listener, false));
/** @var array<int, Guest> $guests */
$guests = [];
$released = false;
for ($count = 0;;) {
    $read = [STDIN, $listener, ...array_map(fn ($guest) => $guest->stream, $guests)];
    [$write, $except] = [null, null];
    stream_select($read, $write, $except, null);
    foreach ($read as $stream) {
        if ($stream === $listener) {
            $accepted = stream_socket_accept($listener);
            $guests[(int) $accepted] = new Guest($accepted, $script[min($count++, count($script) - 1)]);
            tell('connected');
            continue;
        }
        if ($stream === STDIN) {
            $instruction = fgets(STDIN);
            if ($instruction === false) {
                exit;
            }
            if ($instruction === "mark\n") {
                tell('mark');
                continue;
            }
            $released = true;
            foreach ($guests as $guest) {
                array_map($guest->send(...), $guest->held);
                $guest->held = [];
            }
            continue;
        }
        $guest = $guests[(int) $stream];
        $bytes = fread($stream, 65536);
        $guest->buffer .= $bytes;
        if ($bytes === '' || $bytes === false) {
            unset($guests[(int) $stream]);
            continue;
        }
        if (!$guest->upgraded) {
            if (str_ends_with($guest->buffer, "\r\n\r\n")) {
                upgrade($guest, $ttl);
            }
            continue;
        }
        while (($text = $guest->take()) !== null) {
            // A close frame's text is no JSON.
            if ($text === '' || !str_contains('[{', $text[0])) {
                continue;
            }
            tell("frame $text");
            if ($guest->how === 'close') {
                unset($guests[(int) $stream]);
                stream_socket_shutdown($stream, STREAM_SHUT_RDWR);
                break;
            }
            if ($guest->how === 'answer' || $guest->how === 'hold' && $released) {
                $guest->send(answer($text));
            } elseif ($guest->how === 'hold') {
                $guest->held[] = answer($text);
            }
        }
    }
}
