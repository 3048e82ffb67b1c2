--TEST--
Tutorial: a page subscribes, PHP publishes a message made with json_encode()
--FILE--
<?php
require __DIR__ . '/../inc/all.php';
$server = new Server();
$browser = new Browser($server->url());
$browser->send(['type' => 'subscribe', 'channel' => 'user_updates_123']);
$browser->receive('subscribed');

// As in the tutorial, but for the class and the key.
$client = new RealtimeClient($server->url(), key: $server->key);
foreach (['Profile updated', ['name' => 'Ann', 'age' => 33]] as $data) {
    $array = ['type' => 'broadcast_update', 'channel' => 'user_updates_123', 'data' => $data];
    try {
        $client->send(json_encode($array));
    } catch (Exception $e) {
        error_log($e->getMessage());
    }
    // The page: message.type === 'broadcast_update' && message.channel === 'user_updates_123'
    $message = $browser->receive('broadcast_update');
    var_dump($message['channel'] === 'user_updates_123', $message['data'] === $data);
}
?>
--EXPECT--
bool(true)
bool(true)
bool(true)
bool(true)
