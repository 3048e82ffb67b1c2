--TEST--
URLs and keys are checked when the object is made, and repeated in no message
--FILE--
<?php
require __DIR__ . '/inc/all.php';
foreach (['127.0.0.1:8080', 'http://host', 'ws://', 'ws://user:secret@host', 'ws://host:99999', 'ws://host/?key=secret', "ws://host/\r\nX: y", 'unix://run/x.sock'] as $url) {
    show(fn () => new RealtimeClient($url));
}
show(fn () => new RealtimeClient('ws://host', "rtk_secret\r\nX: y"));
echo run_php('-d', 'realtime.url=host', '-r', 'try { new RealtimeClient; } catch (ValueError $e) { echo $e->getMessage(), "\n"; }');
echo run_php('-d', 'realtime.key=ä', '-r', 'try { new RealtimeClient; } catch (ValueError $e) { echo $e->getMessage(), "\n"; }');
?>
--EXPECT--
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must begin with ws://, wss:// or unix://
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must begin with ws://, wss:// or unix://
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must name a host, as in ws://127.0.0.1:8080
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must not contain a user or password; the key has its own setting
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must have a port between 1 and 65535
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must not contain a query or fragment
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must have a path of visible ASCII characters
ValueError: RealtimeClient::__construct(): Argument #1 ($url) must name a socket by its absolute path, as in unix:///run/realtime/realtime.sock
ValueError: RealtimeClient::__construct(): Argument #2 ($key) must contain only visible ASCII characters
realtime.url must begin with ws://, wss:// or unix://
realtime.key must contain only visible ASCII characters
