--TEST--
The token secret comes from the settings, says what is wrong with it, and is shown nowhere
--FILE--
<?php
require __DIR__ . '/inc/all.php';
const SECRET = '0123456789abcdef-secret-0123456789';
$mint = 'try { echo (new RealtimeClient("ws://127.0.0.1:1"))->connectionToken("u7"), "\n"; }'
    . ' catch (ValueError $error) { echo $error->getMessage(), "\n"; }';
function claims(string $token): string
{
    return implode(' ', array_map(fn ($part) => base64_decode(strtr($part, '-_', '+/')), array_slice(explode('.', $token), 0, 2)));
}
echo run_php('-r', $mint);
echo run_php('-d', 'realtime.token_secret=0123456789-secret', '-r', $mint);
echo preg_replace('/\d{6,}/', 'TIME', claims(run_php('-d', 'realtime.token_secret=' . SECRET, '-d', 'realtime.token_kid=2026', '-d', 'realtime.token_audience=shop', '-r', $mint))), "\n";
// Only an administrator says what tokens are signed with.
var_dump(ini_set('realtime.token_secret', SECRET), ini_set('realtime.token_kid', 'x'), ini_set('realtime.token_audience', 'x'));
$secret = '-drealtime.token_secret=' . SECRET;
$shown = run_php($secret, '--ri', 'realtime');
echo implode("\n", preg_grep('/token/', explode("\n", $shown))), "\n";
$info = run_php($secret, '-r', 'phpinfo(INFO_MODULES);');
$dumped = run_php($secret, '-d', 'zend.exception_ignore_args=0', '-r', '
    $rt = new RealtimeClient("ws://127.0.0.1:1");
    $rt->connectionToken("u7");
    var_dump($rt);
    print_r($rt);
    class Broken implements JsonSerializable { public function jsonSerialize(): mixed { throw new LogicException; } }
    $rt->connectionToken("u7", info: new Broken);');
var_dump(str_contains($dumped, 'LogicException'), str_contains($shown . $info . $dumped, 'secret-'));
?>
--EXPECT--
realtime.token_secret is not set: write realtime.token_secret="…" into php.ini, with the secret that the server has as tokens.secret; make one with: realtime-server token --new-secret
realtime.token_secret has 17 bytes, and must have at least 32; make one with: realtime-server token --new-secret
{"alg":"HS256","typ":"JWT","kid":"2026"} {"sub":"u7","aud":"shop","iat":TIME,"exp":TIME}
bool(false)
bool(false)
bool(false)
realtime.token_secret => (set) => (set)
realtime.token_kid => no value => no value
realtime.token_audience => no value => no value
bool(true)
bool(false)
