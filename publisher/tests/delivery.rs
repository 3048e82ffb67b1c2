//! What becomes of a broadcast whose connection breaks before its acknowledgement.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use realtime_publisher::{BrokenCause, Error, Publication, Publisher, Settings};
use support::{Event, Guest, Server, accept_keyed, acknowledgement, data, fields, impatient, message, patient};
use support::{publication, publish, read_text, serve};
use tungstenite::Message;

const TTL: u64 = 300;

/// Reads so many commands, reports them, and closes without a word.
fn swallow(guest: Guest, ttl: Option<u64>, commands: usize) {
    let report = guest.report.clone();
    let mut socket = accept_keyed(guest.stream, ttl);
    for _ in 0..commands {
        let Some(text) = read_text(&mut socket) else { return };
        // A test that has seen enough no longer listens.
        let _ = report.send(Event::Command(text));
    }
}

/// Answers everything.
fn answer(guest: Guest, ttl: Option<u64>) {
    let report = guest.report.clone();
    serve(accept_keyed(guest.stream, ttl), &report, usize::MAX);
}

#[test]
fn it_is_sent_again_with_its_key() {
    let server = Server::start(|guest| match guest.number {
        0 | 1 => swallow(guest, Some(TTL), 1),
        _ => answer(guest, Some(TTL)),
    });
    let publisher = Publisher::default();
    let receipt = publish(&publisher, &server.target(), &patient(), "1").unwrap();
    let (connections, commands) = server.seen();
    assert_eq!((connections, commands.len()), (3, 3));
    assert!(commands.iter().all(|command| *command == commands[0]), "{commands:?}");
    assert_eq!(fields(&commands, "key")[0], receipt.key);
    let stats = publisher.stats();
    assert_eq!((stats.sent, stats.resent, stats.acknowledged, stats.connects), (1, 2, 1, 3));
}

#[test]
fn what_was_unacknowledged_before_it_is_sent_again_before_it_in_the_first_order() {
    let server = Server::start(|guest| match guest.number {
        0 => swallow(guest, Some(TTL), 4),
        _ => answer(guest, Some(TTL)),
    });
    let (publisher, target) = (Publisher::default(), server.target());
    for data in ["1", "2", "3"] {
        publisher.send(1, &target, &patient(), publisher.publication(&publication(data))).unwrap();
    }
    publish(&publisher, &target, &patient(), "4").unwrap();
    let (_, commands) = server.seen();
    assert_eq!(data(&commands), [1, 2, 3, 4, 1, 2, 3, 4]);
    let keys = fields(&commands, "key");
    assert_eq!(keys[..4], keys[4..]);
    assert_eq!(publisher.stats().outstanding, 0);
}

#[test]
fn a_server_that_comes_back_within_the_timeout_gets_it() {
    let (report, events) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        accept_one(listener, &report, 0);
        // Between the two nobody listens, for as long as it takes.
        accept_one(TcpListener::bind(address).unwrap(), &report, 1);
    });
    let target = support::target(&format!("ws://{address}"));
    publish(&Publisher::default(), &target, &patient(), "1").unwrap();
    server.join().unwrap();
    let commands: Vec<String> = events.try_iter().collect();
    assert_eq!((commands.len(), &commands[0]), (2, &commands[1]));
}

/// Accepts one connection of a listener that ends with it, and answers so many commands after the first.
fn accept_one(listener: TcpListener, report: &Sender<String>, answers: usize) {
    let (stream, _): (_, SocketAddr) = listener.accept().unwrap();
    drop(listener);
    let mut socket = accept_keyed(stream, Some(TTL));
    let text = read_text(&mut socket).unwrap();
    report.send(text.clone()).unwrap();
    if answers > 0 {
        socket.send(Message::text(acknowledgement(&text))).unwrap();
    }
}

#[test]
fn an_acknowledged_duplicate_is_a_receipt_like_any_other() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade_keyed(TTL);
        read_text(&mut socket).unwrap();
        let reply = r#"{"type":"ack","id":1,"receivers":3,"duplicate":true,"epoch":"e","offset":9}"#;
        socket.send(Message::text(reply)).unwrap();
    });
    let receipt = publish(&Publisher::default(), &server.target(), &patient(), "1").unwrap();
    assert_eq!((receipt.receivers, receipt.channels[0].1.offset), (3, Some(9)));
}

#[test]
fn after_the_time_for_which_keys_are_known_it_is_not_sent_again() {
    let server = Server::start(|guest| match guest.number {
        0 => swallow(guest, Some(0), 1),
        _ => answer(guest, Some(TTL)),
    });
    let result = publish(&Publisher::default(), &server.target(), &patient(), "1");
    assert!(matches!(result, Err(Error::Broken { cause: BrokenCause::Expired, key: None, .. })), "{result:?}");
    assert!(message(result).contains("idempotency.ttl"));
    assert_eq!(server.seen().1.len(), 1);
}

#[test]
fn it_is_not_sent_again_to_or_from_a_server_that_knows_no_keys() {
    for (first, second) in [(Some(TTL), None), (None, Some(TTL)), (None, None)] {
        let server = Server::start(move |guest| match guest.number {
            0 => swallow(guest, first, 1),
            _ => answer(guest, second),
        });
        let publisher = Publisher::default();
        let result = publish(&publisher, &server.target(), &patient(), "1");
        assert!(matches!(result, Err(Error::Broken { key: None, .. })), "{result:?}");
        let text = message(result);
        assert!(text.contains("may have been delivered") && !text.contains("idempotencyKey"), "{text}");
        // The next is not concerned.
        publish(&publisher, &server.target(), &patient(), "2").unwrap();
        assert_eq!(data(&server.seen().1), [1, 2]);
        assert_eq!(publisher.stats().failed, 1);
    }
}

#[test]
fn a_server_that_always_breaks_costs_no_more_than_the_timeout_and_the_error_tells_the_key() {
    let server = Server::start(|guest| swallow(guest, Some(TTL), 1));
    let publisher = Publisher::default();
    let error = publish(&publisher, &server.target(), &impatient(), "1").unwrap_err();
    let key = error.key().unwrap().to_owned();
    assert!(error.to_string().contains(&format!("idempotencyKey: {key:?}")), "{error}");
    let (_, commands) = server.seen();
    assert!(commands.len() > 1 && commands.iter().all(|command| *command == commands[0]), "{commands:?}");
}

#[test]
fn after_a_timeout_the_caller_repeats_it_with_the_key_of_the_error() {
    let server = Server::start(|guest| match guest.number {
        0 => {
            let report = guest.report.clone();
            let mut socket = guest.upgrade_keyed(TTL);
            while let Some(text) = read_text(&mut socket) {
                report.send(Event::Command(text)).unwrap();
            }
        }
        _ => answer(guest, Some(TTL)),
    });
    let publisher = Publisher::default();
    let settings = Settings { retry_after: Duration::ZERO, ..impatient() };
    let error = publish(&publisher, &server.target(), &settings, "1").unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let key = error.key().unwrap();
    publisher.check_key(key).unwrap();
    let again = publisher.publication(&Publication { key: Some(key), ..publication("1") });
    assert_eq!(publisher.call(&server.target(), &patient(), again).unwrap().key, key);
    let keys = fields(&server.seen().1, "key");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn what_the_server_cannot_take_at_the_moment_is_sent_again_with_its_key() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        let mut socket = guest.upgrade_keyed(TTL);
        let text = read_text(&mut socket).unwrap();
        report.send(Event::Command(text)).unwrap();
        let busy = r#"{"type":"error","id":1,"code":"unavailable","message":"wait"}"#;
        socket.send(Message::text(busy)).unwrap();
        serve(socket, &report, usize::MAX);
    });
    publish(&Publisher::default(), &server.target(), &patient(), "1").unwrap();
    let (_, commands) = server.seen();
    assert_eq!((commands.len(), &commands[0]), (2, &commands[1]));
}

#[test]
fn what_stays_unavailable_is_refused() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade_keyed(TTL);
        while read_text(&mut socket).is_some() {
            let busy = r#"{"type":"error","id":1,"code":"unavailable","message":"wait"}"#;
            socket.send(Message::text(busy)).unwrap();
        }
    });
    let result = publish(&Publisher::default(), &server.target(), &patient(), "1");
    assert!(matches!(result, Err(Error::Rejected(_))), "{result:?}");
}
