<?php

/**
 * A server that does what a test says: a process of its own, since the test waits inside the extension meanwhile. The
 * test writes instructions, and reads as events what has happened.
 */
final class FakeServer
{
    /** @var resource */
    private $process;
    /** @var resource */
    private $instructions;
    /** @var resource */
    private $events;
    public readonly string $address;

    /**
     * @param list<string> $script one word per connection, the last for all that follow: 'answer' at once; 'hold' until
     *                             release(); 'close' after the first frame, unanswered; 'mute' for ever
     * @param ?int $ttl for how many seconds it says to know keys; null: it knows none
     * @param array<string, string|list<string>> $replies by type of command what to answer instead of an ack, with ID
     *                                                   for the command's id; of a list each in turn
     */
    public function __construct(array $script, ?int $ttl = 300, array $replies = [])
    {
        $command = [PHP_BINARY, '-n', __DIR__ . '/fake_server.php', json_encode(['script' => $script, 'ttl' => $ttl, 'replies' => $replies])];
        $this->process = proc_open($command, [['pipe', 'r'], ['pipe', 'w']], $pipes);
        [$this->instructions, $this->events] = $pipes;
        $this->address = $this->event('listening');
    }

    public function url(): string
    {
        return "ws://$this->address";
    }

    public function client(?float $timeout = null): RealtimeClient
    {
        return new RealtimeClient($this->url(), timeout: $timeout);
    }

    /** Lets it answer what it has held back, and everything from then on. */
    public function release(): void
    {
        fwrite($this->instructions, "release\n");
    }

    /** The next frame that came. */
    public function frame(): array
    {
        return json_decode($this->event('frame'), true, flags: JSON_THROW_ON_ERROR);
    }

    /** What was published until now and not read by frame(), in the order of its arrival. */
    public function published(): array
    {
        return array_column($this->commands(), 'data');
    }

    /** The commands that came until now, as frame() would tell them. */
    public function commands(): array
    {
        fwrite($this->instructions, "mark\n");
        $commands = [];
        while (([$kind, $text] = $this->next())[0] !== 'mark') {
            if ($kind === 'frame') {
                $frame = json_decode($text, true, flags: JSON_THROW_ON_ERROR);
                array_push($commands, ...(array_is_list($frame) ? $frame : [$frame]));
            }
        }
        return $commands;
    }

    private function event(string $wanted): string
    {
        do {
            [$kind, $text] = $this->next();
        } while ($kind !== $wanted);
        return $text;
    }

    /** @return array{string, string} */
    private function next(): array
    {
        [$read, $write, $except] = [[$this->events], null, null];
        if (!stream_select($read, $write, $except, Server::PATIENCE) || ($line = fgets($this->events)) === false) {
            throw new Exception('the fake server says no more');
        }
        return explode(' ', rtrim($line, "\n"), 2) + [1 => ''];
    }

    public function __destruct()
    {
        proc_terminate($this->process, Server::KILL);
        proc_close($this->process);
    }
}
