--TEST--
The configured key goes to the configured URL only, and no key over a unix socket
--FILE--
<?php
require __DIR__ . '/inc/all.php';
/** The Authorization header that a client sends, whose arguments are PHP code. */
function authorization($listener, string $url, string $arguments): string
{
    $command = [PHP_BINARY, '-n', '-d', 'extension=' . getenv('REALTIME_EXTENSION'), '-d', "realtime.url=$url", '-d', 'realtime.key=rtk_configured',
        '-r', "try { (new RealtimeClient($arguments))->ping(); } catch (RealtimeException) {}"];
    $process = proc_open($command, [], $pipes);
    $stream = stream_socket_accept($listener, Server::PATIENCE);
    $found = 'none';
    while (($line = trim(fgets($stream))) !== '') {
        $found = preg_match('/^authorization: (.*)/i', $line, $match) ? $match[1] : $found;
    }
    fclose($stream);
    proc_close($process);
    return $found;
}
$tcp = new MuteServer();
$path = sys_get_temp_dir() . '/realtime-key-' . bin2hex(random_bytes(6)) . '.sock';
$unix = stream_socket_server("unix://$path");
echo authorization($tcp->listener, $tcp->url(), ''), "\n";
echo authorization($tcp->listener, $tcp->url(), 'key: "rtk_own"'), "\n";
echo authorization($tcp->listener, 'ws://127.0.0.1:1', "'{$tcp->url()}'"), "\n";
echo authorization($tcp->listener, 'ws://127.0.0.1:1', "'{$tcp->url()}', 'rtk_own'"), "\n";
echo authorization($unix, "unix://$path", ''), "\n";
echo authorization($unix, '', "'unix://$path', 'rtk_own'"), "\n";
unlink($path);
?>
--EXPECT--
Bearer rtk_configured
Bearer rtk_own
none
Bearer rtk_own
none
none
