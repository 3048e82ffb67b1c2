//! `publish` and `tail` against a running server.

use std::io::Write;
use std::process::Stdio;

use crate::program::{Running, Setup};

/// A `tail` that has subscribed.
fn tail(setup: &Setup, server: &Running, args: &[&str]) -> Running {
    let mut all = vec!["tail", "--listen", &server.address];
    all.extend(args);
    let mut tail = Running::spawn(setup.command(&all));
    for _ in args.iter().filter(|arg| arg.starts_with("ch-") || arg.starts_with("private-")) {
        tail.wait_for("subscribed to ");
    }
    tail
}

#[test]
fn tail_prints_what_publish_publishes() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let socket = setup.arg("rt.sock");
    let tail = tail(&setup, &server, &["--count", "3", "ch-a", "ch-b"]);
    let publish = |args: &[&str]| setup.run(&[&["publish", "--unix-socket", &socket], args].concat());
    assert_eq!(publish(&["ch-a", "{\"total\": 12345678901234567890.10}"]).out, "1 receiver\n");
    assert_eq!(publish(&["ch-b", "\"h\u{e9}\u{85}\"", "--event", "paid"]).out, "1 receiver\n");
    assert_eq!(publish(&["ch-c", "null"]).out, "0 receivers\n");
    let mut piped = setup.command(&["publish", "--unix-socket", &socket, "ch-a", "-"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1]\n").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let outcome = tail.end();
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(outcome.out, "ch-a {\"total\": 12345678901234567890.10}\nch-b [paid] \"h\u{e9}\\u{85}\"\nch-a [1]\n");
    server.stop();
}

#[test]
fn over_tcp_the_key_is_needed_and_a_wrong_one_is_said_to_be_wrong() {
    let setup = Setup::new("");
    let (_, key) = setup.key_file("key");
    let (_, other) = setup.key_file("other");
    let server = setup.start(&["--publisher-key-file", &key]);
    let url = format!("ws://{}", server.address);
    let publish = |args: &[&str]| setup.run(&[&["publish", "c", "1", "--url", &url], args].concat());
    assert_eq!(publish(&["--key-file", &key]).code, Some(0));
    let outcome = publish(&["--key-file", &other]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("401") && outcome.err.contains("its publisher key is another one"), "{}", outcome.err);
    let outcome = publish(&[]);
    assert!(outcome.err.contains("it wants a publisher key"), "{}", outcome.err);
    server.stop();
}

#[test]
fn tail_looks_on_where_browsers_may_not_when_it_has_the_key() {
    let setup = Setup::new("");
    let (_, key) = setup.key_file("key");
    let server = setup.start(&["--publisher-key-file", &key]);
    let tail = tail(&setup, &server, &["--key-file", &key, "--count", "1", "private-x"]);
    let socket = setup.arg("rt.sock");
    assert_eq!(setup.run(&["publish", "--unix-socket", &socket, "private-x", "1"]).out, "1 receiver\n");
    assert_eq!(tail.end().out, "private-x 1\n");
    let outcome = setup.run(&["tail", "--listen", &server.address, "private-x"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("private-x: channels that begin with private-"), "{}", outcome.err);
    server.stop();
}

#[test]
fn tail_ends_with_the_server_and_says_so() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let tail = tail(&setup, &server, &["ch-a"]);
    server.stop();
    let outcome = tail.end();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("closed the connection"), "{}", outcome.err);
}

#[test]
fn tail_ends_well_when_its_reader_has_seen_enough() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let mut tail = tail(&setup, &server, &["ch-a"]);
    tail.close_output();
    let socket = setup.arg("rt.sock");
    assert_eq!(setup.run(&["publish", "--unix-socket", &socket, "ch-a", "1"]).out, "1 receiver\n");
    let outcome = tail.end();
    assert_eq!((outcome.code, &*outcome.err), (Some(0), "subscribed to ch-a"));
    server.stop();
}

#[test]
fn mistakes_in_the_arguments_are_told_before_any_connection() {
    let setup = Setup::new("");
    for (args, said) in [
        (&["publish", "c", "{oops"][..], "the data is not valid JSON"),
        (&["publish", "", "1"], "channel names must not be empty"),
        (&["publish", "c", "1", "--event", "a\nb"], "event names must not contain control characters"),
        (&["publish", "c", "1", "--url", "wss://key@example.com"], "the key goes into a file"),
        (&["publish", "c", "1", "--url", "wss://a..b"], "no name that a certificate could be for"),
        (&["publish", "c", "1", "--url", "ws://example.com", "--tls-ca", "/x"], "--tls-ca goes with wss:// only"),
        (
            &["publish", "c", "1", "--url", "wss://example.com", "--tls-ca", "/nonexistent"],
            "--tls-ca /nonexistent: No such",
        ),
        (&["publish", "c", "1", "--url", "wss://example.com", "--tls-ca", "/dev/null"], "no certificate in PEM format"),
        (&["publish", "c", "1", "--url", "ws://key@example.com"], "the key goes into a file"),
        (&["publish", "c", "1", "--url", "unix://relative"], "write unix:///path"),
        (&["publish", "c", "1", "--url", "example.com"], "write ws://host:port"),
        (&["publish", "c", "1", "--key-file", "/nonexistent"], "cannot read the key file /nonexistent"),
        (&["tail", "c", "--url", "unix:///run/rt.sock"], "serves publishers only"),
        (&["tail", "c", "--count", "0"], "0 is not in 1.."),
    ] {
        let outcome = setup.run(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:#?}");
        assert!(outcome.err.contains(said), "{args:?}: {}", outcome.err);
    }
}

#[test]
fn without_a_server_the_address_is_named() {
    let setup = Setup::new("");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for args in [&["publish", "c", "1"][..], &["tail", "c"]] {
        let url = format!("ws://{address}");
        let outcome = setup.run(&[args, &["--url", &url]].concat());
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.err.contains(&format!("cannot connect to {url}: Connection refused")), "{}", outcome.err);
    }
}
