--TEST--
What the server refuses is an exception with its code, and the connection stays
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new Server();
$rt = $server->client();
try {
    $rt->broadcast(str_repeat('x', 201), 1);
} catch (RealtimeServerException $error) {
    echo $error->serverCode, ': ', $error->getMessage(), ' ', json_encode($error->results), "\n";
}
try {
    $rt->broadcast('c', str_repeat('x', 70_000));
} catch (RealtimeServerException $error) {
    echo $error->serverCode, "\n";
}
// More than the server reads in one frame, which it would close the connection for.
foreach (['ack', 'later'] as $confirm) {
    try {
        $rt->broadcast('c', str_repeat('x', 8 << 20), confirm: $confirm);
    } catch (RealtimeServerException $error) {
        echo $error->serverCode, ': ', preg_replace('/\d{7}/', 'N', $error->getMessage()), "\n";
    }
}
try {
    $rt->broadcast(['fine', '', 'fine too'], 1);
} catch (RealtimeServerException $error) {
    echo $error->serverCode, ': ', $error->getMessage(), "\n";
    foreach ($error->results as $channel => $result) {
        echo "[$channel] ", $result instanceof RealtimeReceipt ? "$result->receivers receivers" : $result->serverCode, "\n";
    }
}
foreach (['rtk_wrong', ''] as $key) {
    try {
        (new RealtimeClient($server->url(), $key))->ping();
    } catch (RealtimeAuthException $error) {
        echo $error->getCode(), ' ', str_contains($error->getMessage(), $server->url() . ' refused the '), ' ', str_contains($error->getMessage(), 'rtk_wrong') ? 'shown' : 'hidden', "\n";
    }
}
$rt->ping();
echo $server->publishers(), " connection\n";
?>
--EXPECT--
invalid_name: channel names must not be longer than 200 bytes (invalid_name) []
too_large
too_large: the command has N bytes, and servers take 8 MiB at once; send less, or where to get it (too_large)
too_large: the command has N bytes, and servers take 8 MiB at once; send less, or where to get it (too_large)
invalid_name: The server refused 1 of 3 channels, first "": channel names must not be empty (invalid_name)
[fine] 0 receivers
[] invalid_name
[fine too] 0 receivers
401 1 hidden
401 1 hidden
1 connection
