--TEST--
The module shows its version and settings, and never the key
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$shown = run_php('-d', 'realtime.key=rtk_secret', '-d', 'realtime.url=wss://example.org/rt', '--ri', 'realtime');
echo rtrim(preg_replace('/^Version => \d+\.\d+\.\d+\S*$/m', 'Version => (a version)', $shown)), "\n";
$info = run_php('-d', 'realtime.key=rtk_secret', '-r', 'phpinfo(INFO_MODULES);');
var_dump(str_contains($shown . $info, 'rtk_secret'), version_compare(phpversion('realtime'), '0.1.0', '>='));
?>
--EXPECT--
realtime

Realtime publisher => enabled
Version => (a version)
URL schemes => ws, wss, unix
TLS => native-tls

Directive => Local Value => Master Value
realtime.url => wss://example.org/rt => wss://example.org/rt
realtime.key => (set) => (set)
realtime.token_secret => no value => no value
realtime.token_kid => no value => no value
realtime.token_audience => no value => no value
realtime.connect_timeout => 1 => 1
realtime.timeout => 2 => 2
realtime.retry_after => 5 => 5
realtime.tls_ca => no value => no value
bool(false)
bool(true)
