//! The decoder of frames beside tungstenite's, on random input in random pieces.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{Cursor, Read, Write};
use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use realtime_server::internals::{Decoder, Event, Limits, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const MAX_MESSAGE: usize = 300;

/// What a peer said, up to what ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    Close(bool),
    Protocol,
    TooBig,
    Utf8,
    Binary,
}

fn ours(bytes: &[u8], pieces: &[usize]) -> Vec<Said> {
    let limits = Limits { max_message: MAX_MESSAGE, deflate: false, binary: false };
    let mut decoder = Decoder::default();
    let mut said = Vec::new();
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = later;
        let flow = decoder.decode(&mut piece.to_vec(), limits, &mut |event| {
            said.push(match event {
                Event::Text(text) => Said::Text(text.to_owned()),
                Event::Binary(_) | Event::Deflated(..) => panic!("nobody agreed on that"),
                Event::Ping(payload) => Said::Ping(payload.to_vec()),
                Event::Pong => Said::Pong,
                Event::Close(with_code) => Said::Close(with_code),
            });
            ControlFlow::Continue(())
        });
        match flow {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(violation) => {
                said.push(match violation {
                    Violation::Protocol(_) => Said::Protocol,
                    Violation::TooBig => Said::TooBig,
                    Violation::Utf8 => Said::Utf8,
                    Violation::Binary => Said::Binary,
                });
                break;
            }
        }
    }
    said
}

/// Reads from memory; what is written goes nowhere.
struct Peer(Cursor<Vec<u8>>);

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> Vec<Said> {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocket::from_raw_socket(Peer(Cursor::new(bytes.to_vec())), Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        said.push(match socket.read() {
            Ok(Message::Text(text)) => Said::Text(text.to_string()),
            Ok(Message::Ping(payload)) => Said::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Said::Pong,
            Ok(Message::Close(frame)) => Said::Close(frame.is_some()),
            Ok(Message::Binary(_)) => Said::Binary,
            Ok(Message::Frame(_)) => panic!("a raw frame was read"),
            // All is read.
            Err(Error::Io(_) | Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return said;
            }
            Err(Error::Protocol(_)) => Said::Protocol,
            Err(Error::Capacity(_)) => Said::TooBig,
            Err(Error::Utf8(_)) => Said::Utf8,
            Err(other) => panic!("{other:?}"),
        });
        if !matches!(said.last(), Some(Said::Text(_) | Said::Ping(_) | Said::Pong)) {
            return said;
        }
    }
}

/// A client's frame; `form`: 0 is the shortest length, 1 and 2 are longer than need be, where they can be.
fn frame(first: u8, payload: &[u8], mask: [u8; 4], form: u8) -> Vec<u8> {
    let mut out = vec![first];
    match (payload.len(), form) {
        (short @ 0..=125, 0) => out.push(0x80 | short as u8),
        (medium @ 0..=0xFFFF, 0 | 1) => {
            out.push(0x80 | 126);
            out.extend((medium as u16).to_be_bytes());
        }
        (long, _) => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn cut(payload: &[u8], at: Index) -> (&[u8], &[u8]) {
    payload.split_at(at.index(payload.len() + 1))
}

/// What a peer may do: whole messages, fragments with control frames between, control frames.
fn fair() -> impl Strategy<Value = Vec<u8>> {
    let mask = any::<[u8; 4]>();
    let ping = (select(vec![0x89_u8, 0x8A]), vec(any::<u8>(), 0..=125));
    let whole = (".{0,90}", mask, 0..3_u8).prop_map(|(text, mask, form)| frame(0x81, text.as_bytes(), mask, form));
    let control = (ping.clone(), mask).prop_map(|((first, payload), mask)| frame(first, &payload, mask, 0));
    let fragments = (".{0,90}", mask, any::<[Index; 2]>(), ping).prop_map(|(text, mask, [a, b], (first, payload))| {
        let (start, rest) = cut(text.as_bytes(), a);
        let (middle, end) = cut(rest, b);
        [
            frame(0x01, start, mask, 0),
            frame(first, &payload, mask, 0),
            frame(0x00, middle, mask, 1),
            frame(0x80, end, mask, 0),
        ]
        .concat()
    });
    prop_oneof![whole, control, fragments]
}

/// What ends a connection.
fn last() -> impl Strategy<Value = Vec<u8>> {
    let mask = [1, 2, 3, 4];
    let close = |code: u16, reason: &str| frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat(), mask, 0);
    select(vec![
        Vec::new(),
        frame(0x88, b"", mask, 0),
        close(1000, "fine"),
        close(4999, "é"),
        frame(0x88, &[3], mask, 0),
        frame(0x81, &[0xFF], mask, 0),
        frame(0x82, b"binary", mask, 0),
        frame(0x81, &[b'x'; MAX_MESSAGE + 1], mask, 0),
        frame(0x81, &[b'x'; MAX_MESSAGE + 1], mask, 2)[..12].to_vec(),
        [frame(0x01, &[b'x'; 200], mask, 0), frame(0x80, &[b'x'; 101], mask, 0)].concat(),
        frame(0x80, b"of nothing", mask, 0),
        [frame(0x01, b"a", mask, 0), frame(0x81, b"b", mask, 0)].concat(),
        frame(0x09, b"fragmented ping", mask, 0),
        frame(0x89, &[0; 126], mask, 0),
        frame(0xC1, b"reserved bit", mask, 0),
        frame(0x83, b"reserved opcode", mask, 0),
        frame(0x8B, b"reserved control", mask, 0),
        vec![0x81, 1, b'x'],
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_tungstenite_reads_is_what_is_decoded(
        frames in vec(fair(), 0..6),
        last in last(),
        pieces in vec(1_usize..50, 1..10),
    ) {
        let bytes = [frames.concat(), last].concat();
        let expected = theirs(&bytes);
        prop_assert_eq!(&ours(&bytes, &[bytes.len()]), &expected, "whole");
        prop_assert_eq!(&ours(&bytes, &pieces), &expected, "in pieces");
    }

    #[test]
    fn noise_is_the_same_noise_however_it_is_cut(
        noise in vec(any::<u8>(), 0..400),
        frames in vec(fair(), 0..3),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        pieces in vec(1_usize..20, 1..10),
    ) {
        let mut bytes = [frames.concat(), noise].concat();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        prop_assert_eq!(ours(&bytes, &pieces), ours(&bytes, &[bytes.len()]));
    }
}
