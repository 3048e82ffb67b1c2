//! `backup` of a running server, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tungstenite::Message;

use crate::program::{Running, Setup};

const FILE: &str = "[[channels]]\npattern = \"orders.*\"\nhistory.size = 10\nhistory.store = \"disk\"\n";

fn start(setup: &Setup, data: &str) -> Running {
    setup.start(&["--dev", "--data-dir", &setup.arg(data)])
}

/// Publishes; the arguments say where.
fn publish(setup: &Setup, data: &str) {
    let outcome = setup.run(&["publish", "--unix-socket", &setup.arg("rt.sock"), "orders.1", data]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

/// Where the channel stands.
fn position(server: &Running) -> Value {
    let (mut socket, _) = tungstenite::connect(format!("ws://{}/publisher", server.address)).unwrap();
    socket.send(Message::text(r#"{"id":1,"type":"position","channel":"orders.1"}"#)).unwrap();
    let reply = socket.read().unwrap().into_text().unwrap();
    serde_json::from_str(&reply).unwrap()
}

#[test]
fn a_backup_is_made_while_the_server_runs_and_takes_a_new_epoch_when_it_is_restored() {
    // `publish` reads the configuration too, which asks for a directory; the server gets its own by the flag.
    let setup = Setup::new(FILE).variable("REALTIME_DATA_DIR", "/var/lib/realtime");
    let server = start(&setup, "data");
    publish(&setup, "1");
    publish(&setup, "2");
    let before = position(&server);
    let socket = setup.arg("rt.sock");
    let backup = || setup.run(&["backup", "--unix-socket", &socket, &setup.arg("copy.redb")]);
    let outcome = backup();
    assert_eq!((outcome.code, outcome.out.trim()), (Some(0), &*setup.arg("copy.redb")), "{outcome:#?}");
    let mode = fs::metadata(setup.path("copy.redb")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "publications may be confidential");
    let outcome = backup();
    assert!(outcome.code == Some(2) && outcome.err.contains("is there already"), "{outcome:#?}");
    publish(&setup, "3");
    server.stop();

    fs::create_dir(setup.path("restored")).unwrap();
    fs::rename(setup.path("copy.redb"), setup.path("restored/store.redb")).unwrap();
    let server = start(&setup, "restored");
    let after = position(&server);
    assert_eq!(after["offset"], 2, "{after}");
    assert_ne!(after["epoch"], before["epoch"], "who has seen the third must not take the next one for it");
    server.stop();
}

#[test]
fn without_a_directory_there_is_nothing_to_copy() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let outcome = setup.run(&["backup", "--unix-socket", &setup.arg("rt.sock"), &setup.arg("copy.redb")]);
    assert!(outcome.code == Some(1) && outcome.err.contains("data_dir is not set"), "{outcome:#?}");
    server.stop();
}
