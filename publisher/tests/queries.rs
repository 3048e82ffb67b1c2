//! Questions and orders to the server, and what their answers become.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod support;

use realtime_publisher::{Error, Position, Publisher, Since};
use support::{Event, Server, json, patient, read_text};
use tungstenite::Message;

/// A server that answers with these texts, in which `ID` stands for the command's id.
fn answering(replies: &'static [&'static str]) -> Server {
    Server::start(move |guest| {
        let report = guest.report.clone();
        let mut socket = guest.upgrade();
        for reply in replies {
            let text = read_text(&mut socket).unwrap();
            let id = json(&text)["id"].to_string();
            report.send(Event::Command(text)).unwrap();
            socket.send(Message::text(reply.replace("ID", &id))).unwrap();
        }
        read_text(&mut socket);
    })
}

#[test]
fn history_is_the_reply_as_it_came() {
    let reply = r#"{"type":"history","id":ID,"channel":"c","publications":[{"offset":1,"data":1.0}],"oldest":1,"top":1,"epoch":"e"}"#;
    let server = Box::leak(Box::new([reply; 3]));
    let (server, publisher) = (answering(server), Publisher::default());
    let since = [None, Some(Since::Earliest), Some(Since::After { epoch: "e\"", offset: 41 })];
    for (i, since) in since.into_iter().enumerate() {
        let history = publisher.history(&server.target(), &patient(), "c", 50, since).unwrap();
        assert_eq!(history, reply.replace("ID", &(i + 1).to_string()));
    }
    assert_eq!(
        server.seen().1,
        [
            r#"{"id":1,"type":"history","channel":"c","limit":50}"#,
            r#"{"id":2,"type":"history","channel":"c","limit":50,"since":"earliest"}"#,
            r#"{"id":3,"type":"history","channel":"c","limit":50,"since":{"offset":41,"epoch":"e\""}}"#,
        ]
    );
}

#[test]
fn a_position_is_none_where_no_history_is_kept() {
    let server = answering(&[
        r#"{"type":"position","id":ID,"channel":"c","epoch":"e","offset":58}"#,
        r#"{"type":"position","id":ID,"channel":"c","epoch":null,"offset":null}"#,
    ]);
    let publisher = Publisher::default();
    let position = || publisher.position(&server.target(), &patient(), "c").unwrap();
    assert_eq!(position(), Some(Position { epoch: "e".to_owned(), offset: 58 }));
    assert_eq!(position(), None);
    assert_eq!(server.seen().1[0], r#"{"id":1,"type":"position","channel":"c"}"#);
}

#[test]
fn all_pages_of_a_list_are_fetched() {
    let server = answering(&[
        r#"{"type":"presence","id":ID,"channel":"c","members":[{"user":"a","info":{"n": 1}},{"user":"b"}],"next":"b"}"#,
        r#"{"type":"presence","id":ID,"channel":"c","members":[{"user":"c"}]}"#,
        r#"{"type":"channels","id":ID,"channels":[{"channel":"a","subscribers":2}],"next":"a"}"#,
        r#"{"type":"channels","id":ID,"channels":[{"channel":"42","subscribers":1}]}"#,
    ]);
    let publisher = Publisher::default();
    let members = publisher.presence(&server.target(), &patient(), "c").unwrap();
    assert_eq!(members, r#"[{"user":"a","info":{"n": 1}},{"user":"b"},{"user":"c"}]"#);
    let channels = publisher.channels(&server.target(), &patient(), "o.").unwrap();
    assert_eq!(channels, [("a".to_owned(), 2), ("42".to_owned(), 1)]);
    assert_eq!(
        server.seen().1,
        [
            r#"{"id":1,"type":"presence","channel":"c","limit":1000}"#,
            r#"{"id":2,"type":"presence","channel":"c","after":"b","limit":1000}"#,
            r#"{"id":3,"type":"channels","prefix":"o.","limit":1000}"#,
            r#"{"id":4,"type":"channels","prefix":"o.","after":"a","limit":1000}"#,
        ]
    );
}

#[test]
fn subscribers_are_a_number() {
    let server = answering(&[r#"{"type":"subscribers","id":ID,"channel":"c","subscribers":12}"#]);
    assert_eq!(Publisher::default().subscribers(&server.target(), &patient(), "c").unwrap(), 12);
}

#[test]
fn a_server_that_does_not_know_the_question_refuses_it_and_nonsense_is_told() {
    let server = answering(&[
        r#"{"type":"error","id":ID,"code":"unknown_type","message":"m"}"#,
        r#"{"type":"subscribers","id":ID,"subscribers":"many"}"#,
    ]);
    let publisher = Publisher::default();
    for code in ["unknown_type", "bad_reply"] {
        let result = publisher.subscribers(&server.target(), &patient(), "c");
        assert!(matches!(&result, Err(Error::Rejected(why)) if why.code == code), "{result:?}");
    }
}

#[test]
fn a_question_whose_connection_breaks_is_asked_again() {
    let server = Server::start(|guest| {
        let first = guest.number == 0;
        let mut socket = guest.upgrade();
        let text = read_text(&mut socket).unwrap();
        if !first {
            let reply = format!(r#"{{"type":"subscribers","id":{},"subscribers":1}}"#, json(&text)["id"]);
            socket.send(Message::text(reply)).unwrap();
            read_text(&mut socket);
        }
    });
    assert_eq!(Publisher::default().subscribers(&server.target(), &patient(), "c").unwrap(), 1);
}

#[test]
fn orders_about_users_are_answered_by_a_number() {
    let server = answering(&[
        r#"{"type":"ack","id":ID,"receivers":2}"#,
        r#"{"type":"ack","id":ID,"receivers":1}"#,
        r#"{"type":"ack","id":ID,"receivers":3}"#,
        r#"{"type":"ack","id":ID,"receivers":0}"#,
        r#"{"type":"error","id":ID,"code":"forbidden","message":"m"}"#,
    ]);
    let (publisher, target, settings) = (Publisher::default(), server.target(), patient());
    assert_eq!(publisher.disconnect_user(&target, &settings, "u\"7", Some("banned")).unwrap(), 2);
    assert_eq!(publisher.disconnect_user(&target, &settings, "u7", None).unwrap(), 1);
    assert_eq!(publisher.unsubscribe_user(&target, &settings, "u7", "orders.42").unwrap(), 3);
    assert_eq!(publisher.revoke_tokens(&target, &settings, "u7").unwrap(), 0);
    let refused = publisher.revoke_tokens(&target, &settings, "u7");
    assert!(matches!(&refused, Err(Error::Rejected(why)) if why.code == "forbidden"), "{refused:?}");
    assert_eq!(
        server.seen().1[..4],
        [
            r#"{"id":1,"type":"disconnect","user":"u\"7","reason":"banned"}"#,
            r#"{"id":2,"type":"disconnect","user":"u7"}"#,
            r#"{"id":3,"type":"unsubscribe","user":"u7","channel":"orders.42"}"#,
            r#"{"id":4,"type":"revoke","user":"u7"}"#,
        ]
    );
}

#[test]
fn an_order_whose_connection_breaks_is_given_again() {
    let server = Server::start(|guest| {
        let (first, report) = (guest.number == 0, guest.report.clone());
        let mut socket = guest.upgrade();
        let text = read_text(&mut socket).unwrap();
        report.send(Event::Command(text.clone())).unwrap();
        if !first {
            socket.send(Message::text(support::acknowledgement(&text))).unwrap();
            read_text(&mut socket);
        }
    });
    assert_eq!(Publisher::default().revoke_tokens(&server.target(), &patient(), "u7").unwrap(), 1);
    assert_eq!(server.seen(), (2, vec![r#"{"id":1,"type":"revoke","user":"u7"}"#.to_owned(); 2]));
}
