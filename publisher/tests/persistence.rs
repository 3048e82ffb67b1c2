//! One connection serves many calls, and is replaced when it has ended.

mod support;

use std::sync::mpsc::channel;

use realtime_publisher::{ChannelReceipt, Error, Publisher};
use support::{Server, acknowledgement, impatient, message, patient, publish, read_text, serve};
use tungstenite::Message;

#[test]
fn calls_share_one_connection() {
    let server = Server::start(support::Guest::acknowledge_all);
    let publisher = Publisher::default();
    for data in ["1", "{\"a\":[]}", "null"] {
        let receipt = publish(&publisher, &server.target(), &patient(), data).unwrap();
        assert_eq!(receipt.receivers, 1);
        let channel = ChannelReceipt { receivers: 1, epoch: None, offset: None };
        assert_eq!(receipt.channels, [("c".to_owned(), channel)]);
    }
    publisher.call(&server.target(), &patient(), publisher.ping()).unwrap();
    let (connections, commands) = server.seen();
    assert_eq!(connections, 1);
    assert!(commands[1].starts_with(r#"{"id":2,"type":"broadcast_update","channel":"c","key":"~"#), "{commands:?}");
    assert!(commands[1].ends_with(r#","data":{"a":[]}}"#), "{commands:?}");
    assert_eq!(commands[3], r#"{"id":4,"type":"ping"}"#);
}

#[test]
fn another_key_is_another_connection() {
    let server = Server::start(|guest| drop(std::thread::spawn(|| guest.acknowledge_all())));
    let publisher = Publisher::default();
    let mut other = server.target();
    other.key = None;
    for target in [&server.target(), &other, &server.target(), &other] {
        publish(&publisher, target, &patient(), "1").unwrap();
    }
    assert_eq!(server.seen().0, 2);
}

#[test]
fn a_connection_that_the_server_closed_is_replaced() {
    let (closed, closing) = channel();
    let server = Server::start(move |guest| {
        let report = guest.report.clone();
        let first = guest.number == 0;
        // A busy kernel may deliver the end only after the next command was written, which is then sent again.
        let mut socket = serve(guest.upgrade_keyed(300), &report, if first { 1 } else { usize::MAX });
        if first {
            socket.close(None).unwrap();
            closed.send(()).unwrap();
        }
    });
    let publisher = Publisher::default();
    publish(&publisher, &server.target(), &patient(), "1").unwrap();
    closing.recv().unwrap();
    publish(&publisher, &server.target(), &patient(), "2").unwrap();
    let (connections, commands) = server.seen();
    assert_eq!((connections, commands.len()), (2, 2));
}

#[test]
fn a_restarted_server_is_found_by_the_first_call() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        // Gone without a close frame, as after kill -9.
        drop(serve(guest.upgrade_keyed(300), &report, 1));
        let _ = report.send(support::Event::Command("gone".to_owned()));
    });
    let publisher = Publisher::default();
    for _ in 0..5 {
        publish(&publisher, &server.target(), &patient(), "1").unwrap();
        while server.events.recv().unwrap() != support::Event::Command("gone".to_owned()) {}
    }
}

#[test]
fn pings_that_came_while_idle_are_answered_and_do_not_disturb() {
    let (sent, pinged) = channel();
    let server = Server::start(move |guest| {
        let report = guest.report.clone();
        let mut socket = serve(guest.upgrade(), &report, 1);
        socket.send(Message::Ping("x".into())).unwrap();
        socket.send(Message::text(r#"{"type":"hint"}"#)).unwrap();
        sent.send(()).unwrap();
        let command = read_text(&mut socket).unwrap();
        socket.send(Message::text(acknowledgement(&command))).unwrap();
        while !matches!(socket.read().unwrap(), Message::Pong(_)) {}
        report.send(support::Event::Command("pong".to_owned())).unwrap();
        serve(socket, &report, usize::MAX);
    });
    let publisher = Publisher::default();
    publish(&publisher, &server.target(), &patient(), "1").unwrap();
    pinged.recv().unwrap();
    publish(&publisher, &server.target(), &patient(), "2").unwrap();
    publish(&publisher, &server.target(), &patient(), "3").unwrap();
    let (connections, commands) = server.seen();
    assert_eq!(connections, 1);
    assert!(commands.contains(&"pong".to_owned()), "{commands:?}");
}

#[test]
fn replies_to_other_commands_are_passed_over() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade();
        while let Some(text) = read_text(&mut socket) {
            for reply in [r#"{"id":99,"type":"ack","receivers":7}"#, r#"{"type":"hint"}"#, &acknowledgement(&text)] {
                socket.send(Message::text(reply)).unwrap();
            }
        }
    });
    let receipt = publish(&Publisher::default(), &server.target(), &patient(), "1").unwrap();
    assert_eq!(receipt.receivers, 1);
}

#[test]
fn a_refused_command_leaves_the_connection_in_use() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade();
        for reply in [r#"{"id":1,"type":"error","code":"too_large","message":"no"}"#, r#"{"id":2,"type":"ack"}"#] {
            read_text(&mut socket).unwrap();
            socket.send(Message::text(reply)).unwrap();
        }
        read_text(&mut socket);
    });
    let publisher = Publisher::default();
    let Err(Error::Rejected(rejection)) = publish(&publisher, &server.target(), &patient(), "1") else {
        panic!("must be rejected")
    };
    assert_eq!((rejection.code.as_str(), rejection.message.as_str()), ("too_large", "no"));
    publish(&publisher, &server.target(), &patient(), "2").unwrap();
    assert_eq!(server.seen().0, 1);
}

#[test]
fn a_late_answer_is_never_taken_for_that_of_the_next_call() {
    let (hold, held) = channel::<()>();
    let server = Server::start(move |guest| {
        let first = guest.number == 0;
        let mut socket = guest.upgrade();
        let Some(text) = read_text(&mut socket) else { return };
        if first {
            // Holds the answer back until the caller has given up.
            held.recv().unwrap();
        }
        let _ = socket.send(Message::text(acknowledgement(&text)));
    });
    let publisher = Publisher::default();
    let settings = realtime_publisher::Settings { retry_after: std::time::Duration::ZERO, ..impatient() };
    assert!(message(publish(&publisher, &server.target(), &settings, "1")).contains("may have been delivered"));
    hold.send(()).unwrap();
    publish(&publisher, &server.target(), &patient(), "2").unwrap();
    assert_eq!(server.seen().0, 2);
}
