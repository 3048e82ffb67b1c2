//! What a call says when the server is missing, mute, hostile or gone.

mod support;

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use realtime_publisher::{BrokenCause, ConnectError, Error, Publisher, Settings};
use support::{KEY, Server, impatient, message, patient, publish, read_head, read_text, target};
use tungstenite::Message;

fn connect_error(result: Result<realtime_publisher::Receipt, Error>) -> ConnectError {
    match result {
        Err(Error::Connect { cause, .. }) => cause,
        other => panic!("must not connect: {other:?}"),
    }
}

#[test]
fn a_refused_connection_is_tried_at_each_call() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = target(&format!("ws://{address}"));
    let publisher = Publisher::default();
    for _ in 0..3 {
        let text = message(publish(&publisher, &target, &patient(), "1"));
        assert!(text.contains(&format!("ws://{address}")) && text.contains("Is realtime-server running"), "{text}");
    }
    // It is served as soon as somebody listens there.
    let listener = TcpListener::bind(address).unwrap();
    let server = std::thread::spawn(move || {
        let socket = support::accept(listener.accept().unwrap().0);
        support::serve(socket, &channel().0, 1);
    });
    publish(&publisher, &target, &patient(), "1").unwrap();
    server.join().unwrap();
}

#[test]
fn a_missing_socket_is_named() {
    let text = message(publish(&Publisher::default(), &target("unix:///nonexistent/x.sock"), &patient(), "1"));
    assert!(text.contains("unix:///nonexistent/x.sock") && text.contains("Is realtime-server running"), "{text}");
}

#[test]
fn a_server_that_does_not_answer_the_handshake_costs_one_timeout() {
    // The kernel accepts; nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target(&format!("ws://{}", listener.local_addr().unwrap()));
    let publisher = Publisher::default();
    assert!(matches!(connect_error(publish(&publisher, &target, &impatient(), "1")), ConnectError::TimedOut(_)));
    for _ in 0..3 {
        let result = publish(&publisher, &target, &patient(), "1");
        assert!(matches!(result, Err(Error::Paused { .. })), "{result:?}");
        assert!(message(result).contains("realtime.retry_after"));
    }
    // Another server is not concerned.
    let other = Server::start(support::Guest::acknowledge_all);
    publish(&publisher, &other.target(), &patient(), "1").unwrap();
}

#[test]
fn a_server_that_does_not_acknowledge_costs_one_timeout_and_may_have_delivered() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade();
        while read_text(&mut socket).is_some() {}
    });
    let publisher = Publisher::default();
    let text = message(publish(&publisher, &server.target(), &impatient(), "1"));
    assert!(text.contains("within 0.12 s") && text.contains("may have been delivered"), "{text}");
    assert!(matches!(publish(&publisher, &server.target(), &patient(), "2"), Err(Error::Paused { .. })));
}

#[test]
fn after_the_pause_it_is_tried_again() {
    let server = Server::start(|guest| match guest.number {
        0 => drop(read_text(&mut guest.upgrade())),
        _ => guest.acknowledge_all(),
    });
    let (publisher, target) = (Publisher::default(), server.target());
    let settings = Settings { retry_after: Duration::ZERO, ..impatient() };
    message(publish(&publisher, &target, &settings, "1"));
    publish(&publisher, &target, &patient(), "2").unwrap();
}

#[test]
fn a_connection_that_breaks_after_the_command_was_sent_is_not_tried_again() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        let mut socket = guest.upgrade();
        let text = read_text(&mut socket).unwrap();
        report.send(support::Event::Command(text)).unwrap();
        socket.get_ref().shutdown(Shutdown::Both).unwrap();
    });
    let publisher = Publisher::default();
    let result = publish(&publisher, &server.target(), &patient(), "1");
    assert!(matches!(result, Err(Error::Broken { cause: BrokenCause::Closed | BrokenCause::Io(_), .. })), "{result:?}");
    assert!(message(result).contains("may have been delivered"));
    let (connections, commands) = server.seen();
    assert_eq!((connections, commands.len()), (1, 1));
}

#[test]
fn a_refused_key_is_an_error_of_its_own_which_never_shows_the_key() {
    for (status, body) in [
        ("401 Unauthorized", r#"{"error":{"code":"unauthorized","message":"wrong key"}}"#.to_owned()),
        ("403 Forbidden", format!(r#"{{"error":{{"message":"I know {KEY}"}}}}"#)),
        ("401 Unauthorized", "<html>".to_owned()),
    ] {
        let server = Server::start(move |mut guest| {
            assert!(read_head(&mut guest.stream).contains(&format!("authorization: Bearer {KEY}\r\n")));
            let length = body.len();
            write!(guest.stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        });
        let result = publish(&Publisher::default(), &server.target(), &patient(), "1");
        assert!(matches!(result, Err(Error::Refused { key_given: true, .. })), "{result:?}");
        let text = message(result);
        assert!(text.contains("refused the publisher key") && text.contains("realtime.key"), "{text}");
    }
}

#[test]
fn what_is_no_realtime_server_is_told() {
    for (answer, expected) in [
        (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], "HTTP 404"),
        (
            b"HTTP/1.1 503 Busy\r\ncontent-length: 36\r\n\r\n{\"error\":{\"message\":\"too many guests\"}}",
            "too many guests",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "Is this the address of realtime-server?"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "Is this the address of realtime-server?"),
        (b"", "Is this the address of realtime-server?"),
    ] {
        let server = Server::start(move |mut guest| {
            read_head(&mut guest.stream);
            guest.stream.write_all(answer).unwrap();
        });
        let text = message(publish(&Publisher::default(), &server.target(), &patient(), "1"));
        assert!(text.starts_with("Could not connect to ws://127.0.0.1:") && text.contains(expected), "{text}");
    }
}

#[test]
fn nonsense_instead_of_a_reply_breaks_the_connection() {
    for reply in [Message::text("hello"), Message::text("[]"), Message::binary(vec![1]), Message::Close(None)] {
        let server = Server::start(move |guest| {
            let mut socket = guest.upgrade();
            read_text(&mut socket).unwrap();
            socket.send(reply.clone()).unwrap();
            read_text(&mut socket);
        });
        let result = publish(&Publisher::default(), &server.target(), &patient(), "1");
        assert!(matches!(result, Err(Error::Broken { .. })), "{result:?}");
    }
}

#[test]
fn a_half_sent_reply_ends_with_the_timeout() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade();
        read_text(&mut socket).unwrap();
        // A text frame of 100 bytes, of which three come.
        socket.get_mut().write_all(&[0x81, 100, b'{', b'"', b'i']).unwrap();
        read_text(&mut socket);
    });
    let result = publish(&Publisher::default(), &server.target(), &impatient(), "1");
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
}

#[test]
fn a_server_that_reads_nothing_ends_with_the_timeout() {
    let (release, released) = channel::<()>();
    let server = Server::start(move |guest| {
        let socket = guest.upgrade();
        released.recv().unwrap();
        drop(socket);
    });
    // More than both socket buffers hold, less than what is not even sent.
    let data = format!("\"{}\"", "x".repeat(7 << 20));
    let settings = Settings { connect_timeout: Duration::from_secs(60), timeout: Duration::from_secs(1), ..patient() };
    let result = publish(&Publisher::default(), &server.target(), &settings, &data);
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    release.send(()).unwrap();
}

#[test]
fn a_full_backlog_of_a_unix_socket_ends_with_the_timeout() {
    let path = std::env::temp_dir().join(format!("realtime-publisher-backlog-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let target = target(&format!("unix://{}", path.display()));
    let publisher = Publisher::default();
    assert!(matches!(connect_error(publish(&publisher, &target, &impatient(), "1")), ConnectError::TimedOut(_)));
    assert!(matches!(publish(&publisher, &target, &patient(), "1"), Err(Error::Paused { .. })));
    std::fs::remove_file(&path).unwrap();
}
