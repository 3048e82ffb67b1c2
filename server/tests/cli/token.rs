use crate::program::Setup;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn setup() -> Setup {
    with_secret(SECRET)
}

fn with_secret(secret: &str) -> Setup {
    Setup::new("").variable("REALTIME_TOKENS__SECRET", secret)
}

#[test]
fn a_token_is_made_and_explained() {
    let setup = setup();
    let info = r#"{"name":"Ana"}"#;
    let made =
        setup.run(&["token", "--for", "u7", "--for-channels", "user:u7,orders.*", "--ttl", "10m", "--info", info]);
    assert_eq!((made.code, &*made.err), (Some(0), ""));
    let said = setup.run_with_input(&["token", "--check"], &made.out);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [
        "header: {\"alg\":\"HS256\"",
        "\"info\":{\"name\":\"Ana\"}",
        "user \"u7\", for a connection, with \"user:u7\", \"orders.*\"",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    let one = setup.run(&["token", "--for", "u7", "--for-channel", "orders.42"]);
    let said = setup.run_with_input(&["token", "--check"], &one.out);
    assert!(said.out.contains("for the channel \"orders.42\""), "{}", said.out);
}

#[test]
fn a_refused_token_is_explained_and_the_secret_never_shown() {
    let setup = setup();
    let token = setup.run(&["token", "--for", "u7"]).out;
    let changed = token.trim().rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    let other = with_secret(&"x".repeat(32));
    for (setup, token, words) in [
        (&setup, changed.as_str(), "refused: the signature is wrong"),
        (&other, &token, "refused: the signature is wrong"),
        (&setup, "hello", "refused: this is not a signed JWT"),
    ] {
        let said = setup.run_with_input(&["token", "--check"], token);
        assert_eq!(said.code, Some(1));
        assert!(said.out.contains(words), "{}", said.out);
        assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET));
    }
}

#[test]
fn what_cannot_be_made_is_refused_with_what_to_do() {
    let setup = setup();
    for (args, words) in [
        (&["--for", ""][..], "user ids must not be empty"),
        (&["--for", "u7", "--ttl", "1y"], "is not a duration"),
        (&["--for", "u7", "--ttl", "365d"], "tokens.max_ttl"),
        (&["--for", "u7", "--info", "{"], "not valid JSON"),
        (&["--for", "u7", "--kid", "a"], "no key has the kid"),
        (&["--for-channel", "a"], "--for"),
        (&[], "--for"),
    ] {
        let outcome = setup.run(&[&["token"], args].concat());
        assert_eq!(outcome.code, Some(2), "{args:?}");
        assert!(outcome.err.contains(words), "{args:?}: {}", outcome.err);
    }
    let outcome = Setup::new("").run(&["token", "--for", "u7"]);
    assert!(outcome.err.contains("no [tokens] are configured"), "{}", outcome.err);
}

#[test]
fn a_new_secret_is_long_enough_and_new_each_time() {
    let secret = || Setup::new("").run(&["token", "--new-secret"]).out;
    let (first, second) = (secret(), secret());
    assert!(first.trim().len() >= 43 && first != second);
    let setup = with_secret(first.trim());
    assert_eq!(setup.run(&["token", "--for", "u7"]).code, Some(0));
}

#[test]
fn what_is_done_to_users_is_told_to_the_operator() {
    use std::io::Write;
    let setup = setup();
    let mut server = setup.start(&["--dev"]);
    let order = |command: &str, address: &str| {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        write!(
            socket,
            "POST /broadcast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{command}",
            command.len()
        )
        .unwrap();
    };
    for (command, line) in [
        (r#"{"type":"revoke","user":"u7"}"#, r#"the publisher dev asks to revoke the tokens of the user "u7""#),
        (r#"{"type":"disconnect","user":"u7"}"#, r#"the publisher dev asks to disconnect the user "u7""#),
        (
            r#"{"type":"unsubscribe","user":"u7","channel":"orders.42"}"#,
            r#"asks to unsubscribe the user "u7" from "orders.42""#,
        ),
    ] {
        order(command, &server.address);
        server.wait_for(line);
    }
}

#[test]
fn a_token_of_another_secret_is_told_to_the_operator() {
    use std::io::Write;
    let setup = setup();
    let mut server = setup.start(&[]);
    let upgrade = |server: &str, token: &str| {
        let mut socket = std::net::TcpStream::connect(server).unwrap();
        write!(
            socket,
            "GET /?token={token} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let _ = std::io::Read::read_to_end(&mut socket, &mut Vec::new());
    };
    let other = with_secret(&"x".repeat(32)).run(&["token", "--for", "u7"]).out;
    upgrade(&server.address, other.trim());
    let line = server.wait_for("refused a token");
    assert!(line.contains("signed with another key"), "{line}");
    assert!(!line.contains(other.trim()), "{line}");
}
