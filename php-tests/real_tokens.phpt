--TEST--
The real server believes what PHP signs, and does to users what PHP says
--INI--
realtime.token_secret=0123456789abcdef0123456789abcdef
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$directory = sys_get_temp_dir() . '/realtime-test-' . bin2hex(random_bytes(6));
mkdir($directory, 0700);
file_put_contents("$directory/realtime.toml", <<<'TOML'
    [tokens]
    audience = "shop"
    keys = [
        { kid = "old", secret = "0123456789abcdef0123456789abcdef" },
        { kid = "new", secret = "ABCDEF0123456789ABCDEF0123456789" },
    ]

    [[channels]]
    pattern = "user:{user}:*"
    subscribe = "user"

    [[channels]]
    pattern = "room.*"
    subscribe = "user"
    presence.enabled = true
    TOML);
/** What another PHP with these settings makes of an expression about $rt. */
function minted(string $expression, string ...$settings): string
{
    $settings = ['token_secret=' . ini_get('realtime.token_secret'), 'token_audience=shop', ...$settings];
    $arguments = array_merge(...array_map(fn ($setting) => ['-d', "realtime.$setting"], $settings));
    return run_php(...[...$arguments, '-r', "\$rt = new RealtimeClient('ws://127.0.0.1:1'); echo \$rt->$expression;"]);
}
/** Sends a command and shows what it is answered by, without what is new each time. */
function ask(Browser $browser, array $command, string $reply): void
{
    $browser->send($command);
    $answer = $browser->receive($reply);
    if (isset($answer['expires'])) {
        $answer['expires'] -= time();
        $answer['expires'] = $answer['expires'] > 3500 && $answer['expires'] <= 3600 ? 'in an hour' : $answer['expires'];
    }
    unset($answer['message']);
    echo json_encode($answer), "\n";
}
function signed_in(Server $server, string $user): Browser
{
    $browser = new Browser($server->url());
    ask($browser, ['type' => 'connect', 'token' => minted("connectionToken('$user', channels: ['orders.*'], info: ['name' => 'Ana'])")], 'connected');
    return $browser;
}
$server = new Server(['--config', "$directory/realtime.toml", '--data-dir', "$directory/data"]);
$rt = $server->client();

echo "-- who is who\n";
$browser = signed_in($server, 'u7');
ask($browser, ['type' => 'subscribe', 'channel' => 'user:u7:news'], 'subscribed');
ask($browser, ['type' => 'subscribe', 'channel' => 'orders.42'], 'subscribed');
ask($browser, ['type' => 'subscribe', 'channel' => 'user:u8:news'], 'error');
ask($browser, ['type' => 'subscribe', 'channel' => 'room.1'], 'subscribed');
echo json_encode($rt->presence('room.1')), "\n";
var_dump($rt->sendToUser('u7', 'for you')->receivers);

echo "-- one channel\n";
ask($browser, ['type' => 'subscribe', 'channel' => 'private-1'], 'error');
ask($browser, ['type' => 'subscribe', 'channel' => 'private-1', 'token' => minted("channelToken('private-1', 'u7')")], 'subscribed');
ask($browser, ['type' => 'subscribe', 'channel' => 'private-2', 'token' => minted("channelToken('private-2', 'u8')")], 'error');
ask($browser, ['type' => 'subscribe', 'channel' => 'private-2', 'token' => minted("connectionToken('u7')")], 'error');

echo "-- keys\n";
foreach ([
    [['token_kid=new', 'token_secret=ABCDEF0123456789ABCDEF0123456789'], 'connected'],
    [['token_secret=ABCDEF0123456789ABCDEF0123456789'], 'connected'],
    [['token_kid=old'], 'connected'],
    [['token_kid=new'], 'error'],
    [['token_kid=unknown'], 'error'],
    [['token_audience=other'], 'error'],
    [['token_audience='], 'error'],
] as [$settings, $reply]) {
    $other = new Browser($server->url());
    ask($other, ['type' => 'connect', 'token' => minted("connectionToken('u9')", ...$settings)], $reply);
}

echo "-- out of a channel\n";
$second = signed_in($server, 'u7');
ask($second, ['type' => 'subscribe', 'channel' => 'orders.42'], 'subscribed');
var_dump($rt->unsubscribeUser('u7', 'orders.42'), $rt->unsubscribeUser('nobody', 'orders.42'));
foreach ([$browser, $second] as $left) {
    echo json_encode($left->receive('unsubscribed')), "\n";
}

echo "-- tokens of before\n";
$old = minted("connectionToken('u7')");
var_dump($rt->revokeTokens('u7'), $rt->revokeTokens('nobody'));
$revoked = time();
foreach ([$browser, $second] as $closed) {
    echo json_encode($closed->receive('disconnect')), "\n";
}
$server->restart();
$late = new Browser($server->url());
ask($late, ['type' => 'connect', 'token' => $old], 'error');
var_dump($late->receive('disconnect')['code']);
// Those of the same second are revoked, too: what is waited for is the clock.
while (time() <= $revoked) {
    usleep(10_000);
}
$browser = new Browser($server->url());
ask($browser, ['type' => 'connect', 'token' => minted("connectionToken('u7')")], 'connected');

echo "-- out\n";
var_dump($rt->disconnectUser('u7', reason: 'banned'), $rt->disconnectUser('nobody'));
echo json_encode($browser->receive('disconnect')), "\n";
show(fn () => $rt->disconnectUser('u7', str_repeat('x', 200)));
show(fn () => $rt->revokeTokens(''));
$server->stop();
array_map(unlink(...), glob("$directory/{*.toml,data/*}", GLOB_BRACE));
rmdir("$directory/data");
rmdir($directory);
?>
--EXPECT--
-- who is who
{"type":"connected","user":"u7","expires":"in an hour"}
{"type":"subscribed","channel":"user:u7:news"}
{"type":"subscribed","channel":"orders.42"}
{"type":"error","code":"forbidden","channel":"user:u8:news"}
{"type":"subscribed","channel":"room.1","members":[{"user":"u7","info":{"name":"Ana"},"connections":1}]}
[{"user":"u7","info":{"name":"Ana"},"connections":1}]
int(1)
-- one channel
{"type":"error","code":"forbidden","channel":"private-1"}
{"type":"subscribed","channel":"private-1"}
{"type":"error","code":"forbidden","channel":"private-2"}
{"type":"error","code":"token_invalid","channel":"private-2"}
-- keys
{"type":"connected","user":"u9","expires":"in an hour"}
{"type":"connected","user":"u9","expires":"in an hour"}
{"type":"connected","user":"u9","expires":"in an hour"}
{"type":"error","code":"token_invalid"}
{"type":"error","code":"token_invalid"}
{"type":"error","code":"token_invalid"}
{"type":"error","code":"token_invalid"}
-- out of a channel
{"type":"connected","user":"u7","expires":"in an hour"}
{"type":"subscribed","channel":"orders.42"}
int(2)
int(0)
{"type":"unsubscribed","channel":"orders.42","reason":"unsubscribed"}
{"type":"unsubscribed","channel":"orders.42","reason":"unsubscribed"}
-- tokens of before
int(2)
int(0)
{"type":"disconnect","code":4004,"reason":"token revoked","reconnect":true}
{"type":"disconnect","code":4004,"reason":"token revoked","reconnect":true}
{"type":"error","code":"token_expired"}
int(4004)
{"type":"connected","user":"u7","expires":"in an hour"}
-- out
int(1)
int(0)
{"type":"disconnect","code":4003,"reason":"banned","reconnect":false}
RealtimeServerException: reason has 200 bytes, and may have 120 (bad_request)
RealtimeServerException: user ids must not be empty (invalid_name)
