use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::program::{Running, Setup};

/// Longer than the server takes to look at its files.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a certificate and its key; returns the certificate.
pub fn write(
    setup: &Setup,
    cert: &str,
    key: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let pair = KeyPair::generate().unwrap();
    let made = params.self_signed(&pair).unwrap();
    setup.write(cert, &made.pem());
    setup.write(key, &pair.serialize_pem());
    fs::set_permissions(setup.path(key), fs::Permissions::from_mode(0o640)).unwrap();
    made.der().clone()
}

pub fn configure(setup: &Setup, listen: &str) -> String {
    format!("tls_listen = {listen:?}\ntls_cert = {:?}\ntls_key = {:?}\n", setup.arg("cert.pem"), setup.arg("key.pem"))
}

/// A server that speaks TLS, and where.
pub fn start(setup: &Setup) -> (Running, String) {
    let mut server = setup.spawn(&[]);
    let line = server.wait_for("listening with TLS on ");
    server.wait_for("publishers on this machine");
    (server, line.rsplit(' ').next().unwrap().to_owned())
}

/// Whether the server shows this certificate, which alone is trusted.
fn shows(address: &str, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    tls.complete_io(&mut socket).is_ok()
}

fn wait_until_shown(address: &str, certificate: &CertificateDer<'static>) {
    let until = Instant::now() + PATIENCE;
    while !shows(address, certificate) {
        assert!(Instant::now() < until, "the new certificate is not taken over");
    }
}

#[test]
fn what_is_wrong_with_the_certificate_is_said_before_the_start() {
    let check = |setup: &Setup| setup.run(&["check-config", "--quiet"]);
    let refused = |setup: &Setup, what: &str| {
        let outcome = check(setup);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.err.contains(what) && outcome.err.lines().count() == 1, "{what}: {outcome:?}");
    };
    let setup = Setup::new("");
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:0"));
    refused(&setup, "cert.pem: No such file or directory");
    write(&setup, "cert.pem", "key.pem", |_| {});
    let outcome = check(&setup);
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));

    fs::copy(setup.path("key.pem"), setup.path("good.pem")).unwrap();
    fs::remove_file(setup.path("key.pem")).unwrap();
    refused(&setup, "tls_key: cannot read");
    write(&setup, "other.pem", "key.pem", |_| {});
    refused(&setup, "does not belong to the first certificate");
    setup.write("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    refused(&setup, "is encrypted");
    setup.write("key.pem", "nothing");
    refused(&setup, "no private key in PEM format");
    fs::copy(setup.path("good.pem"), setup.path("key.pem")).unwrap();
    setup.write("cert.pem", "nothing");
    refused(&setup, "no certificate in PEM format");
    setup.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refused(&setup, "cannot be used");

    setup.write("realtime.toml", "tls_listen = \"127.0.0.1:0\"");
    refused(&setup, "tls_listen needs tls_cert and tls_key");
    setup.write("realtime.toml", &format!("tls_cert = {:?}", setup.arg("cert.pem")));
    refused(&setup, "tls_cert needs tls_key");
    setup.write("realtime.toml", &format!("tls_key = {:?}", setup.arg("key.pem")));
    refused(&setup, "tls_key needs tls_cert");
    write(&setup, "cert.pem", "key.pem", |_| {});
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:8080"));
    refused(&setup, "the same address");
    setup.write("realtime.toml", &format!("dev = true\n{}", configure(&setup, "0.0.0.0:8443")));
    refused(&setup, "dev admits publishers without a key");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let setup = Setup::new("");
    let warns = |setup: &Setup, what: &str| {
        let outcome = setup.run(&["check-config", "--quiet"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.err.contains(what) && outcome.err.lines().count() == 1, "{what}: {outcome:?}");
    };
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:0"));
    write(&setup, "cert.pem", "key.pem", |params| params.not_after = date_time_ymd(2020, 1, 1));
    warns(&setup, "has expired");
    write(&setup, "cert.pem", "key.pem", |params| params.not_before = date_time_ymd(3000, 1, 1));
    warns(&setup, "begins to be valid in");
    write(&setup, "cert.pem", "key.pem", |_| {});
    fs::set_permissions(setup.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    warns(&setup, "chmod o-r");
    write(&setup, "cert.pem", "key.pem", |_| {});
    let without_address = configure(&setup, "").replace("tls_listen = \"\"\n", "");
    setup.write("realtime.toml", &without_address);
    warns(&setup, "of no use without tls_listen");
}

#[test]
fn doctor_compares_what_is_shown_with_the_file() {
    let setup = Setup::new("");
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:0"));
    write(&setup, "cert.pem", "key.pem", |_| {});
    let (server, address) = start(&setup);
    let finds = |what: &str| {
        let out = setup.run(&["doctor", "--tls-listen", &address]).out;
        assert!(out.lines().any(|line| line.contains(what)), "{what}\n{out}");
    };
    finds("ok    the server speaks TLS on");
    // Another one that the server does not know of.
    write(&setup, "other.pem", "other.key", |_| {});
    let out = setup
        .run(
            &[
                &["doctor", "--tls-listen", &address][..],
                &["--tls-cert", &setup.arg("other.pem"), "--tls-key", &setup.arg("other.key")],
            ]
            .concat(),
        )
        .out;
    assert!(out.contains("shows another certificate than that in"), "{out}");
    server.stop();
    finds("FAIL  nobody speaks TLS on");
}

#[test]
fn sighup_takes_over_a_new_certificate_and_keeps_the_old_for_a_wrong_one() {
    let setup = Setup::new("");
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:0"));
    let first = write(&setup, "cert.pem", "key.pem", |_| {});
    let (mut server, address) = start(&setup);
    assert!(shows(&address, &first));

    // Other files, so that nothing but the signal tells of them.
    let second = write(&setup, "cert2.pem", "key2.pem", |_| {});
    let text = configure(&setup, "127.0.0.1:0").replace("cert.pem", "cert2.pem").replace("key.pem", "key2.pem");
    setup.write("realtime.toml", &text);
    server.signal(Signal::SIGHUP);
    server.wait_for("new connections get the certificate in");
    assert!(shows(&address, &second) && !shows(&address, &first));

    setup.write("realtime.toml", &text.replace("key2.pem", "key.pem"));
    server.signal(Signal::SIGHUP);
    server.wait_for("does not belong to the first certificate");
    server.wait_for("the old one stays in force");
    assert!(shows(&address, &second));
    server.stop();
}

#[test]
fn a_certificate_that_is_renewed_behind_its_links_is_taken_over_by_itself() {
    let setup = Setup::new("");
    setup.write("realtime.toml", &configure(&setup, "127.0.0.1:0"));
    // As certbot keeps them: live/ has links, which it exchanges one after the other.
    let first = write(&setup, "cert1.pem", "key1.pem", |_| {});
    let link = |target: &str, name: &str| {
        let path: PathBuf = setup.path(name);
        let new = path.with_extension("new");
        symlink(setup.path(target), &new).unwrap();
        fs::rename(new, path).unwrap();
    };
    link("cert1.pem", "cert.pem");
    link("key1.pem", "key.pem");
    let (mut server, address) = start(&setup);
    assert!(shows(&address, &first));

    let second = write(&setup, "cert2.pem", "key2.pem", |_| {});
    link("cert2.pem", "cert.pem");
    server.wait_for("the certificate has changed: the key in");
    assert!(shows(&address, &first), "half of a renewal changes nothing");
    link("key2.pem", "key.pem");
    wait_until_shown(&address, &second);
    server.wait_for("new connections get the new one");
    server.stop();
}

#[test]
fn an_inherited_socket_of_its_address_speaks_tls_and_refuses_nobody_during_a_restart() {
    let setup = Setup::new("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    setup.write("realtime.toml", &configure(&setup, &address));
    let certificate = write(&setup, "cert.pem", "key.pem", |_| {});
    // As systemd starts it (sd_listen_fds(3)).
    let start = || {
        let program = setup.command(&["start", "--listen", "127.0.0.1:0", "--unix-socket", "off"]);
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""]);
        command.arg(program.get_program()).args(program.get_args());
        command.env_clear().env("REALTIME_CONFIG", setup.path("realtime.toml"));
        command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        let mut server = Running::spawn(command);
        server.wait_for(&format!("listening with TLS on {address}"));
        server
    };
    let first = start();
    assert!(shows(&address, &certificate));
    first.stop();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| shows(&address, &certificate));
        let second = start();
        assert!(waiting.join().unwrap(), "who came while nobody listened is answered");
        second.stop();
    });
}
