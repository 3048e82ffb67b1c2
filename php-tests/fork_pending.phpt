--TEST--
A fork inherits neither what is pending nor the source of keys
--EXTENSIONS--
pcntl
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$server = new FakeServer(['hold']);
$rt = $server->client();
$rt->broadcast('c', 'later', confirm: 'later');
$deferred = $rt->broadcast('c', 'deferred', confirm: 'deferred');
$child = pcntl_fork();
if ($child === 0) {
    // An orderly end, at which the child would settle what is its own.
    echo json_encode($rt->stats()), "\n";
    $rt->broadcast('c', 'child', confirm: 'later');
    echo count($rt->flush()), "\n";
    // Without the destructors of what belongs to the parent.
    pcntl_exec(PHP_BINARY, ['-n', '-r', '']);
}
$server->frame();
$prefix = substr($deferred->idempotencyKey, 0, 23);
// It waits for its acknowledgement.
$frame = $server->frame();
echo $frame['data'], ' ', str_starts_with($frame['key'], $prefix) ? 'the same' : 'another', " prefix\n";
$server->release();
pcntl_waitpid($child, $status);
echo count($rt->flush()), ' ', json_encode($server->published()), "\n";
?>
--EXPECT--
{"sent":0,"acknowledged":0,"resent":0,"failed":0,"dropped":0,"outstanding":0,"deferred":0,"connects":0}
child another prefix
1
2 ["deferred"]
