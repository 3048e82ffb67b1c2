--TEST--
Why a wss:// server is not trusted is said, with what to do
--SKIPIF--
<?php if (!`command -v openssl`) die('skip needs the openssl command'); ?>
--FILE--
<?php
require __DIR__ . '/inc/all.php';
$certificates = (new Certificates())
    ->make('good')
    ->make('other', 'DNS:realtime.example.com')
    ->expired('old');
/** What a ping says, without OpenSSL's own words, which differ between its versions. */
function ping(Certificates $certificates, string $authority, string $url, float $patience = Server::PATIENCE): string
{
    $code = "try { (new RealtimeClient('$url', 'rtk_x'))->ping(); } catch (RealtimeConnectionException \$e) { echo \$e->getMessage(); }";
    $said = with_authority($certificates->path($authority), $code, $patience);
    $said = str_replace($certificates->path(''), 'DIRECTORY/', $said);
    return preg_replace(['/\(.*\)/s', '/:\d{2,}/'], ['(…)', ':PORT'], $said);
}
foreach (['good' => 'other.pem', 'other' => 'other.pem', 'old' => 'old.pem'] as $shown => $trusted) {
    $server = new Server($certificates->options($shown));
    echo ping($certificates, $trusted, 'wss://localhost:' . tls_port($server)), "\n";
}
$plain = parse_url($server->url(), PHP_URL_PORT);
echo ping($certificates, 'old.pem', "wss://localhost:$plain"), "\n";
echo ping($certificates, 'old.pem', 'ws://localhost:' . tls_port($server)), "\n";
echo ping($certificates, 'missing.pem', "wss://localhost:$plain") !== '' ? "a missing file is named\n" : '';
$mute = new MuteServer();
echo ping($certificates, 'old.pem', 'wss' . substr($mute->url(), 2), 0.3), "\n";
?>
--EXPECTF--
Could not connect to wss://localhost:PORT: TLS: the server's certificate is not signed by an authority in DIRECTORY/other.pem; realtime.tls_ca has to name the file of the one that signed it (…)
Could not connect to wss://localhost:PORT: TLS: the server's certificate is not for localhost; write a name that it is for into realtime.url (…)
Could not connect to wss://localhost:PORT: TLS: the server's certificate has expired; renew it there (…)
Could not connect to wss://localhost:PORT: TLS: the server does not speak TLS on this port; without TLS the URL begins with ws:// (…)
Could not connect to ws://localhost:PORT: it answered HTTP 400: this port speaks TLS; use https:// and wss://
a missing file is named
Could not connect to wss://127.0.0.1:PORT: no answer within %f s. Is a firewall in between, or the server stopped?
