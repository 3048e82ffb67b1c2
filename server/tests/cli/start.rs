use std::fs;
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::program::{Running, Setup};

#[test]
fn without_a_key_one_line_says_how_to_make_one_and_where_to_put_it() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let line = server.seen.iter().find(|line| line.contains("there is no publisher key")).unwrap();
    for part in ["realtime-server key", "publisher_key", "REALTIME_PUBLISHER_KEY", "realtime.key in PHP"] {
        assert!(line.contains(part), "{line}");
    }
    server.stop();

    let (_, path) = setup.key_file("key");
    let server = setup.start(&["--publisher-key-file", &path]);
    assert!(!server.said("there is no publisher key"), "{:#?}", server.seen);
    assert!(!server.said("rtk_"), "the key is in no line");
    server.stop();
}

#[test]
fn dev_and_insecure_identity_are_announced_at_every_start() {
    let setup = Setup::new("");
    let server = setup.start(&["--dev"]);
    assert!(server.said("WARN dev: ") && server.said("never behind a proxy"), "{:#?}", server.seen);
    server.stop();
    let server = setup.start(&["--insecure-identity"]);
    assert!(server.said("WARN insecure_identity: "), "{:#?}", server.seen);
    server.stop();
}

#[test]
fn dev_refuses_to_listen_beyond_loopback() {
    let outcome = Setup::new("").run(&["start", "--dev", "--listen", "0.0.0.0:0", "--unix-socket", "off"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("--listen: dev admits publishers without a key"), "{}", outcome.err);
}

#[test]
fn sigterm_and_sigint_stop_it_with_0_and_remove_the_socket() {
    let setup = Setup::new("");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = setup.start(&[]);
        assert!(setup.path("rt.sock").exists());
        server.signal(signal);
        let outcome = server.end();
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert!(
            outcome.err.contains(&format!("{signal} received")) && outcome.err.ends_with("stopped"),
            "{outcome:#?}"
        );
        assert!(!setup.path("rt.sock").exists());
    }
}

#[test]
fn a_second_signal_stops_it_at_once() {
    let server = Setup::new("").start(&[]);
    // While it is halted both signals arrive, so that it finds the second before the first has had its effect.
    server.signal(Signal::SIGSTOP);
    server.signal(Signal::SIGINT);
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    let outcome = server.end();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.err.contains("again: stopping at once"), "{outcome:#?}");
}

#[test]
fn what_prevents_the_start_is_named_and_exits_with_1() {
    let setup = Setup::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = setup.run(&["start", "--listen", &address, "--unix-socket", "off"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains(&format!("cannot listen on {address}: another process does")), "{}", outcome.err);

    let server = setup.start(&[]);
    let outcome = setup.run(&["start", "--listen", "127.0.0.1:0", "--unix-socket", &setup.arg("rt.sock")]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("another server listens on"), "{}", outcome.err);
    assert!(setup.path("rt.sock").exists(), "the running server keeps its socket");
    server.stop();

    let outcome = setup.run(&["start", "--log-file", "/nonexistent/server.log"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("cannot open the log file /nonexistent/server.log"), "{}", outcome.err);
}

#[test]
fn a_failure_that_is_in_a_log_file_is_told_on_stderr_too() {
    let setup = Setup::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let log = setup.arg("server.log");
    let outcome = setup.run(&["start", "--listen", &address, "--unix-socket", "off", "--log-file", &log]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.starts_with("realtime-server: cannot listen on"), "{}", outcome.err);
    assert!(fs::read_to_string(log).unwrap().contains("ERROR cannot listen on"));
}

#[test]
fn the_soft_limit_on_files_is_raised_to_the_hard_one() {
    let setup = Setup::new("");
    let plain = setup.command(&["start", "--listen", "127.0.0.1:0", "--unix-socket", "off"]);
    let mut limited = Command::new("/bin/sh");
    limited
        .args(["-c", "ulimit -Sn 200; ulimit -Hn 900; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args());
    limited.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut server = Running::spawn(limited);
    server.wait_for("up to 900 open files");
    server.wait_for("listening on ");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("900"), "{line}");
    server.stop();
}

#[test]
fn json_logs_are_one_object_a_line() {
    let outcome = Setup::new("").start(&["--log-format", "json"]).stop();
    for line in outcome.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["message"].is_string() && line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}
