use std::process::Command;

use crate::program::{Outcome, Running, Setup, finish};

/// `doctor` for a running server.
pub fn doctor(setup: &Setup, server: &Running, args: &[&str]) -> Outcome {
    let socket = setup.arg("rt.sock");
    setup.run(&[&["doctor", "--listen", &server.address, "--unix-socket", &socket], args].concat())
}

pub fn assert_finds(outcome: &Outcome, what: &str, mend: &str) {
    let lines: Vec<_> = outcome.out.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("FAIL") && line.contains(what));
    let at = at.unwrap_or_else(|| panic!("no failure {what:?} in\n{}", outcome.out));
    assert!(lines[at + 1].starts_with("      mend: ") && lines[at + 1].contains(mend), "{}", outcome.out);
    assert_eq!(outcome.code, Some(1), "{}", outcome.out);
}

#[test]
fn a_healthy_server_passes_every_check() {
    let setup = Setup::new("allowed_origins = [\"https://app.example.com\"]");
    let (_, key) = setup.key_file("key");
    let server = setup.start(&["--publisher-key-file", &key]);
    let outcome = doctor(
        &setup,
        &server,
        &[
            "--publisher-key-file",
            &key,
            "--web-user",
            "root",
            "--page",
            "https://app.example.com/start",
            "--host",
            "rt.example.com",
        ],
    );
    let lines: Vec<_> = outcome.out.lines().collect();
    for good in [
        "the configuration has no mistakes",
        "the server answers on ws://127.0.0.1:",
        "the server accepts the publisher key",
        "a server listens on unix://",
        "root may open ",
        "pages of https://app.example.com may connect to rt.example.com",
        "the running server may have ",
    ] {
        assert!(lines.iter().any(|line| line.contains(good)), "{good}\n{}", outcome.out);
    }
    // How many files there may be is the machine's affair.
    assert!(lines.iter().all(|line| !line.starts_with("FAIL") || line.contains("open files")), "{}", outcome.out);
    server.stop();
}

#[test]
fn a_server_that_does_not_run_is_found() {
    let setup = Setup::new("");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let socket = setup.arg("rt.sock");
    let outcome = setup.run(&["doctor", "--listen", &address, "--unix-socket", &socket]);
    assert_finds(&outcome, &format!("no server listens on ws://{address}"), "systemctl start realtime-server");
    assert_finds(&outcome, "there is no publisher key", "realtime-server key");
    assert_finds(&outcome, &format!("the unix socket {socket} does not exist"), "start the server");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let outcome = setup.run(&["doctor", "--listen", &address, "--unix-socket", &socket]);
    assert_finds(&outcome, "nobody listens on the unix socket", "start the server");
}

#[test]
fn another_key_than_the_servers_is_found() {
    let setup = Setup::new("");
    let (_, key) = setup.key_file("key");
    let (_, other) = setup.key_file("other");
    let server = setup.start(&["--publisher-key-file", &key]);
    let outcome = doctor(&setup, &server, &["--publisher-key-file", &other]);
    assert_finds(&outcome, "its publisher key is another one", "systemctl reload realtime-server");
    server.stop();
}

#[test]
fn a_web_server_that_may_not_open_the_socket_is_found() {
    let setup = Setup::new("");
    let server = setup.start(&["--socket-mode", "0600"]);
    let outcome = doctor(&setup, &server, &["--web-user", "nobody"]);
    assert_finds(&outcome, "nobody may not open ", "socket_mode to \"0660\"");
    assert!(outcome.out.contains("note  there is no publisher key"), "the socket serves: {}", outcome.out);
    let outcome = doctor(&setup, &server, &["--web-user", "no-such-user"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("there is no user \"no-such-user\""), "{}", outcome.err);
    server.stop();
}

#[test]
fn a_page_that_may_not_connect_is_found_with_the_line_to_add() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    let outcome = doctor(&setup, &server, &["--page", "https://app.example.com", "--host", "app.example.com"]);
    assert_finds(&outcome, "\"app.example.com\"", "allowed_origins = [\"https://app.example.com\"]");

    setup.write("realtime.toml", "allowed_origins = [\"https://app.example.com\"]");
    let outcome = doctor(&setup, &server, &["--page", "https://app.example.com"]);
    assert_finds(&outcome, "the running server does not (status 403)", "systemctl reload realtime-server");

    let outcome = doctor(&setup, &server, &["--page", "http://localhost:3000/x"]);
    assert!(outcome.out.contains("ok    pages of http://localhost:3000 may connect to 127.0.0.1:"), "{}", outcome.out);
    assert_eq!(doctor(&setup, &server, &["--page", "nonsense"]).code, Some(2));
    server.stop();
}

#[test]
fn a_low_limit_on_files_is_found() {
    let setup = Setup::new("");
    let plain = setup.command(&["doctor", "--listen", "127.0.0.1:1", "--unix-socket", "off"]);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "ulimit -n 1000; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    limited.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_finds(&finish(limited), "a server started from here may have 1000 open files", "LimitNOFILE");
}
