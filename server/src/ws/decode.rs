//! Frames from clients: unmasking, reassembly with a cap, UTF-8 as it comes, close rules.
//!
//! [`FrameHeader::parse`] reads the header; what it leaves to its caller is checked here: that the mask is present
//! (RFC 6455 §5.1), that control frames are short and whole (§5.5), reserved bits (§5.2), lengths, fragmentation (§5.4).

use std::io::Cursor;
use std::ops::ControlFlow;

use realtime_protocol::CloseCode;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode as WireCode, Control, Data, OpCode};

use super::utf8::Utf8;

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message, bytes, over all its fragments.
    pub max_message: usize,
    /// Whether compressed messages were agreed on.
    pub deflate: bool,
    /// Whether messages may be binary.
    pub binary: bool,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// What a peer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A whole message, compressed; what it inflates to is not checked.
    Deflated(Kind, &'a [u8]),
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
    /// What the message is, while a fragmented one is open.
    open: Option<Form>,
    /// How much of the text that is not whole yet is UTF-8, up to `checked` bytes of the payload in `frame`.
    utf8: Utf8,
    checked: usize,
    /// When it was begun, once somebody has told the time.
    since: Option<u32>,
}

/// What the first frame of a message says of all of it.
#[derive(Clone, Copy, Debug)]
struct Form {
    kind: Kind,
    is_deflated: bool,
}

impl Form {
    fn is_plain_text(self) -> bool {
        self.kind == Kind::Text && !self.is_deflated
    }

    /// Hands over a whole message.
    fn deliver(
        self,
        payload: &[u8],
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        Ok(on_event(match self.kind {
            kind if self.is_deflated => Event::Deflated(kind, payload),
            Kind::Binary => Event::Binary(payload),
            Kind::Text => Event::Text(std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?),
        }))
    }
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
                if taken == wanted {
                    // What is whole grows no more.
                    frame.reserve_exact(taken);
                }
                frame.extend_from_slice(now);
                self.whole_frame_or_keep(frame, limits, on_event)?
            } else {
                let missing = missing(rest, fragments, limits)?;
                if missing > 0 {
                    let held = self.unfinished.get_or_insert_default();
                    held.frame.extend_from_slice(rest);
                    held.check_begun()?;
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
            let held = self.unfinished.get_or_insert_default();
            held.frame = frame;
            held.check_begun()?;
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
        let form = match (kind, open) {
            (Data::Continue, None) => return Err(Violation::Protocol("a continuation of nothing")),
            (Data::Text | Data::Binary, Some(_)) => {
                return Err(Violation::Protocol("a new message inside a fragmented one"));
            }
            (Data::Binary, None) if !limits.binary => return Err(Violation::Binary),
            (Data::Reserved(_), _) => return Err(Violation::Protocol("a reserved opcode")),
            (Data::Continue, Some(form)) => form,
            (Data::Text, None) => Form { kind: Kind::Text, is_deflated: header.rsv1 },
            (Data::Binary, None) => Form { kind: Kind::Binary, is_deflated: header.rsv1 },
        };
        if header.is_final && open.is_none() {
            self.unfinished = None;
            return form.deliver(payload, on_event);
        }
        let held = self.unfinished.get_or_insert_default();
        held.open = Some(form);
        if held.message.len() + payload.len() > limits.max_message {
            return Err(Violation::TooBig);
        }
        if form.is_plain_text() {
            let checked = std::mem::take(&mut held.checked);
            held.utf8.check(&payload[checked..])?;
        }
        held.message.extend_from_slice(payload);
        if !header.is_final {
            return Ok(ControlFlow::Continue(()));
        }
        let message = std::mem::take(&mut held.message);
        self.unfinished = None;
        form.deliver(&message, on_event)
    }

    /// A control frame may come between fragments; only then does anything have to be kept.
    fn free_if_finished(&mut self) {
        if self.unfinished.as_ref().is_some_and(|held| held.open.is_none() && held.frame.is_empty()) {
            self.unfinished = None;
        }
    }
}

impl Unfinished {
    /// Checks the text in a frame that is begun, so that what is wrong already is not waited for.
    fn check_begun(&mut self) -> Result<(), Violation> {
        let Some((header, at, _)) = parse(&self.frame)? else { return Ok(()) };
        let is_text = match (header.opcode, self.open) {
            (OpCode::Data(Data::Text), None) => !header.rsv1,
            (OpCode::Data(Data::Continue), Some(form)) => form.is_plain_text(),
            _ => false,
        };
        let Some(mask) = header.mask.filter(|_| is_text) else { return Ok(()) };
        let mut piece = [0; 256];
        for masked in self.frame[at..][self.checked..].chunks(piece.len()) {
            let piece = &mut piece[..masked.len()];
            piece.copy_from_slice(masked);
            // The mask goes on where the last piece ended.
            let mut mask = mask;
            mask.rotate_left(self.checked % 4);
            unmask(piece, mask);
            self.utf8.check(piece)?;
            self.checked += piece.len();
        }
        Ok(())
    }
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
    // The first frame of a message says it for all of it (RFC 7692 §6.1).
    let may_be_deflated = limits.deflate && matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
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
mod tests;
