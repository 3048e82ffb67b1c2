//! `publish` and `tail` over `wss://`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};

use crate::program::{Running, Setup};
use crate::tls::{configure, start, write};

/// A server with TLS and a publisher key of its own, which the commands know from the same configuration, and its port.
/// The machine's authorities are those in `roots.pem`.
fn serve(change: impl FnOnce(&mut CertificateParams)) -> (Setup, Running, String) {
    let setup = Setup::new("");
    let roots = setup.arg("roots.pem");
    let setup = setup.variable("SSL_CERT_FILE", &roots);
    let (_, key) = setup.key_file("key");
    setup.write("realtime.toml", &format!("publisher_key_file = {key:?}\n{}", configure(&setup, "127.0.0.1:0")));
    write(&setup, "cert.pem", "key.pem", change);
    write(&setup, "roots.pem", "other.pem", |_| {});
    let (server, address) = start(&setup);
    let port = address.rsplit(':').next().unwrap().to_owned();
    (setup, server, port)
}

/// What `publish` complains of.
fn complaint(setup: &Setup, args: &[&str]) -> String {
    let outcome = setup.run(&[&["publish", "ch-a", "1"], args].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    // Before it there may be warnings about the configuration.
    outcome.err.lines().last().unwrap().to_owned()
}

#[test]
fn what_is_published_over_tls_is_seen_over_tls() {
    let (setup, server, port) = serve(|_| {});
    let (url, trusted) = (format!("wss://localhost:{port}"), setup.arg("cert.pem"));
    let there = ["--url", &url, "--tls-ca", &trusted];
    let mut tail = Running::spawn(setup.command(&[&["tail", "ch-a", "--count", "2"], &there[..]].concat()));
    tail.wait_for("subscribed to ch-a");
    // Longer than a record of TLS.
    let long = "x".repeat(40_000);
    assert_eq!(setup.run(&[&["publish", "ch-a", "1"], &there[..]].concat()).out, "1 receiver\n");
    let published = setup.run_with_input(&[&["publish", "ch-a", "-"], &there[..]].concat(), &format!("{long:?}"));
    assert_eq!(published.out, "1 receiver\n");
    let outcome = tail.end();
    assert_eq!((outcome.code, outcome.out), (Some(0), format!("ch-a 1\nch-a {long:?}\n")));

    let (_, other) = setup.key_file("another-key");
    let said = complaint(&setup, &[&["--key-file", &other], &there[..]].concat());
    assert!(said.contains(&url) && said.contains("its publisher key is another one"), "{said}");
    server.stop();
}

#[test]
fn the_machines_authorities_are_trusted_unless_others_are_named() {
    let (setup, server, port) = serve(|_| {});
    let url = format!("wss://localhost:{port}");
    let unknown = |args: &[&str]| {
        let said = complaint(&setup, &[&["--url", &url], args].concat());
        assert!(said.contains("unknown authority") && said.contains("--tls-ca FILE"), "{said}");
    };
    unknown(&[]);
    let others = setup.arg("others.pem");
    std::fs::copy(setup.path("roots.pem"), &others).unwrap();
    std::fs::copy(setup.path("cert.pem"), setup.path("roots.pem")).unwrap();
    assert_eq!(setup.run(&["publish", "ch-a", "1", "--url", &url]).out, "0 receivers\n");
    unknown(&["--tls-ca", &others]);
    server.stop();
}

#[test]
fn a_certificate_for_another_name_is_refused_with_the_names_that_it_is_for() {
    let (setup, server, port) = serve(|_| {});
    let trusted = setup.arg("cert.pem");
    let said = complaint(&setup, &["--url", &format!("wss://127.0.0.1:{port}"), "--tls-ca", &trusted]);
    assert!(said.contains("not for 127.0.0.1, only for localhost; write a name that it is for into --url"), "{said}");
    server.stop();
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_its_mend() {
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (change, words) in [
        (&expired as &dyn Fn(&mut CertificateParams), "has expired; renew it"),
        (&early, "is not valid yet; look at the clocks"),
        (&authority, "basicConstraints=CA:FALSE"),
    ] {
        let (setup, server, port) = serve(change);
        let trusted = setup.arg("cert.pem");
        let said = complaint(&setup, &["--url", &format!("wss://localhost:{port}"), "--tls-ca", &trusted]);
        assert!(said.contains(words), "{said}");
        server.stop();
    }
}

#[test]
fn the_wrong_scheme_for_a_port_is_told() {
    let (setup, server, port) = serve(|_| {});
    let said = complaint(&setup, &["--url", &format!("ws://localhost:{port}")]);
    assert!(said.contains("the port speaks TLS: the URL begins with wss://"), "{said}");
    let plain = server.seen.iter().find_map(|line| line.split_once("listening on ")).unwrap().1;
    let said = complaint(&setup, &["--url", &format!("wss://{plain}")]);
    assert!(said.contains("the port does not speak TLS; without TLS the URL begins with ws://"), "{said}");
    server.stop();
}

#[test]
fn a_port_that_is_no_server_of_ours_is_told() {
    let setup = Setup::new("");
    // Reads what comes first, and answers this.
    let answering = |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut guest = listener.accept().unwrap().0;
            let _ = guest.read(&mut [0; 16 * 1024]).unwrap();
            guest.write_all(answer).unwrap();
        });
        address
    };
    write(&setup, "cert.pem", "key.pem", |_| {});
    let trusted = setup.arg("cert.pem");
    let said = complaint(&setup, &["--url", &format!("wss://{}", answering(b"")), "--tls-ca", &trusted]);
    assert!(said.contains("the handshake of TLS broke") && said.contains("begins with ws://"), "{said}");
    let said = complaint(&setup, &["--url", "wss://[::1]:1", "--tls-ca", &trusted]);
    assert!(said.contains("cannot connect to wss://[::1]:1: "), "an address is a name, too: {said}");
    // The alert of a server that speaks nothing but TLS (RFC 8446 §6).
    let alert = b"\x15\x03\x01\x00\x02\x02\x46";
    let said = complaint(&setup, &["--url", &format!("ws://{}", answering(alert))]);
    assert!(said.contains("no HTTP server; with TLS the URL begins with wss://"), "{said}");
}
