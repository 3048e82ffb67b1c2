//! What is wrong with a frame closes the connection, with a code that says why.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use realtime_server::config::Config;
use serde_json::json;

use crate::support::frame::{BINARY, CLOSE, CONTINUE, FIN, PING, TEXT, frame, header, text, unmasked};
use crate::support::{Client, Scene, config, start};

/// Each input closes a connection of its own with this code, whole or byte by byte.
fn closes(scene: &mut Scene, code: u16, inputs: &[(&str, Vec<u8>)]) {
    for (what, bytes) in inputs {
        for piece in [bytes.len(), 1] {
            // Byte by byte only what is short: the frame's header is what matters.
            for mut client in [scene.server.client(), scene.server.publisher()] {
                for piece in bytes.chunks(if bytes.len() > 300 { bytes.len() } else { piece }) {
                    client.send_raw(piece);
                }
                assert_eq!(client.close_code(), code, "{what}");
            }
        }
    }
    scene.nobody_else_notices();
}

// docs: a binary frame
#[test]
fn a_binary_frame() {
    let mut scene = Scene::default();
    closes(
        &mut scene,
        1003,
        &[
            ("empty", frame(FIN | BINARY, b"")),
            ("JSON", frame(FIN | BINARY, br#"{"type":"ping"}"#)),
            ("the first fragment", frame(BINARY, b"x")),
            ("what follows is dropped", [frame(FIN | BINARY, b"x"), text(r#"{"type":"ping"}"#)].concat()),
        ],
    );
}

// docs: text that is not UTF-8
#[test]
fn text_that_is_not_utf8() {
    let mut scene = Scene::default();
    let cut = "é".as_bytes();
    closes(
        &mut scene,
        1007,
        &[
            ("a lone byte", frame(FIN | TEXT, &[0xFF])),
            ("inside JSON", frame(FIN | TEXT, b"{\"type\":\"ping\",\"id\":\"\xC3\"}")),
            ("a surrogate in UTF-8", frame(FIN | TEXT, &[0xED, 0xA0, 0x80])),
            ("half a character", frame(FIN | TEXT, &cut[..1])),
            ("the reason of a close frame", frame(FIN | CLOSE, &[3, 232, 0xFF])),
        ],
    );
    let mut client = scene.server.client();
    let command = r#"{"type":"ping","id":"é"}"#.as_bytes();
    let middle = command.iter().position(|&byte| byte == cut[0]).unwrap() + 1;
    client.send_raw(&[frame(TEXT, &command[..middle]), frame(FIN | CONTINUE, &command[middle..])].concat());
    assert_eq!(client.json(), json!({"type": "pong", "id": "é"}), "a character may be cut by fragments");
}

// docs: a message over `max_message` (of a publisher: over 8 MiB)
#[test]
fn a_message_over_max_message() {
    let mut scene = Scene::new(Config { max_message: 1000, ..config() });
    let (half, mask) = ([b' '; 600], [0; 4]);
    for (what, bytes) in [
        ("one frame", frame(FIN | TEXT, &[b' '; 1001])),
        ("fragments", [frame(TEXT, &half), frame(FIN | CONTINUE, &half)].concat()),
        ("only announced", [header(FIN | TEXT, 1001, true), mask.to_vec()].concat()),
        ("announced in a fragment", [frame(TEXT, &half), header(CONTINUE, 401, true), mask.to_vec()].concat()),
        ("half the address space", [header(FIN | TEXT, u64::MAX / 2, true), mask.to_vec()].concat()),
        ("the top bit of the length", [header(FIN | TEXT, u64::MAX, true), mask.to_vec()].concat()),
        ("a ping between", [frame(TEXT, &half), frame(FIN | PING, b""), frame(FIN | CONTINUE, &half)].concat()),
    ] {
        let mut client = scene.server.client();
        client.send_raw(&bytes);
        assert_eq!(client.close_code(), 1009, "{what}");
    }
    let mut client = scene.server.client();
    client.send_raw(&frame(FIN | TEXT, format!("{:1000}", r#"{"type":"ping"}"#).as_bytes()));
    assert_eq!(client.json()["type"], "pong");
    let mut publisher = scene.server.publisher();
    publisher.send_raw(&header(FIN | TEXT, (8 << 20) + 1, true));
    publisher.send_raw(&mask);
    assert_eq!(publisher.close_code(), 1009);
    let mut publisher = scene.server.publisher();
    let part = vec![b' '; 3 << 20];
    for first in [TEXT, CONTINUE, CONTINUE] {
        publisher.send_raw(&frame(first, &part));
    }
    assert_eq!(publisher.close_code(), 1009);
    let mut publisher = scene.server.publisher();
    let whole = [r#"{"type":"ping"}"#, &" ".repeat((8 << 20) - 15)].concat();
    assert_eq!(publisher.ask(&whole)["type"], "pong");
    scene.nobody_else_notices();
}

fn quick() -> Config {
    Config { ping_interval: Duration::from_millis(300), ..config() }
}

/// Reads what the server sends, without ever answering, to the end.
fn listen(client: &mut Client) -> Vec<u8> {
    let mut heard = Vec::new();
    match client.stream_mut().read_to_end(&mut heard) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => heard,
    }
}

// docs: a message that is begun and not finished within `ping_interval`
#[test]
fn a_message_that_is_not_finished() {
    let mut scene = Scene::new(quick());
    for (what, begun) in [
        ("half a header", vec![FIN | TEXT]),
        ("half a frame", text(r#"{"type":"ping"}"#)[..10].to_vec()),
        ("a fragment", frame(TEXT, b"{")),
        ("an empty fragment", frame(TEXT, b"")),
    ] {
        let mut client = scene.server.client();
        client.send_raw(&begun);
        let (texts, close) = client.closed();
        assert_eq!(close.map(|close| u16::from(close.code)), Some(4000), "{what}");
        assert_eq!(texts.last().unwrap()["code"], 4000, "{what}");
        let mut publisher = scene.server.publisher();
        publisher.send_raw(&begun);
        assert_eq!(publisher.close_code(), 4000, "{what}");
    }
    scene.nobody_else_notices();
}

#[test]
fn pings_between_and_empty_fragments_do_not_keep_a_message_unfinished_for_ever() {
    let mut scene = Scene::new(quick());
    for kept_alive_by in [frame(FIN | PING, b"still here"), frame(CONTINUE, b"")] {
        let mut client = scene.server.client();
        client.send_raw(&frame(TEXT, b"{"));
        let mut writer = client.stream().try_clone().unwrap();
        std::thread::scope(|scope| {
            // As many as the server takes; it ends the connection at some time.
            scope.spawn(move || while std::io::Write::write_all(&mut writer, &kept_alive_by).is_ok() {});
            let code = client.close_code();
            let _ = client.stream().shutdown(std::net::Shutdown::Both);
            assert!([4000, 4008].contains(&code), "{code}");
        });
    }
    scene.nobody_else_notices();
}

#[test]
fn a_stream_of_messages_that_is_always_within_one_is_no_unfinished_message() {
    let mut scene = Scene::new(quick());
    let ping = text(r#"{"type":"ping","id":1}"#);
    let (first, second) = ping.split_at(9);
    let shifted = [second, first].concat();
    let mut request = scene.server.request("/");
    // Publishers' commands are not rationed.
    request.headers_mut().insert("authorization", scene.server.bearer().parse().unwrap());
    let mut busy = [Client::open(request), scene.server.publisher()];
    for busy in &mut busy {
        busy.send_raw(first);
    }
    // The clock: a message that really is unfinished, and begun later.
    let mut clock = scene.server.client();
    clock.send_raw(first);
    let ended = std::thread::spawn(move || clock.close_code());
    while !ended.is_finished() {
        for busy in &mut busy {
            busy.send_raw(&shifted);
            assert_eq!(busy.json()["type"], "pong");
        }
    }
    assert_eq!(ended.join().unwrap(), 4000);
    scene.nobody_else_notices();
}

// docs: a frame without a mask, reserved bits or opcodes
#[test]
fn what_the_rfc_forbids() {
    let mut scene = Scene::default();
    let json = br#"{"type":"ping"}"#;
    let close = |code: u16| frame(FIN | CLOSE, &code.to_be_bytes());
    closes(
        &mut scene,
        1002,
        &[
            ("no mask", unmasked(FIN | TEXT, json)),
            ("reserved bit 1", frame(FIN | 0x40 | TEXT, json)),
            ("reserved bit 2", frame(FIN | 0x20 | TEXT, json)),
            ("reserved bit 3", frame(FIN | 0x10 | TEXT, json)),
            ("reserved bit on a ping", frame(FIN | 0x40 | PING, b"")),
            ("opcode 3", frame(FIN | 3, json)),
            ("opcode 11", frame(FIN | 11, b"")),
            ("opcode 15", frame(FIN | 15, b"")),
            ("a ping of 126 bytes", frame(FIN | PING, &[0; 126])),
            ("a fragmented ping", frame(PING, b"x")),
            ("a continuation of nothing", frame(FIN | CONTINUE, json)),
            ("a message inside a message", [frame(TEXT, b"{"), text("{}")].concat()),
            ("a close frame of one byte", frame(FIN | CLOSE, &[3])),
            ("a close frame with 999", close(999)),
            ("a close frame with 1005", close(1005)),
            ("a close frame with 1006", close(1006)),
            ("a close frame with 1015", close(1015)),
            ("a close frame with 5000", close(5000)),
            ("a close frame of 126 bytes", frame(FIN | CLOSE, &[b'x'; 126])),
        ],
    );
}

#[test]
fn a_close_frame_is_answered_in_kind_and_nothing_follows_it() {
    let mut scene = Scene::default();
    for (sent, answer) in [
        (frame(FIN | CLOSE, &1000u16.to_be_bytes()), unmasked(FIN | CLOSE, &1000u16.to_be_bytes())),
        (frame(FIN | CLOSE, &4999u16.to_be_bytes()), unmasked(FIN | CLOSE, &1000u16.to_be_bytes())),
        (frame(FIN | CLOSE, b""), unmasked(FIN | CLOSE, b"")),
    ] {
        let mut client = scene.server.client();
        client.send_raw(&[sent, text(r#"{"type":"ping"}"#)].concat());
        assert_eq!(listen(&mut client), answer);
    }
    scene.nobody_else_notices();
}

#[test]
fn who_breaks_the_protocol_is_not_waited_for() {
    let mut scene = Scene::default();
    // This one still may send a close frame of its own; it does not, and so ends by a deadline.
    let may_answer = text(r#"{"type":"ping"}"#).repeat(1000);
    let wrong = [
        frame(FIN | CLOSE, &[b'x'; 126]),
        frame(FIN | CLOSE, &[3]),
        frame(FIN | CLOSE, &999u16.to_be_bytes()),
        frame(FIN | CLOSE, &[3, 232, 0xFF]),
        // What looks like a close frame behind the end of what is known is none.
        [frame(FIN | 5, b""), frame(FIN | CLOSE, b"")].concat(),
        unmasked(FIN | TEXT, b"{}"),
    ];
    for wrong in wrong {
        let (ended, first) = std::sync::mpsc::channel();
        let clients: Vec<_> = [("may answer", may_answer.clone()), ("closed", wrong)]
            .into_iter()
            .map(|(who, bytes)| {
                let mut client = scene.server.client();
                client.send_raw(&bytes);
                let (mut stream, ended) = (client.stream().try_clone().unwrap(), ended.clone());
                std::thread::spawn(move || {
                    let _ = stream.read_to_end(&mut Vec::new());
                    // Who ends later is of no interest.
                    let _ = ended.send(who);
                });
                client
            })
            .collect();
        assert_eq!(first.recv().unwrap(), "closed");
        drop(clients);
    }
    scene.nobody_else_notices();
}

// docs: nothing at all, not even a pong, for `ping_interval` and `pong_timeout`
#[test]
fn a_silent_client() {
    let server = start(Config { pong_timeout: Duration::from_millis(300), ..quick() });
    let mut client = server.client();
    assert_eq!(listen(&mut client), unmasked(FIN | PING, b""), "pinged once, then dropped without a word");
}

// docs: frames that are not read until the outbox is full (`outbox_max`)
#[test]
fn a_reader_that_does_not_read() {
    let mut scene = Scene::new(Config { outbox_max: 256 << 10, ..config() });
    let mut reader = scene.server.client();
    reader.subscribe("c");
    let mut publisher = scene.server.publisher();
    let data = json!("x".repeat(60_000));
    while publisher.publish("c", &data) == 1 {}
    let (mut texts, close) = reader.closed();
    let said = texts.pop().unwrap();
    assert_eq!(said, json!({"type": "disconnect", "code": 4008, "reason": "slow consumer", "reconnect": true}));
    assert_eq!(close.map(|close| (close.code.into(), close.reason.to_string())), Some((4008, "slow consumer".into())));
    assert!(texts.iter().all(|text| text["data"] == data), "what came before is whole");
    scene.nobody_else_notices();
}
