<?php

/** Certificates made for a test, and a server that shows one. */
final class Certificates
{
    private string $directory;

    public function __construct()
    {
        $this->directory = sys_get_temp_dir() . '/realtime-tls-' . bin2hex(random_bytes(6));
        mkdir($this->directory, 0700);
    }

    public function path(string $name): string
    {
        return "$this->directory/$name";
    }

    /** Makes NAME.pem and NAME.key by the openssl command, signed by itself. */
    public function make(string $name, string $names = 'DNS:localhost,IP:127.0.0.1'): self
    {
        return $this->openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=test',
            '-addext', "subjectAltName=$names", '-keyout', $this->path("$name.key"), '-out', $this->path("$name.pem"));
    }

    /** Makes one whose time is over. */
    public function expired(string $name): self
    {
        return $this->make($name)->openssl('x509', '-in', $this->path("$name.pem"), '-signkey', $this->path("$name.key"),
            '-days', '-1', '-out', $this->path("$name.pem"));
    }

    private function openssl(string ...$arguments): self
    {
        exec('openssl ' . implode(' ', array_map(escapeshellarg(...), $arguments)) . ' 2>&1', $output, $status);
        if ($status !== 0) {
            throw new Exception(implode("\n", $output));
        }
        return $this;
    }

    /** The options of a server that shows this one. */
    public function options(string $name): array
    {
        return ['--tls-listen', '127.0.0.1:0', '--tls-cert', $this->path("$name.pem"), '--tls-key', $this->path("$name.key")];
    }

    public function __destruct()
    {
        array_map(unlink(...), glob("$this->directory/*"));
        rmdir($this->directory);
    }
}

/** The port on which a server speaks TLS. */
function tls_port(Server $server): string
{
    return $server->waitFor('/listening with TLS on \S+:(\d+)/')[1];
}

/** Runs code in a PHP that trusts this authority only; what it prints. */
function with_authority(string $file, string $code, float $patience = Server::PATIENCE): string
{
    return run_php('-d', "realtime.tls_ca=$file", '-d', "realtime.connect_timeout=$patience", '-d', "realtime.timeout=$patience", '-r', $code);
}
