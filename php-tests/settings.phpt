--TEST--
Settings are validated, restored, and read anew at each use
--FILE--
<?php
require __DIR__ . '/inc/all.php';
foreach (['-3', '0', 'NAN', 'inf', '2s', '', '1e9', '86401'] as $value) {
    echo $value, ': ', var_export(ini_set('realtime.timeout', $value), true), ' ', ini_get('realtime.timeout'), "\n";
}
var_dump(ini_set('realtime.timeout', '0.25'), ini_get('realtime.timeout'));
ini_restore('realtime.timeout');
var_dump(ini_get('realtime.timeout'), ini_set('realtime.retry_after', '0'));
// Only an administrator says where the application's key goes, and whom to trust.
var_dump(ini_set('realtime.url', 'ws://elsewhere'), ini_set('realtime.key', 'x'), ini_set('realtime.tls_ca', '/tmp/x'));
echo run_php('-d', 'display_startup_errors=1', '-d', 'realtime.timeout=soon', '-r', 'echo ini_get("realtime.timeout"), "\n";');

$silent = new MuteServer();
$rt = new RealtimeClient($silent->url());
ini_set('realtime.retry_after', '0');
foreach (['0.05', '0.06'] as $timeout) {
    ini_set('realtime.timeout', $timeout);
    show(fn () => $rt->ping());
}
?>
--EXPECTF--
-3: false 2
0: false 2
NAN: false 2
inf: false 2
2s: false 2
: false 2
1e9: false 2
86401: false 2
string(1) "2"
string(4) "0.25"
string(1) "2"
string(1) "5"
bool(false)
bool(false)
bool(false)
%AWarning: realtime.timeout must be a number of seconds, greater than 0 and at most 86400; the default is used in Unknown on line 0
2
RealtimeConnectionException: Could not connect to ws://127.0.0.1:%d: no answer within 0.1 s. Is a firewall in between, or the server stopped?
RealtimeConnectionException: Could not connect to ws://127.0.0.1:%d: no answer within 0.1 s. Is a firewall in between, or the server stopped?
