//! The decoder of frames: beside itself on other pieces, and beside tungstenite's.

use std::io::{Cursor, Read, Write};
use std::ops::ControlFlow;

use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::ws::{Decoder, Deflate, Event, Kind, Limits, Violation};

const MAX_MESSAGE: usize = 300;
/// Longest header of a frame, bytes.
const MAX_HEADER: usize = 14;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Deflated(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There was no more input.
    Input,
    /// By a close frame.
    Close,
    /// By a violation.
    Violation(Violation),
}

/// The first byte says whether messages may be compressed and how the rest, what a peer sent, is cut.
pub fn frames(input: &[u8]) {
    let [how, bytes @ ..] = input else { return };
    let limits = Limits { max_message: MAX_MESSAGE, deflate: how & 1 == 1, binary: false };
    let whole = decode(bytes, usize::MAX, limits);
    assert_eq!(decode(bytes, usize::from(how >> 1).max(1), limits), whole, "other pieces say something else");
    if limits.deflate {
        return inflate(&whole.0);
    }
    let (said, end) = whole;
    let (theirs, their_end) = tungstenite(bytes);
    match (end, their_end) {
        // What is binary is refused at once, so nothing is known of what would follow.
        (End::Violation(Violation::Binary), _) => assert!(theirs.starts_with(&said), "{said:?}, {theirs:?}"),
        // The end of a frame is not waited for when its beginning is wrong already.
        (End::Input, false) | (End::Close | End::Violation(_), _) => assert_eq!(said, theirs),
        (End::Input, true) => panic!("tungstenite refuses what is accepted: {said:?}"),
    }
}

fn decode(bytes: &[u8], piece: usize, limits: Limits) -> (Vec<Said>, End) {
    let mut decoder = Decoder::default();
    let mut said = Vec::new();
    for piece in bytes.chunks(piece) {
        let flow = decoder.decode(&mut piece.to_vec(), limits, &mut |event| {
            match event {
                Event::Text(text) => said.push(Said::Text(text.to_owned())),
                Event::Binary(_) | Event::Deflated(Kind::Binary, _) => panic!("a binary message is taken"),
                Event::Deflated(Kind::Text, message) => said.push(Said::Deflated(message.to_vec())),
                Event::Ping(payload) => said.push(Said::Ping(payload.to_vec())),
                Event::Pong => said.push(Said::Pong),
                Event::Close(_) => {}
            }
            ControlFlow::Continue(())
        });
        match flow {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return (said, End::Close),
            Err(violation) => return (said, End::Violation(violation)),
        }
        // A frame and the message that it belongs to, each in a vector that has grown by doubling.
        assert!(decoder.held() <= 2 * (2 * MAX_MESSAGE + MAX_HEADER), "{} bytes are held", decoder.held());
    }
    (said, End::Input)
}

/// Compressed messages inflate alike whatever came before, and never to more than they may.
fn inflate(said: &[Said]) {
    let mut used = Deflate::new(1);
    for said in said {
        if let Said::Deflated(message) = said {
            let inflated = used.inflate(message, MAX_MESSAGE);
            assert!(inflated.as_ref().is_ok_and(|text| text.len() <= MAX_MESSAGE) || inflated.is_err());
            assert_eq!(inflated, Deflate::new(1).inflate(message, MAX_MESSAGE), "it depends on what came before");
        }
    }
}

/// Reads from memory; what is written goes nowhere.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the same, and whether it ended before the input did.
fn tungstenite(bytes: &[u8]) -> (Vec<Said>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocket::from_raw_socket(Peer(Cursor::new(bytes)), Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => said.push(Said::Text(text.to_string())),
            Ok(Message::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
            Ok(Message::Pong(_)) => said.push(Said::Pong),
            Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (said, false),
            Ok(Message::Binary(_) | Message::Close(_) | Message::Frame(_)) | Err(_) => return (said, true),
        }
    }
}
