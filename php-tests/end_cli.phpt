--TEST--
At the end of a script everything is settled; what was deferred is dropped when the script failed
--FILE--
<?php
require __DIR__ . '/inc/all.php';
/** Runs a script that publishes, and shows what arrived and what it said. */
function end_with(string $code, string ...$ini): void
{
    $server = new FakeServer(['answer']);
    $settings = array_merge(...array_map(fn ($setting) => ['-d', $setting], ['display_errors=0', 'log_errors=1', 'html_errors=0', 'error_reporting=E_ALL&~E_DEPRECATED', "realtime.url={$server->url()}", ...$ini]));
    $said = run_php(...$settings, ...['-r', "\$rt = new RealtimeClient; \$rt->broadcast('c', 'later', confirm: 'later'); \$rt->broadcast('c', 'deferred', confirm: 'deferred'); $code"]);
    echo implode(',', $server->published()), "\n", preg_replace(['/^\[[^]]*\] /m', '/ in .*$/m', '/^(Stack trace|#|  thrown).*\n/m', '/^\n/m'], '', $said);
}
end_with('');
end_with('exit(3);');
end_with('unset($rt);');
end_with('register_shutdown_function(fn () => $rt->broadcast("c", "shutdown", confirm: "deferred"));');
end_with('final class D { function __destruct() { (new RealtimeClient)->broadcast("c", "destructor", confirm: "later"); } } $d = new D;');
end_with('throw new DomainException("no");');
end_with('trigger_error("fatal", E_USER_ERROR);');
end_with('missing();');
end_with('$rt->discard();');
end_with('$rt->flush(); throw new DomainException("after the flush");');

// What is not acknowledged in time is told.
$server = new FakeServer(['mute']);
echo preg_replace('/^\[[^]]*\] /m', '', run_php('-d', 'log_errors=1', '-d', 'realtime.timeout=0.2', '-d', "realtime.url={$server->url()}", '-r', '$rt = new RealtimeClient; for ($i = 0; $i < 3; $i++) $rt->broadcast("c", $i, confirm: "later");'));
// What the server refuses is told.
$server = new FakeServer(['answer'], replies: ['broadcast_update' => '{"type":"error","id":ID,"code":"forbidden","message":"not here"}']);
echo preg_replace('/^\[[^]]*\] /m', '', run_php('-d', 'log_errors=1', '-d', "realtime.url={$server->url()}", '-r', '(new RealtimeClient)->broadcast("c", 1, confirm: "deferred");'));
?>
--EXPECTF--
later,deferred
later,deferred
later,deferred
later,deferred,shutdown
later,destructor,deferred
later
PHP Fatal error:  Uncaught DomainException: no
RealtimeClient: 1 deferred broadcast(s) dropped: the request ended with an uncaught exception or a fatal error
later
PHP Fatal error:  fatal
RealtimeClient: 1 deferred broadcast(s) dropped: the request ended with an uncaught exception or a fatal error
later
PHP Fatal error:  Uncaught Error: Call to undefined function missing()
RealtimeClient: 1 deferred broadcast(s) dropped: the request ended with an uncaught exception or a fatal error
later
later,deferred
PHP Fatal error:  Uncaught DomainException: after the flush
RealtimeClient: 3 of 3 broadcast(s) not acknowledged: ws://127.0.0.1:%d sent no acknowledgement within 0.2 s (realtime.timeout). The message may have been delivered.
RealtimeClient: 1 of 1 broadcast(s) not acknowledged: not here (forbidden)
