use std::fs;

use nix::sys::signal::Signal;

use crate::program::{Pipe, Running, Setup};

/// Whether a publisher with the key in this file gets in over TCP.
fn publishes(setup: &Setup, server: &Running, key_file: &str) -> bool {
    let url = format!("ws://{}", server.address);
    setup.run(&["publish", "--url", &url, "--key-file", key_file, "c", "1"]).code == Some(0)
}

#[test]
fn sighup_takes_over_a_new_key_and_new_rules() {
    let setup = Setup::new("");
    let (_, old) = setup.key_file("old");
    let (_, new) = setup.key_file("new");
    setup.write("realtime.toml", &format!("publisher_key_file = {old:?}"));
    let mut server = setup.start(&[]);
    assert!(publishes(&setup, &server, &old) && !publishes(&setup, &server, &new));

    setup.write("realtime.toml", &format!("publisher_key_file = {new:?}\nmax_channels = 1"));
    server.signal(Signal::SIGHUP);
    server.wait_for("the new value of max_channels counts from the next start on");
    server.wait_for("reloaded the publisher keys, the allowed origins, the keys of tokens and the channel rules");
    assert!(publishes(&setup, &server, &new) && !publishes(&setup, &server, &old));
    server.stop();
}

#[test]
fn sighup_takes_over_publishers_and_closes_those_who_are_gone() {
    let setup = Setup::new("");
    let (_, main) = setup.key_file("main");
    let (shop_key, shop) = setup.key_file("shop");
    let publisher = format!("[[publishers]]\nname = \"shop\"\nkey_file = {shop:?}\nchannels = [\"c\"]\n");
    setup.write("realtime.toml", &format!("publisher_key_file = {main:?}\n"));
    let mut server = setup.start(&[]);
    assert!(publishes(&setup, &server, &main) && !publishes(&setup, &server, &shop));
    setup.write("realtime.toml", &format!("publisher_key_file = {main:?}\n{publisher}"));
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded the publisher keys");
    assert!(publishes(&setup, &server, &main) && publishes(&setup, &server, &shop));
    let url = format!("ws://{}", server.address);
    let mut tail = Running::spawn(setup.command(&["tail", "--url", &url, "--key-file", &shop, "c"]));
    tail.wait_for("subscribed to c");
    setup.write("realtime.toml", &format!("publisher_key_file = {main:?}\n"));
    server.signal(Signal::SIGHUP);
    server.wait_for("closed publishers whose key is no longer in the configuration");
    let outcome = tail.end();
    assert!(outcome.code == Some(1) && !outcome.err.contains(shop_key.secret()), "{outcome:?}");
    assert!(publishes(&setup, &server, &main) && !publishes(&setup, &server, &shop));
    server.stop();
}

#[test]
fn a_reload_with_mistakes_names_them_and_changes_nothing() {
    let setup = Setup::new("");
    let (_, key) = setup.key_file("key");
    setup.write("realtime.toml", &format!("publisher_key_file = {key:?}"));
    let mut server = setup.start(&[]);
    setup.write("realtime.toml", "publisher_key = \"x\"\nmax_chanels = 1");
    server.signal(Signal::SIGHUP);
    server.wait_for("realtime.toml:1: publisher_key: not a publisher key");
    server.wait_for("realtime.toml:2: unknown key \"max_chanels\"");
    server.wait_for("the old one stays in force");
    // `publish` reads the same file.
    setup.write("realtime.toml", "");
    assert!(publishes(&setup, &server, &key));
    server.stop();
}

#[test]
fn sighup_reopens_the_log_file() {
    let setup = Setup::new("");
    let path = setup.path("server.log");
    let first = Pipe::at(&path);
    let server = setup.spawn(&["--log-file", &setup.arg("server.log")]);
    first.wait_for("listening on ");
    fs::rename(&path, setup.path("server.log.1")).unwrap();
    let second = Pipe::at(&path);
    server.signal(Signal::SIGHUP);
    second.wait_for("reloaded the publisher keys");
    server.signal(Signal::SIGTERM);
    second.wait_for("SIGTERM received");
    let outcome = server.end();
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""), "what goes to a file does not go to stderr");
}

#[test]
fn a_log_file_that_cannot_be_reopened_is_said_in_the_old_one() {
    let setup = Setup::new("");
    fs::create_dir(setup.path("logs")).unwrap();
    let path = setup.path("logs/server.log");
    let log = Pipe::at(&path);
    let server = setup.spawn(&["--log-file", &setup.arg("logs/server.log")]);
    log.wait_for("listening on ");
    fs::rename(setup.path("logs"), setup.path("gone")).unwrap();
    server.signal(Signal::SIGHUP);
    log.wait_for("the old log file stays open");
    log.wait_for("reloaded the publisher keys");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code, Some(0));
}
