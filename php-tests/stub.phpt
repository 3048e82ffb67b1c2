--TEST--
realtime.stub.php agrees with the extension
--FILE--
<?php
require __DIR__ . '/check-stub.php';
?>
--EXPECTF--
realtime.stub.php agrees with the extension: %d classes
