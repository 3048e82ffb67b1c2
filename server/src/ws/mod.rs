//! WebSocket framing without I/O (RFC 6455): bytes in, events out; messages in, frames out.

mod decode;
mod deflate;
mod frame;

pub use decode::{Decoder, Event, Limits, Violation};
pub use deflate::{Deflate, negotiate};
pub use frame::{close_frame, close_frame_because, ping_frame, pong_frame, text_frame};
