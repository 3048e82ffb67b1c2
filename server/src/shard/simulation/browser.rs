//! A browser that follows offsets as a client must, and holds what it gets against the oracle.

use std::collections::VecDeque;

use realtime_protocol::{ConnectionId, Mode, Position, Since};
use serde_json::Value;

use super::From;
use super::server::Asked;
use super::truth::{CHANNELS, Truth};
use crate::hub::Standing;

/// A `subscribed` that is on its way.
#[derive(Clone, Debug)]
struct Expected {
    offset: u64,
    recovered: Option<bool>,
    mode: Mode,
    /// It has left the channel since.
    is_stale: bool,
}

#[derive(Clone, Debug, Default)]
struct Following {
    epoch: String,
    position: u64,
    is_in: bool,
    mode: Mode,
    expected: VecDeque<Expected>,
}

#[derive(Clone, Default)]
pub struct Browser {
    channels: [Following; CHANNELS.len()],
    /// Read, and not yet a whole frame.
    read: Vec<u8>,
    /// The connections that it had.
    pub previous: Vec<ConnectionId>,
}

impl Browser {
    pub fn connected(&mut self) {
        self.read.clear();
    }

    pub fn lost(&mut self, id: ConnectionId) {
        self.previous.push(id);
        self.read.clear();
        for channel in &mut self.channels {
            channel.is_in = false;
            channel.expected.clear();
        }
    }

    pub fn subscribe(&self, channel: usize, from: From, _truth: &Truth) -> Asked {
        let following = &self.channels[channel];
        let position = Since::At(Position { epoch: (&*following.epoch).into(), offset: following.position });
        let since = match from {
            From::Now => None,
            From::Earliest => Some(Since::Earliest),
            From::Position | From::Latest if following.epoch.is_empty() => None,
            From::Position | From::Latest => Some(position),
        };
        let mode = if matches!(from, From::Latest) { Mode::Latest } else { Mode::Stream };
        Asked { since, mode }
    }

    pub fn asked(&mut self, channel: usize, asked: &Asked, got: &Standing) {
        let recovered = got.start.recovered.map(|outcome| outcome.is_ok());
        let expected = Expected { offset: got.start.offset, recovered, mode: asked.mode, is_stale: false };
        self.channels[channel].expected.push_back(expected);
    }

    pub fn unsubscribe(&mut self, channel: usize) {
        let following = &mut self.channels[channel];
        following.is_in = false;
        following.expected.iter_mut().for_each(|expected| expected.is_stale = true);
    }

    /// Whether it is in a channel, or will be.
    pub fn uses(&self, channel: usize) -> bool {
        let following = &self.channels[channel];
        following.is_in || following.expected.iter().any(|expected| !expected.is_stale)
    }

    pub fn check_top(&self, channel: usize, top: u64) {
        let Following { position, is_in, .. } = &self.channels[channel];
        assert!(!is_in || *position == top, "it rests at {position} of {top} in {}", CHANNELS[channel]);
    }

    /// Deals with bytes as they come.
    pub fn take(&mut self, bytes: &[u8], own: Option<ConnectionId>, truth: &Truth) {
        self.read.extend_from_slice(bytes);
        while let Some((head, length)) = header(&self.read) {
            if self.read.len() < head + length {
                return;
            }
            let frame: Vec<u8> = self.read.drain(..head + length).collect();
            let message: Value = serde_json::from_slice(&frame[head..]).expect("a whole frame holds whole JSON");
            self.message(&message, own, truth);
        }
    }

    fn message(&mut self, message: &Value, own: Option<ConnectionId>, truth: &Truth) {
        let number = |field: &str| message[field].as_u64();
        let name = message["channel"].as_str().unwrap();
        let index = CHANNELS.iter().position(|channel| *channel == name).unwrap();
        let (following, truth) = (&mut self.channels[index], &truth.channels[index]);
        let offset = number("offset").unwrap();
        if message["type"] == "subscribed" {
            let expected = following.expected.pop_front().expect("it has asked");
            assert_eq!((offset, message["recovered"].as_bool()), (expected.offset, expected.recovered), "{message}");
            if !expected.is_stale {
                (following.position, following.is_in, following.mode) = (offset, true, expected.mode);
                message["epoch"].as_str().unwrap().clone_into(&mut following.epoch);
            }
            return;
        }
        if !following.is_in {
            return;
        }
        let position = following.position;
        assert!(offset > position, "at {position}, and it is sent {message}");
        let excludes = |offset: &u64| {
            let excluded = truth.published.get(offset).and_then(|published| published.exclude);
            excluded.is_some_and(|id| Some(id) == own || self.previous.contains(&id))
        };
        let skipped = truth.published.range(position + 1..=offset).map(|(offset, _)| offset);
        match message["type"].as_str().unwrap() {
            "broadcast_update" => {
                let published = truth.published.get(&offset).expect("it was published");
                assert_eq!(number("prev").unwrap_or(offset - 1), position, "an unannounced jump to {message}");
                assert_eq!(message["data"], serde_json::from_str::<Value>(&published.data).unwrap());
                assert!(own.is_none() || published.exclude != own, "it was excluded from {message}");
            }
            "position" => {
                let is_latest = following.mode == Mode::Latest || name == "newest";
                assert!(is_latest || skipped.clone().all(excludes), "at {position}, and it is told {message}");
            }
            "missed" => {
                assert_eq!((number("from"), number("to")), (Some(position + 1), Some(offset)), "{message}");
                match message["reason"].as_str().unwrap() {
                    "trimmed" => {
                        let is_gone = |offset: &u64| !truth.is_kept(*offset);
                        assert!(skipped.clone().all(is_gone), "it is kept: {message}");
                    }
                    reason => assert_eq!((reason, name), ("overflow", "oldest"), "{message}"),
                }
            }
            other => panic!("unexpected: {other}"),
        }
        following.position = offset;
    }
}

/// Lengths of a frame's header and of its payload, once they are read (RFC 6455 §5.2).
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let &[first, length, ref rest @ ..] = bytes else { return None };
    assert_eq!(first, 0x81, "a whole text message");
    match length {
        0..=125 => Some((2, usize::from(length))),
        126 => rest.first_chunk().map(|length| (4, usize::from(u16::from_be_bytes(*length)))),
        _ => panic!("nothing is so long here"),
    }
}
