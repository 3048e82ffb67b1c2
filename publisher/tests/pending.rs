//! Broadcasts that nobody waits for at once: sent without waiting, deferred, in a batch; and the end of a request.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod support;

use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use realtime_publisher::{Batch, Error, Outcome, Publisher, Settings, Target};
use support::{Event, Guest, Server, accept_keyed, acknowledgement, data, fields, impatient, json, message, patient};
use support::{publication, publish, read_text, serve};
use tungstenite::Message;

const TTL: u64 = 300;
/// The object that sends.
const OWNER: u64 = 1;

fn send(publisher: &Publisher, target: &Target, data: &str) -> String {
    publisher.send(OWNER, target, &patient(), publisher.publication(&publication(data))).unwrap().key
}

fn keys(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| outcome.as_ref().unwrap().key.clone()).collect()
}

/// A server that reads everything and answers nothing of it before it is told to.
fn holding(commands: usize) -> (Server, Sender<()>, Receiver<()>) {
    let ((release, released), (all, has_all)) = (channel::<()>(), channel());
    let server = Server::start(move |guest| {
        let report = guest.report.clone();
        let mut socket = guest.upgrade_keyed(TTL);
        let mut texts = Vec::new();
        for _ in 0..commands {
            let Some(text) = read_text(&mut socket) else { return };
            let _ = report.send(Event::Command(text.clone()));
            texts.push(text);
        }
        all.send(()).unwrap();
        if released.recv().is_err() {
            return;
        }
        for text in texts {
            socket.send(Message::text(acknowledgement(&text))).unwrap();
        }
        serve(socket, &report, usize::MAX);
    });
    (server, release, has_all)
}

#[test]
fn sending_waits_for_no_acknowledgement_and_flush_brings_them_in_order() {
    let (server, release, has_all) = holding(3);
    let (publisher, target) = (Publisher::default(), server.target());
    let sent: Vec<_> = ["1", "2", "3"].map(|data| send(&publisher, &target, data)).into();
    has_all.recv().unwrap();
    assert_eq!((publisher.stats().outstanding, publisher.stats().acknowledged), (3, 0));
    release.send(()).unwrap();
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert_eq!(keys(&outcomes), sent);
    assert_eq!(outcomes[0].as_ref().unwrap().channels[0].0, "c");
    assert_eq!((publisher.stats().outstanding, publisher.stats().acknowledged), (0, 3));
    assert!(publisher.flush(OWNER, &target, &patient()).unwrap().is_empty());
}

#[test]
fn an_acknowledged_broadcast_comes_after_what_was_sent_before_it() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    publish(&publisher, &target, &patient(), "2").unwrap();
    send(&publisher, &target, "3");
    assert_eq!(publisher.flush(OWNER, &target, &patient()).unwrap().len(), 2);
    let (connections, commands) = server.seen();
    assert_eq!((connections, data(&commands)), (1, vec![1.into(), 2.into(), 3.into()]));
}

#[test]
fn flush_tells_each_object_its_own() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    let mine = send(&publisher, &target, "1");
    let other = publisher.publication(&publication("2"));
    let other = publisher.send(2, &target, &patient(), other).unwrap().key;
    assert_eq!(keys(&publisher.flush(OWNER, &target, &patient()).unwrap()), [mine]);
    assert_eq!(keys(&publisher.flush(2, &target, &patient()).unwrap()), [other]);
}

#[test]
fn a_refused_broadcast_is_an_outcome_of_flush() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade_keyed(TTL);
        read_text(&mut socket).unwrap();
        socket.send(Message::text(r#"{"id":1,"type":"error","code":"forbidden","message":"no"}"#)).unwrap();
        read_text(&mut socket);
    });
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert!(matches!(&outcomes[..], [Err(Error::Rejected(why))] if why.code == "forbidden"), "{outcomes:?}");
    assert_eq!(publisher.stats().failed, 1);
}

#[test]
fn at_the_bound_of_outstanding_acknowledgements_a_call_waits() {
    let (server, release, has_all) = holding(1_024);
    let (publisher, target) = (Publisher::default(), server.target());
    for i in 0..1_024 {
        send(&publisher, &target, &i.to_string());
    }
    has_all.recv().unwrap();
    let settings = Settings { retry_after: Duration::ZERO, ..impatient() };
    let one_more = publisher.publication(&publication("1024"));
    let result = publisher.send(OWNER, &target, &settings, one_more);
    assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
    assert!(message(result).contains("was not sent"));
    assert_eq!(publisher.stats().outstanding, 1_024);
    release.send(()).unwrap();
    send(&publisher, &target, "1024");
    publisher.flush(OWNER, &target, &patient()).unwrap();
    let (connections, commands) = server.seen();
    assert_eq!((connections, data(&commands)), (1, (0..=1_024).map(Into::into).collect()));
}

#[test]
fn at_the_bound_of_outstanding_bytes_a_call_waits() {
    let (server, release, has_all) = holding(3);
    let (publisher, target) = (Publisher::default(), server.target());
    let third = format!("\"{}\"", "x".repeat(340 << 10));
    for _ in 0..3 {
        send(&publisher, &target, &third);
    }
    has_all.recv().unwrap();
    let settings = Settings { retry_after: Duration::ZERO, ..impatient() };
    let result = publisher.send(OWNER, &target, &settings, publisher.publication(&publication(&third)));
    assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
    release.send(()).unwrap();
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().channels[0].0, "c");
}

#[test]
fn thousands_are_sent_over_a_unix_socket_without_a_deadlock() {
    const COUNT: usize = 5_000;
    let path = std::env::temp_dir().join(format!("realtime-publisher-burst-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let (report, events) = channel();
    // It answers each command before it reads the next, so it blocks when nobody takes its answers.
    std::thread::spawn(move || serve(accept_keyed(listener.accept().unwrap().0, Some(TTL)), &report, usize::MAX));
    let target = support::target(&format!("unix://{}", path.display()));
    let publisher = Publisher::default();
    let big = format!("\"{}\"", "x".repeat(2_000));
    for _ in 0..COUNT {
        send(&publisher, &target, &big);
    }
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(publisher.stats().acknowledged, COUNT as u64);
    assert_eq!(events.try_iter().count(), COUNT);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_deferred_goes_out_as_one_frame_at_flush() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    let deferred: Vec<_> = ["1", "2"].map(|data| publisher.defer(OWNER, &target, &publication(data)).unwrap()).into();
    publisher.defer(2, &target, &publication("3")).unwrap();
    assert_eq!((publisher.stats().deferred, server.seen().0), (3, 0));
    let outcomes = publisher.flush(OWNER, &target, &patient()).unwrap();
    assert_eq!(keys(&outcomes), deferred);
    let (_, commands) = server.seen();
    assert_eq!((commands.len(), data(&commands)), (1, vec![1.into(), 2.into()]));
    assert_eq!(publisher.discard(2), 1);
    assert_eq!(publisher.discard(2), 0);
    let stats = publisher.stats();
    assert_eq!((stats.deferred, stats.dropped, stats.sent), (0, 1, 2));
}

#[test]
fn what_could_not_be_flushed_stays_deferred() {
    let publisher = Publisher::default();
    let target = support::target("unix:///nonexistent/x.sock");
    publisher.defer(OWNER, &target, &publication("1")).unwrap();
    message(publisher.flush(OWNER, &target, &patient()));
    message(publisher.flush(OWNER, &target, &patient()));
    publisher.defer(OWNER, &target, &publication("2")).unwrap();
    assert_eq!(publisher.discard(OWNER), 2);
}

#[test]
fn a_batch_has_an_outcome_for_each_item_in_order() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade_keyed(TTL);
        let commands = json(&read_text(&mut socket).unwrap());
        let (first, second) = (&commands[0]["id"], &commands[1]["id"]);
        let reply = format!(
            r#"[{{"type":"ack","id":{first},"receivers":2}},{{"type":"error","id":{second},"code":"too_large","message":"m"}}]"#
        );
        socket.send(Message::text(reply)).unwrap();
        read_text(&mut socket);
    });
    let publisher = Publisher::default();
    let mut batch = Batch::default();
    publisher.add(&mut batch, &publication("1"));
    publisher.add(&mut batch, &publication("2"));
    let outcomes = publisher.batch(&server.target(), &patient(), batch).unwrap();
    assert!(matches!(&outcomes[..], [Ok(_), Err(Error::Rejected(_))]), "{outcomes:?}");
    let stats = publisher.stats();
    assert_eq!((stats.sent, stats.acknowledged, stats.failed, stats.outstanding), (2, 1, 1, 0));
    assert!(publisher.batch(&server.target(), &patient(), Batch::default()).unwrap().is_empty());
}

#[test]
fn a_batch_whose_connection_breaks_is_sent_again_whole() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        let first = guest.number == 0;
        let mut socket = guest.upgrade_keyed(TTL);
        if first {
            report.send(Event::Command(read_text(&mut socket).unwrap())).unwrap();
        } else {
            serve(socket, &report, usize::MAX);
        }
    });
    let publisher = Publisher::default();
    let mut batch = Batch::default();
    for data in ["1", "2", "3"] {
        publisher.add(&mut batch, &publication(data));
    }
    assert_eq!(publisher.batch(&server.target(), &patient(), batch).unwrap().len(), 3);
    let (_, commands) = server.seen();
    assert_eq!((commands.len(), &commands[0]), (2, &commands[1]));
    assert_eq!(fields(&commands, "key").len(), 6);
    assert_eq!(publisher.stats().resent, 3);
}

#[test]
fn the_end_of_a_request_sends_what_is_deferred_and_settles_everything() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    assert!(!publisher.has_pending());
    send(&publisher, &target, "1");
    publisher.defer(OWNER, &target, &publication("2")).unwrap();
    assert!(publisher.has_pending());
    assert_eq!(publisher.finish(&patient(), None), Vec::<String>::new());
    assert!(!publisher.has_pending());
    let (connections, commands) = server.seen();
    assert_eq!((connections, data(&commands)), (1, vec![1.into(), 2.into()]));
    // The connection is in order.
    publish(&publisher, &target, &patient(), "3").unwrap();
    assert_eq!(server.seen().0, 0);
}

#[test]
fn the_end_tells_once_that_a_server_is_away() {
    let publisher = Publisher::default();
    let target = support::target("unix:///nonexistent/x.sock");
    for owner in 1..=3 {
        publisher.defer(owner, &target, &publication("1")).unwrap();
    }
    let log = publisher.finish(&patient(), None);
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("3 of 3 broadcast(s) not acknowledged: Could not connect"), "{log:?}");
    assert_eq!((publisher.stats().failed, publisher.stats().deferred), (3, 0));
}

#[test]
fn the_end_of_a_failed_request_drops_what_is_deferred_and_says_so() {
    let server = Server::start(Guest::acknowledge_all);
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    publisher.defer(OWNER, &target, &publication("2")).unwrap();
    let log = publisher.finish(&patient(), Some("the request failed"));
    assert_eq!(log, ["1 deferred broadcast(s) dropped: the request failed"]);
    assert_eq!(data(&server.seen().1), [1]);
    assert_eq!((publisher.stats().dropped, publisher.stats().acknowledged), (1, 1));
}

#[test]
fn what_is_not_acknowledged_by_the_end_is_told_and_given_up() {
    let (server, _release, has_all) = holding(2);
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    send(&publisher, &target, "2");
    has_all.recv().unwrap();
    let settings = Settings { retry_after: Duration::ZERO, ..impatient() };
    let log = publisher.finish(&settings, None);
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("2 of 2 broadcast(s) not acknowledged: ws://"), "{log:?}");
    assert!(!publisher.has_pending());
    assert_eq!((publisher.stats().failed, publisher.stats().outstanding), (2, 0));
}

#[test]
fn the_end_tells_what_the_server_refused() {
    let server = Server::start(|guest| {
        let mut socket = guest.upgrade_keyed(TTL);
        let reply = r#"{"id":1,"type":"error","code":"forbidden","message":"not here"}"#;
        read_text(&mut socket).unwrap();
        socket.send(Message::text(reply)).unwrap();
        read_text(&mut socket);
    });
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    assert_eq!(publisher.finish(&patient(), None), ["1 of 1 broadcast(s) not acknowledged: not here (forbidden)"]);
}

#[test]
fn the_end_sends_again_what_a_broken_connection_left() {
    let server = Server::start(|guest| {
        let report = guest.report.clone();
        let first = guest.number == 0;
        let mut socket = guest.upgrade_keyed(TTL);
        if first {
            read_text(&mut socket).unwrap();
        } else {
            serve(socket, &report, usize::MAX);
        }
    });
    let (publisher, target) = (Publisher::default(), server.target());
    send(&publisher, &target, "1");
    assert_eq!(publisher.finish(&patient(), None), Vec::<String>::new());
    assert_eq!(data(&server.seen().1), [1]);
    assert_eq!((publisher.stats().resent, publisher.stats().acknowledged), (1, 1));
}
