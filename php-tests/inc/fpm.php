<?php

/** php-fpm with the extension and a fixed number of workers, spoken to by FastCGI without a web server. */
final class Fpm
{
    private string $directory;
    /** @var resource */
    private $process;
    /** @var resource */
    private $log;

    public function __construct(private int $workers = 2, array $ini = [])
    {
        $this->directory = sys_get_temp_dir() . '/realtime-fpm-' . bin2hex(random_bytes(6));
        mkdir($this->directory, 0700);
        $settings = '';
        foreach ($ini as $name => $value) {
            $settings .= "php_admin_value[$name] = \"$value\"\n";
        }
        $user = (int) shell_exec('id -u') === 0 ? "user = root\ngroup = root\n" : '';
        file_put_contents("$this->directory/fpm.conf", "[global]\nerror_log = /proc/self/fd/2\nlog_level = notice\n"
            . "[www]\n{$user}listen = {$this->socket()}\npm = static\npm.max_children = $workers\n"
            . "request_terminate_timeout = 30s\n$settings");
        $command = [self::binary(), '-n', '-F', '-O', '-R', '-y', "$this->directory/fpm.conf", '-d', 'extension=' . getenv('REALTIME_EXTENSION')];
        $this->process = proc_open($command, [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['pipe', 'w']], $pipes);
        $this->log = $pipes[2];
        for ($said = ''; !str_contains($said, 'ready to handle connections'); $said .= $line) {
            if (($line = fgets($this->log)) === false) {
                throw new Exception("php-fpm did not start:\n$said");
            }
        }
    }

    public static function binary(): ?string
    {
        $version = PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
        $candidates = [getenv('REALTIME_PHP_FPM') ?: '', "/usr/sbin/php-fpm$version", PHP_BINDIR . '/php-fpm', dirname(PHP_BINDIR) . '/sbin/php-fpm'];
        foreach ($candidates as $candidate) {
            if ($candidate !== '' && is_executable($candidate)) {
                return $candidate;
            }
        }
        return null;
    }

    public function socket(): string
    {
        return "$this->directory/fpm.sock";
    }

    /** Writes a script, and says where it is. */
    public function script(string $name, string $code): string
    {
        file_put_contents("$this->directory/$name.php", "<?php\n$code");
        return "$this->directory/$name.php";
    }

    /** The body of the response. */
    public function request(string $script, string $query = ''): string
    {
        $stream = $this->begin($script, $query);
        return $this->finish($stream);
    }

    /** @return resource a request that a worker will answer */
    public function begin(string $script, string $query = '')
    {
        $parameters = ['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => $query, 'SERVER_PROTOCOL' => 'HTTP/1.1'];
        $pairs = '';
        foreach ($parameters as $name => $value) {
            // Lengths over 127 take four bytes with the top bit set (FastCGI 1.0, §3.4).
            $size = strlen($value) < 128 ? chr(strlen($value)) : pack('N', strlen($value) | 0x80000000);
            $pairs .= chr(strlen($name)) . $size . $name . $value;
        }
        $stream = stream_socket_client("unix://{$this->socket()}", timeout: Server::PATIENCE);
        stream_set_timeout($stream, Server::PATIENCE + 30);
        // BEGIN_REQUEST as responder, PARAMS, end of PARAMS, empty STDIN.
        fwrite($stream, self::record(1, pack('nCx5', 1, 0)) . self::record(4, $pairs) . self::record(4, '') . self::record(5, ''));
        return $stream;
    }

    /** @param resource $stream */
    public function finish($stream): string
    {
        $output = '';
        while (strlen($head = (string) stream_get_contents($stream, 8)) === 8) {
            ['type' => $type, 'length' => $length, 'padding' => $padding] = unpack('Cversion/Ctype/nid/nlength/Cpadding', $head);
            $content = $length + $padding > 0 ? stream_get_contents($stream, $length + $padding) : '';
            if ($type === 6) {
                $output .= substr($content, 0, $length);
            } elseif ($type === 3) {
                break;
            }
        }
        return explode("\r\n\r\n", $output, 2)[1] ?? '';
    }

    private static function record(int $type, string $content): string
    {
        return pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    }

    public function __destruct()
    {
        proc_terminate($this->process, Server::TERM);
        proc_close($this->process);
        array_map(unlink(...), glob("$this->directory/*"));
        rmdir($this->directory);
    }
}
