<?php

/**
 * A realtime-server of a test's own: on a free port and a temporary socket, stopped with the object. Its log is read as
 * events, so that nothing has to be guessed from time.
 */
final class Server
{
    /** Seconds after which a test gives up waiting for something that must come. */
    public const PATIENCE = 20;
    /** Signals, which PHP names only with pcntl. */
    public const KILL = 9;
    public const TERM = 15;
    private const CONTINUE = PHP_OS_FAMILY === 'Linux' ? 18 : 19;
    private const STOP = PHP_OS_FAMILY === 'Linux' ? 19 : 17;

    public readonly string $key;
    public readonly string $socket;
    public string $address = '127.0.0.1:0';
    /** @var list<string> */
    private array $lines = [];
    /** @var resource */
    private $process;
    /** @var resource */
    private $log;
    private string $rest = '';
    /** Where the log of the last start begins. */
    private int $from = 0;

    public function __construct(private array $options = [])
    {
        // The shape of a key: rtk_ and 43 characters of base62.
        $this->key = 'rtk_' . substr(str_replace(['+', '/', '='], 'x', base64_encode(random_bytes(40))), 0, 43);
        $directory = sys_get_temp_dir() . '/realtime-test-' . bin2hex(random_bytes(6));
        mkdir($directory, 0700);
        $this->socket = "$directory/realtime.sock";
        $this->start();
    }

    public function start(): void
    {
        // Without one of the test's own there is no configuration: that of a server which is installed here is none of it.
        $config = in_array('--config', $this->options, true) ? [] : ['--config', '/dev/null'];
        $command = [binary(), 'start', ...$config, '--listen', $this->address, '--unix-socket', $this->socket, ...$this->options];
        $environment = ['REALTIME_PUBLISHER_KEY' => $this->key, 'REALTIME_LOG_LEVEL' => 'debug'];
        $this->process = proc_open($command, [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['pipe', 'w']], $pipes, null, $environment);
        $this->log = $pipes[2];
        $this->rest = '';
        $this->from = count($this->lines);
        stream_set_blocking($this->log, false);
        // The same port at the next start.
        $this->address = $this->waitFor('/listening on (\S+:\d+)/')[1];
    }

    /** Ends it: orderly with SIGTERM, or at once with SIGKILL. */
    public function stop(int $signal = self::TERM): void
    {
        if (!$this->process) {
            return;
        }
        proc_terminate($this->process, $signal);
        // Ends when the process has ended, which closes its end of the pipe.
        while ($this->read()) {
        }
        fclose($this->log);
        proc_close($this->process);
        $this->process = null;
    }

    public function restart(int $signal = self::TERM): void
    {
        $this->stop($signal);
        $this->start();
    }

    /** Stops it from doing anything, without closing its sockets; and lets it go on. */
    public function freeze(): void
    {
        proc_terminate($this->process, self::STOP);
        // Threads stop one by one; the parent is told when all have.
        while (!proc_get_status($this->process)['stopped']) {
        }
    }

    public function thaw(): void
    {
        proc_terminate($this->process, self::CONTINUE);
    }

    public function url(): string
    {
        return "ws://$this->address";
    }

    public function client(?float $timeout = null): RealtimeClient
    {
        return new RealtimeClient($this->url(), $this->key, $timeout);
    }

    /** How many publishers have connected since the test began. Stops the server, so that its log is complete. */
    public function publishers(): int
    {
        $this->stop();
        return count(preg_grep('/publisher connected/', $this->lines));
    }

    /** @return array the match in the first line since the last start that has one */
    public function waitFor(string $pattern): array
    {
        $deadline = microtime(true) + self::PATIENCE;
        for ($i = $this->from;; $i++) {
            while (!isset($this->lines[$i])) {
                if (!$this->ready($deadline - microtime(true)) || !$this->read()) {
                    throw new Exception("the server's log has no $pattern:\n" . implode("\n", $this->lines));
                }
            }
            if (preg_match($pattern, $this->lines[$i], $match)) {
                return $match;
            }
        }
    }

    private function ready(float $seconds): bool
    {
        [$read, $write, $except] = [[$this->log], null, null];
        return $seconds > 0 && stream_select($read, $write, $except, 0, (int) ($seconds * 1e6)) > 0;
    }

    private function read(): bool
    {
        [$read, $write, $except] = [[$this->log], null, null];
        stream_select($read, $write, $except, self::PATIENCE);
        $chunk = fread($this->log, 65536);
        if ($chunk === '' || $chunk === false) {
            return false;
        }
        $lines = explode("\n", $this->rest . $chunk);
        $this->rest = array_pop($lines);
        array_push($this->lines, ...$lines);
        return true;
    }

    public function __destruct()
    {
        $this->stop(self::KILL);
        @unlink($this->socket);
        @rmdir(dirname($this->socket));
    }
}

function binary(): string
{
    return getenv('REALTIME_SERVER') ?: throw new Exception('REALTIME_SERVER names no realtime-server');
}

/** A server that accepts and never says a word. */
final class MuteServer
{
    /** @var resource */
    public $listener;

    public function __construct()
    {
        $this->listener = stream_socket_server('tcp://127.0.0.1:0');
    }

    public function url(): string
    {
        return 'ws://' . stream_socket_get_name($this->listener, false);
    }

    /** How many connections were made since the last question. */
    public function connections(): int
    {
        for ($count = 0; @stream_socket_accept($this->listener, 0); $count++) {
        }
        return $count;
    }
}
