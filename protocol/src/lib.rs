//! The native protocol, version 1: names, commands, replies, pushes and codes.
//!
//! Everything here is pure: text in, values out, and values in, text out. The server, the publisher core and the
//! command line share it, so that a name or a code exists once.
#![forbid(unsafe_code)]

mod client;
mod code;
mod json;
mod key;
mod name;
mod position;
mod publisher;
pub mod push;
pub mod token;

pub use client::{ClientCommand, ClientRequest, Connect, Register, Subscribe, Token};
pub use code::{CloseCode, ErrorCode};
pub use json::{CommandError, MAX_DATA_DEPTH, MAX_ENVELOPE_DEPTH, RequestId};
pub use key::{IdempotencyKey, KeyError};
pub use name::{ChannelName, ConnectionId, EventName, MAX_NAME, MAX_USER, NameError, UserId};
pub use position::{MAX_OFFSET, Mode, Position, Since};
pub use publisher::{
    HistoryQuery, ListQuery, PublishCommand, PublisherCommand, PublisherFrame, PublisherRequest, Target, Whom,
};

/// The protocol version that `welcome` announces.
pub const VERSION: u32 = 1;
/// The WebSocket subprotocol of `/publisher`; recommended, its absence means version 1.
pub const PUBLISHER_SUBPROTOCOL: &str = "realtime.publisher.v1";
/// What every publisher key begins with; it tells a key from a token in `Authorization: Bearer`.
pub const PUBLISHER_KEY_PREFIX: &str = "rtk_";
