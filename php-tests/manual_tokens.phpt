--TEST--
The endpoints and the configuration of docs/authentication.md do what it says
--SKIPIF--
<?php if (!extension_loaded('session')) die('skip needs sessions'); ?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
const SECRET = '0123456789abcdef0123456789abcdef';
$directory = sys_get_temp_dir() . '/realtime-test-' . bin2hex(random_bytes(6));
mkdir($directory, 0700);
foreach ([
    'token.php' => snippet('authentication.md', 'php', 'connectionToken($_SESSION'),
    'channel-token.php' => snippet('authentication.md', 'php', '// channel-token.php'),
    // What the manual leaves to the application: its login, and who may see what.
    'login.php' => '<?php session_start(); $_SESSION["user"] = $_GET["user"];',
    'application.php' => '<?php function may_see_order($user, $order) { return "$user $order" === "u7 42"; }',
    'realtime.toml' => str_replace('4f7a…', SECRET, snippet('authentication.md', 'toml', 'secret = "4f7a…"')),
] as $file => $content) {
    file_put_contents("$directory/$file", $content);
}
$server = new Server(['--config', "$directory/realtime.toml"]);
$command = [PHP_BINARY, '-n', '-d', 'extension=' . getenv('REALTIME_EXTENSION'), '-d', 'realtime.token_secret=' . SECRET, '-d', "session.save_path=$directory",
    '-d', "auto_prepend_file=$directory/application.php", '-S', '127.0.0.1:0', '-t', $directory];
$process = proc_open($command, [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['pipe', 'w']], $pipes);
while (($line = fgets($pipes[2])) !== false && !preg_match('~\(http://([\d.:]+)\) started~', $line, $match)) {
}
$cookie = '';
/** What a page gets from PHP: status, whether nobody may keep it, and the answer. */
function ask(string $url): array
{
    global $match, $cookie;
    $context = stream_context_create(['http' => ['header' => $cookie, 'ignore_errors' => true]]);
    $answer = file_get_contents("http://$match[1]/$url", false, $context);
    // The variable is deprecated from PHP 8.5 on, and the function not there before 8.4.
    $headers = function_exists('http_get_last_response_headers') ? http_get_last_response_headers() : $http_response_header;
    foreach ($headers as $line) {
        if (preg_match('/^Set-Cookie: ([^;]+)/i', $line, $set)) {
            $cookie = "Cookie: $set[1]";
        }
    }
    return [explode(' ', $headers[0])[1], preg_match('/^Cache-Control:.*no-store/im', implode("\n", $headers)), $answer];
}
function answered(Browser $browser, array $command, string $reply): void
{
    $browser->send($command);
    $answer = $browser->receive($reply);
    echo $answer['type'], ' ', $answer['code'] ?? $answer['channel'] ?? $answer['user'], "\n";
}

echo "-- a visitor\n", json_encode(ask('token.php')), json_encode(ask('channel-token.php?channel=orders.42')), "\n";
ask('login.php?user=u7');
echo "-- a user\n";
[$status, $uncached, $token] = ask('token.php');
echo "$status $uncached\n";
$browser = new Browser($server->url());
answered($browser, ['type' => 'connect', 'token' => $token], 'connected');
answered($browser, ['type' => 'subscribe', 'channel' => 'user:u7:orders'], 'subscribed');
answered($browser, ['type' => 'subscribe', 'channel' => 'user:u8:orders'], 'error');
echo $server->client()->sendToUser('u7', 'for you')->receivers, "\n";
echo "-- one channel\n";
answered($browser, ['type' => 'subscribe', 'channel' => 'orders.42'], 'error');
[$status, $uncached, $token] = ask('channel-token.php?channel=orders.42');
echo "$status $uncached\n";
answered($browser, ['type' => 'subscribe', 'channel' => 'orders.42', 'token' => $token], 'subscribed');
echo json_encode([ask('channel-token.php?channel=orders.43'), ask('channel-token.php?channel[]=orders.42'), ask('channel-token.php')]), "\n";

proc_terminate($process);
proc_close($process);
array_map(unlink(...), glob("$directory/*"));
rmdir($directory);
?>
--EXPECT--
-- a visitor
["200",1,""]["403",1,""]
-- a user
200 1
connected u7
subscribed user:u7:orders
error forbidden
1
-- one channel
error forbidden
200 1
subscribed orders.42
[["403",1,""],["403",1,""],["403",1,""]]
