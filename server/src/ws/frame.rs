//! Frames from the server. They carry no mask (RFC 6455 §5.1), so all receivers of a message can share one.

use bytes::Bytes;
use realtime_protocol::CloseCode;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::decode::Kind;

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    frame_of(&FrameHeader { opcode, ..FrameHeader::default() }, payload)
}

fn frame_of(header: &FrameHeader, payload: &[u8]) -> Bytes {
    let length = payload.len() as u64;
    let mut out = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to a vector cannot fail, and formatting a header has no other error.
    let _ = header.format(length, &mut out);
    out.extend_from_slice(payload);
    Bytes::from(out)
}

/// A complete text message.
pub fn text_frame(text: &str) -> Bytes {
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

/// A complete message.
pub fn message_frame(kind: Kind, payload: &[u8]) -> Bytes {
    frame(opcode(kind), payload)
}

/// A complete message that is compressed (RFC 7692 §6).
pub(super) fn deflated_frame(kind: Kind, payload: &[u8]) -> Bytes {
    frame_of(&FrameHeader { opcode: opcode(kind), rsv1: true, ..FrameHeader::default() }, payload)
}

fn opcode(kind: Kind) -> OpCode {
    OpCode::Data(match kind {
        Kind::Text => Data::Text,
        Kind::Binary => Data::Binary,
    })
}

/// A ping without payload.
pub fn ping_frame() -> Bytes {
    frame(OpCode::Control(Control::Ping), &[])
}

/// The answer to a ping; `payload` is the ping's and at most 125 bytes.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame; `None` answers a close frame without a code (RFC 6455 §5.5.1).
pub fn close_frame(code: Option<CloseCode>) -> Bytes {
    match code {
        Some(code) => close_frame_because(code, code.reason()),
        None => frame(OpCode::Control(Control::Close), &[]),
    }
}

/// A close frame with a reason of its own, cut off at what a control frame holds (RFC 6455 §5.5).
pub fn close_frame_because(code: CloseCode, reason: &str) -> Bytes {
    const MOST: usize = 123;
    let mut payload = code.number().to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(MOST)]);
    frame(OpCode::Control(Control::Close), &payload)
}
