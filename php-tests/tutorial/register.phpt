--TEST--
Tutorial: a page registers with a user id and several channels, on / and on /ws
--FILE--
<?php
require __DIR__ . '/../inc/all.php';
$server = new Server();
$client = new RealtimeClient($server->url(), key: $server->key);
foreach (['/', '/ws'] as $path) {
    foreach (['42', 42] as $id) {
        $browser = new Browser($server->url() . $path);
        $browser->send(['action' => 'register', 'userId' => $id, 'channels' => ['general', 'user_42']]);
        $browser->receive('subscribed');
        $browser->receive('subscribed');
        foreach (['general', 'user_42'] as $channel) {
            $client->send(json_encode(['type' => 'broadcast_update', 'channel' => $channel, 'data' => 'text']));
            $message = $browser->receive('broadcast_update');
            echo "$message[channel]: $message[data]\n";
        }
    }
}
?>
--EXPECT--
general: text
user_42: text
general: text
user_42: text
general: text
user_42: text
general: text
user_42: text
