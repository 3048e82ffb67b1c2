//! WebSocket frames by hand (RFC 6455 §5.2).

pub const FIN: u8 = 0x80;
pub const CONTINUE: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;

/// A client's frame. `first` is FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0xA1, 2, 0x7F, 0xFF];
    let mut out = header(first, payload.len() as u64, true);
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A whole text message.
pub fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text.as_bytes())
}

/// A frame without a mask, as only servers may send it.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64, false);
    out.extend(payload);
    out
}

/// A server's frames, each shorter than 64 KiB: first byte and payload.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (length, rest) => (usize::from(*length), rest),
        };
        let (payload, rest) = rest.split_at(length);
        frames.push((*first, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// A header up to the length, in its shortest form.
pub fn header(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![first];
    match length {
        0..=125 => out.push(bit | length as u8),
        126..=0xFFFF => {
            out.push(bit | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend(length.to_be_bytes());
        }
    }
    out
}
