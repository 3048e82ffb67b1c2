--TEST--
A process makes one TLS connector: a second connection costs no second loading of authorities
--SKIPIF--
<?php
if (!`command -v openssl`) die('skip needs the openssl command');
if (!is_readable('/proc/self/statm')) die('skip needs /proc');
?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$certificates = (new Certificates())->make('server');
// As many authorities as a system has, which is what makes a connector expensive.
$bundle = str_repeat(file_get_contents($certificates->path('server.pem')), 1);
for ($i = 0; $i < 40; $i++) {
    $certificates->make('more', "DNS:m$i.example");
    $bundle .= file_get_contents($certificates->path('more.pem'));
}
file_put_contents($certificates->path('bundle.pem'), $bundle);
$server = new Server($certificates->options('server'));
$port = tls_port($server);
$code = <<<'PHP'
    function resident() { return (int) explode(' ', file_get_contents('/proc/self/statm'))[1] * 4096; }
    // Each key has a connection of its own, refused after its handshake.
    function connect($url, $n) {
        try { (new RealtimeClient($url, "rtk_$n"))->ping(); } catch (RealtimeAuthException) { return 1; }
        return 0;
    }
    $refused = 0;
    for ($n = 0; $n < 20; $n++) { $refused += connect($url, $n); }
    // The file is read once: without it everything goes on.
    unlink($bundle);
    $before = resident();
    for (; $n < 220; $n++) { $refused += connect($url, $n); }
    echo $refused, ' ', resident() - $before < 2_000_000 ? 'flat' : 'grows by ' . (resident() - $before);
    PHP;
$code = "\$url = 'wss://localhost:$port'; \$bundle = '{$certificates->path('bundle.pem')}'; $code";
echo with_authority($certificates->path('bundle.pem'), $code), "\n";
?>
--EXPECT--
220 flat
