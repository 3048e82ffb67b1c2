//! Frames that are larger than a server takes.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod support;

use realtime_publisher::{Batch, Error, Outcome, Publisher};
use support::{Event, Guest, Server, data, patient, publication, publish, read_text, serve};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

const OWNER: u64 = 1;
const MIB: usize = 1 << 20;

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn assert_too_large(outcome: &Outcome, says: &str) {
    match outcome {
        Err(Error::Rejected(rejection)) => {
            assert_eq!(rejection.code, "too_large");
            assert!(rejection.message.contains(says), "{}", rejection.message);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_server_takes_is_refused_at_once_and_not_sent() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    let large = text(8 * MIB);
    assert_too_large(&publish(&publisher, &target, &patient(), &large), "8 MiB");
    let sent = publisher.send(OWNER, &target, &patient(), publisher.publication(&publication(&large)));
    assert_too_large(&sent.map(|_| unreachable!()), "8 MiB");
    let mut batch = Batch::default();
    for data in ["1", &large, "2"] {
        publisher.add(&mut batch, &publication(data));
    }
    let outcomes = publisher.batch(&target, &patient(), batch).unwrap();
    assert_too_large(&outcomes[1], "8 MiB");
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    publisher.defer(OWNER, &target, &publication(&large)).unwrap();
    assert_too_large(&publisher.flush(OWNER, &target, &patient()).unwrap()[0], "8 MiB");
    assert!(publish(&publisher, &target, &patient(), &text(8 * MIB - 200)).is_ok());
    let (connections, commands) = server.seen();
    assert_eq!((connections, data(&commands).len()), (1, 3));
    assert_eq!((publisher.stats().failed, publisher.stats().acknowledged), (4, 3));
}

/// Ends the connection at the first command of this size, as servers do that take less.
fn takes_less(guest: Guest) {
    let report = guest.report.clone();
    let mut socket = guest.upgrade_keyed(300);
    while let Some(text) = read_text(&mut socket) {
        let is_large = text.len() > MIB;
        let _ = report.send(Event::Command(if is_large { "[]".to_owned() } else { text }));
        if is_large {
            let close = CloseFrame { code: CloseCode::Size, reason: "too much".into() };
            socket.send(Message::Close(Some(close))).unwrap();
            return;
        }
    }
}

#[test]
fn what_a_server_finds_too_large_is_refused_and_only_what_was_with_it_is_sent_again() {
    let server = Server::start(|guest| match guest.number {
        0 => takes_less(guest),
        _ => {
            let report = guest.report.clone();
            serve(guest.upgrade_keyed(300), &report, usize::MAX);
        }
    });
    let (publisher, target) = (Publisher::default(), server.target());
    publisher.send(OWNER, &target, &patient(), publisher.publication(&publication("1"))).unwrap();
    assert_too_large(&publish(&publisher, &target, &patient(), &text(2 * MIB)), "takes less");
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    publish(&publisher, &target, &patient(), "2").unwrap();
    let (connections, commands) = server.seen();
    assert_eq!((connections, data(&commands)), (2, vec![1.into(), 1.into(), 2.into()]));
}

#[test]
fn a_server_that_refuses_by_the_head_of_the_frame_is_understood_too() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        let mut socket = guest.upgrade_keyed(300);
        socket.set_config(|config| config.max_message_size = Some(MIB));
        // It reads no further than it must.
        let _ = socket.read();
        let close = CloseFrame { code: CloseCode::Size, reason: "too much".into() };
        let _ = socket.send(Message::Close(Some(close)));
        drop(report);
    });
    let (publisher, target) = (Publisher::default(), server.target());
    assert_too_large(&publish(&publisher, &target, &patient(), &text(7 * MIB)), "takes less");
    assert_eq!(server.seen().0, 1);
}
