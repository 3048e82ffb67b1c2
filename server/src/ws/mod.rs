//! WebSocket framing without I/O (RFC 6455): bytes in, events out; messages in, frames out.

mod decode;
mod deflate;
mod frame;
mod utf8;

pub use decode::{Decoder, Event, Kind, Limits, Violation};
pub use deflate::{Deflate, negotiate};
pub use frame::{close_frame, close_frame_because, message_frame, ping_frame, pong_frame, text_frame};
