//! Frames from clients: unmasking, reassembly with a cap, UTF-8, close rules.
//!
//! [`FrameHeader::parse`] reads the header; what it leaves to its caller is checked here: that the mask is present
//! (RFC 6455 §5.1), that control frames are short and whole (§5.5), reserved bits (§5.2), lengths, fragmentation (§5.4).

use std::io::Cursor;
use std::ops::ControlFlow;

use realtime_protocol::CloseCode;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode as WireCode, Control, Data, OpCode};

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message, bytes, over all its fragments.
    pub max_message: usize,
    /// Whether compressed messages were agreed on.
    pub deflate: bool,
}

/// What a peer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole text message, compressed.
    Deflated(&'a [u8]),
    /// A ping; answer with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame; nothing follows it. Whether it carried a code.
    Close(bool),
}

/// Why a peer is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A rule of RFC 6455, in words for the log.
    Protocol(&'static str),
    /// A message longer than [`Limits::max_message`].
    TooBig,
    /// Text that is not UTF-8.
    Utf8,
    /// A binary message.
    Binary,
}

impl Violation {
    /// The code that the peer is closed with.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => CloseCode::ProtocolError,
            Self::TooBig => CloseCode::TooBig,
            Self::Utf8 => CloseCode::InvalidUtf8,
            Self::Binary => CloseCode::Unsupported,
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Protocol(what) => f.write_str(what),
            Self::TooBig => f.write_str("message too big"),
            Self::Utf8 => f.write_str("text that is not UTF-8"),
            Self::Binary => f.write_str("a binary message"),
        }
    }
}

/// One peer's unfinished input; nothing while there is none.
#[derive(Debug, Default)]
pub struct Decoder {
    unfinished: Option<Box<Unfinished>>,
}

#[derive(Debug, Default)]
struct Unfinished {
    /// The bytes of a frame that is not whole yet.
    frame: Vec<u8>,
    /// The payloads of the fragments so far.
    message: Vec<u8>,
    /// Whether the message is compressed, while a fragmented one is open.
    open: Option<bool>,
    /// When it was begun, once somebody has told the time.
    since: Option<u32>,
}

impl Decoder {
    /// Since when a frame or message is begun and not finished, if one is. To be called after each
    /// [`decode`](Self::decode) with the time: what that call began counts from then.
    pub fn unfinished_since(&mut self, now: u32) -> Option<u32> {
        self.unfinished.as_mut().map(|unfinished| *unfinished.since.get_or_insert(now))
    }

    /// Takes what arrived. `input` is the reader's scratch buffer and is unmasked in place; `on_event` may stop the
    /// decoding, and what follows is then dropped.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        limits: Limits,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        let mut rest = input;
        while !rest.is_empty() {
            let fragments = self.fragments_len();
            let flow = if let Some(held) = self.unfinished.as_ref().filter(|held| !held.frame.is_empty()) {
                // The rest of a frame whose beginning came earlier: copy no more than that frame.
                let wanted = missing(&held.frame, fragments, limits)?;
                let taken = wanted.min(rest.len());
                let (now, later) = std::mem::take(&mut rest).split_at_mut(taken);
                rest = later;
                let mut frame = self.take_frame();
                frame.extend_from_slice(now);
                self.whole_frame_or_keep(frame, limits, on_event)?
            } else {
                let missing = missing(rest, fragments, limits)?;
                if missing > 0 {
                    self.unfinished.get_or_insert_default().frame.extend_from_slice(rest);
                    return Ok(ControlFlow::Continue(()));
                }
                let (header, at, length) = parse(rest)?.ok_or(Violation::Protocol("unreadable header"))?;
                let (frame, later) = std::mem::take(&mut rest).split_at_mut(at + length);
                rest = later;
                self.frame(&header, &mut frame[at..], limits, on_event)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Bytes that it occupies.
    pub fn held(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |held| held.frame.capacity() + held.message.capacity())
    }

    fn fragments_len(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |held| held.message.len())
    }

    fn take_frame(&mut self) -> Vec<u8> {
        self.unfinished.as_mut().map(|held| std::mem::take(&mut held.frame)).unwrap_or_default()
    }

    fn whole_frame_or_keep(
        &mut self,
        mut frame: Vec<u8>,
        limits: Limits,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        if missing(&frame, self.fragments_len(), limits)? > 0 {
            self.unfinished.get_or_insert_default().frame = frame;
            return Ok(ControlFlow::Continue(()));
        }
        let (header, at, _) = parse(&frame)?.ok_or(Violation::Protocol("unreadable header"))?;
        self.frame(&header, &mut frame[at..], limits, on_event)
    }

    /// One whole frame.
    fn frame(
        &mut self,
        header: &FrameHeader,
        payload: &mut [u8],
        limits: Limits,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        if let Some(mask) = header.mask {
            unmask(payload, mask);
        }
        match header.opcode {
            OpCode::Control(control) => {
                self.free_if_finished();
                on_control(control, payload, on_event)
            }
            OpCode::Data(kind) => self.data(kind, header, payload, limits, on_event),
        }
    }

    fn data(
        &mut self,
        kind: Data,
        header: &FrameHeader,
        payload: &[u8],
        limits: Limits,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        let open = self.unfinished.as_ref().and_then(|held| held.open);
        match (kind, open) {
            (Data::Continue, None) => return Err(Violation::Protocol("a continuation of nothing")),
            (Data::Text | Data::Binary, Some(_)) => {
                return Err(Violation::Protocol("a new message inside a fragmented one"));
            }
            (Data::Binary, None) => return Err(Violation::Binary),
            (Data::Continue, Some(_)) if header.rsv1 => return Err(Violation::Protocol("a reserved bit")),
            (Data::Reserved(_), _) => return Err(Violation::Protocol("a reserved opcode")),
            (Data::Text, None) if header.is_final => {
                self.unfinished = None;
                return text(payload, header.rsv1, on_event);
            }
            (Data::Text, None) | (Data::Continue, Some(_)) => {}
        }
        let held = self.unfinished.get_or_insert_default();
        let is_deflated = *held.open.get_or_insert(header.rsv1);
        if held.message.len() + payload.len() > limits.max_message {
            return Err(Violation::TooBig);
        }
        held.message.extend_from_slice(payload);
        if !header.is_final {
            return Ok(ControlFlow::Continue(()));
        }
        let message = std::mem::take(&mut held.message);
        self.unfinished = None;
        text(&message, is_deflated, on_event)
    }

    /// A control frame may come between fragments; only then does anything have to be kept.
    fn free_if_finished(&mut self) {
        if self.unfinished.as_ref().is_some_and(|held| held.open.is_none() && held.frame.is_empty()) {
            self.unfinished = None;
        }
    }
}

fn text(
    payload: &[u8],
    is_deflated: bool,
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    if is_deflated {
        return Ok(on_event(Event::Deflated(payload)));
    }
    std::str::from_utf8(payload).map(|text| on_event(Event::Text(text))).map_err(|_| Violation::Utf8)
}

fn on_control(
    control: Control,
    payload: &[u8],
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    match control {
        Control::Ping => Ok(on_event(Event::Ping(payload))),
        Control::Pong => Ok(on_event(Event::Pong)),
        Control::Close => {
            let has_code = check_close(payload)?;
            let _ = on_event(Event::Close(has_code));
            Ok(ControlFlow::Break(()))
        }
        Control::Reserved(_) => Err(Violation::Protocol("a reserved opcode")),
    }
}

/// RFC 6455 §5.5.1 and §7.4: empty, or a code that may be sent and a reason in UTF-8.
fn check_close(payload: &[u8]) -> Result<bool, Violation> {
    match payload {
        [] => Ok(false),
        [_] => Err(Violation::Protocol("a close frame of one byte")),
        [high, low, reason @ ..] => {
            if !WireCode::from(u16::from_be_bytes([*high, *low])).is_allowed() {
                return Err(Violation::Protocol("a close code that must not be sent"));
            }
            std::str::from_utf8(reason).map(|_| true).map_err(|_| Violation::Utf8)
        }
    }
}

/// How many more bytes the first frame in `bytes` needs at least; 0 when it is whole. Refuses what its header shows to
/// be wrong before any of its payload is kept.
fn missing(bytes: &[u8], fragments: usize, limits: Limits) -> Result<usize, Violation> {
    let Some((header, at, length)) = parse(bytes)? else { return Ok(1) };
    let may_be_deflated = limits.deflate && matches!(header.opcode, OpCode::Data(_));
    if header.rsv1 && !may_be_deflated || header.rsv2 || header.rsv3 {
        return Err(Violation::Protocol("a reserved bit"));
    }
    if header.mask.is_none() {
        return Err(Violation::Protocol("a frame without a mask"));
    }
    if matches!(header.opcode, OpCode::Control(_)) {
        if length > 125 || !header.is_final {
            return Err(Violation::Protocol("a control frame that is long or fragmented"));
        }
    } else if length.saturating_add(fragments) > limits.max_message {
        return Err(Violation::TooBig);
    }
    Ok((at + length).saturating_sub(bytes.len()))
}

/// The first header in `bytes`: itself, its length and its payload's length; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize, usize)>, Violation> {
    let mut cursor = Cursor::new(bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(None) => Ok(None),
        Ok(Some((header, length))) => {
            // The top bit must be zero (RFC 6455 §5.2); what does not fit in memory is too big in any case.
            let length = usize::try_from(length).unwrap_or(usize::MAX / 2).min(usize::MAX / 2);
            let at = usize::try_from(cursor.position()).unwrap_or(0);
            Ok(Some((header, at, length)))
        }
        Err(_) => Err(Violation::Protocol("a reserved opcode")),
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for chunk in payload.chunks_mut(4) {
        for (byte, mask) in chunk.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_message: 1000, deflate: false };

    /// A client frame; `first` is FIN, reserved bits and opcode.
    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match u16::try_from(payload.len()) {
            Ok(short @ 0..126) => out.push(0x80 | short as u8),
            Ok(medium) => {
                out.push(0x80 | 126);
                out.extend(medium.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 127);
                out.extend((payload.len() as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        out.extend(mask);
        out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        out
    }

    /// Feeds `bytes` in pieces and tells what came out.
    fn run(bytes: &[u8], piece: usize) -> Result<Vec<String>, Violation> {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(piece) {
            let flow = decoder.decode(&mut piece.to_vec(), LIMITS, &mut |event| {
                seen.push(format!("{event:?}"));
                ControlFlow::Continue(())
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(seen)
    }

    #[test]
    fn messages_arrive_whole_however_the_bytes_are_cut() {
        let mut bytes = client(0x81, b"hello");
        bytes.extend(client(0x01, b"frag"));
        bytes.extend(client(0x89, b"p"));
        bytes.extend(client(0x80, &b"ment".repeat(50)));
        bytes.extend(client(0x88, &[3, 232]));
        let whole = run(&bytes, bytes.len()).unwrap();
        assert_eq!(whole[0], "Text(\"hello\")");
        assert_eq!(whole[1], "Ping([112])");
        assert!(whole[2].starts_with("Text(\"fragmentment"));
        assert_eq!(whole[3], "Close(true)");
        for piece in 1..40 {
            assert_eq!(run(&bytes, piece).unwrap(), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn nothing_is_kept_once_a_message_is_whole() {
        let mut decoder = Decoder::default();
        for byte in client(0x81, b"hello") {
            let _ = decoder.decode(&mut [byte], LIMITS, &mut |_| ControlFlow::Continue(())).unwrap();
        }
        assert_eq!(decoder.unfinished_since(0), None);
    }

    #[test]
    fn what_the_rfc_forbids_is_a_protocol_error() {
        let unmasked = vec![0x81, 1, b'x'];
        let one_byte_close = client(0x88, &[3]);
        let long_ping = client(0x89, &[0; 126]);
        for (what, bytes) in [
            ("unmasked", unmasked),
            ("reserved bit", client(0xC1, b"x")),
            ("reserved opcode", client(0x83, b"x")),
            ("reserved control", client(0x8B, b"x")),
            ("fragmented ping", client(0x09, b"x")),
            ("long ping", long_ping),
            ("continuation of nothing", client(0x80, b"x")),
            ("message inside a message", [client(0x01, b"a"), client(0x81, b"b")].concat()),
            ("close of one byte", one_byte_close),
            ("close code 1005", client(0x88, &1005u16.to_be_bytes())),
            ("close code 999", client(0x88, &999u16.to_be_bytes())),
        ] {
            for piece in [1, 3, 1000] {
                assert!(matches!(run(&bytes, piece), Err(Violation::Protocol(_))), "{what} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn too_big_is_refused_by_the_header_alone() {
        let header = [0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(run(&header, 100), Err(Violation::TooBig));
        assert_eq!(run(&client(0x81, &[b'x'; 1001])[..8], 100), Err(Violation::TooBig));
        assert!(run(&client(0x81, &[b'x'; 1000]), 100).is_ok());
        let fragments = [client(0x01, &[b'x'; 600]), client(0x80, &[b'x'; 401])].concat();
        assert_eq!(run(&fragments, 2000), Err(Violation::TooBig));
    }

    #[test]
    fn binary_and_broken_utf8_have_codes_of_their_own() {
        assert_eq!(run(&client(0x82, b"x"), 100), Err(Violation::Binary));
        assert_eq!(run(&client(0x81, &[0xff]), 100), Err(Violation::Utf8));
        assert_eq!(run(&client(0x88, &[3, 232, 0xff]), 100), Err(Violation::Utf8));
    }
}
