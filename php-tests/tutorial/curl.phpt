--TEST--
Tutorial: PHP publishes by curl to /broadcast
--EXTENSIONS--
curl
--FILE--
<?php
require __DIR__ . '/../inc/all.php';
$server = new Server();
$browser = Browser::subscribed($server->url(), 'user_updates_123');
$array = ['type' => 'broadcast_update', 'channel' => 'user_updates_123', 'data' => ['text' => 'Profile updated']];

// As in the tutorial, but for the Authorization header.
$ch = curl_init(str_replace('ws://', 'http://', $server->url()) . '/broadcast');
curl_setopt($ch, CURLOPT_POST, true);
curl_setopt($ch, CURLOPT_POSTFIELDS, json_encode($array));
curl_setopt($ch, CURLOPT_HTTPHEADER, ['Content-Type: application/json', "Authorization: Bearer $server->key"]);
curl_setopt($ch, CURLOPT_RETURNTRANSFER, true);
$response = curl_exec($ch);
echo curl_getinfo($ch, CURLINFO_RESPONSE_CODE), ' ', json_decode($response)->type, ' ', json_decode($response)->receivers, "\n";
echo json_encode($browser->receive('broadcast_update')), "\n";
curl_setopt($ch, CURLOPT_HTTPHEADER, ['Content-Type: application/json']);
echo json_decode(curl_exec($ch))->error->code, ' ', curl_getinfo($ch, CURLINFO_RESPONSE_CODE), "\n";
?>
--EXPECT--
200 ack 1
{"type":"broadcast_update","channel":"user_updates_123","data":{"text":"Profile updated"}}
unauthorized 401
