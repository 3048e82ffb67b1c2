//! The little of RFC 6455 that a load generator needs: masked client frames out, whole server frames in.

/// Opcode of a close frame (RFC 6455 §5.5.1).
pub const CLOSE: u8 = 8;
/// Opcode of a ping (RFC 6455 §5.5.2).
pub const PING: u8 = 9;
const PONG: u8 = 10;
const TEXT: u8 = 1;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const DEFLATED: u8 = 0x40;

/// A frame as a server sends it: unmasked.
pub struct ServerFrame<'a> {
    /// What it is; data frames are everything but [`CLOSE`], [`PING`] and pongs.
    pub opcode: u8,
    /// Whether its content is compressed (RFC 7692 §6).
    pub deflated: bool,
    /// Its content.
    pub payload: &'a [u8],
    /// Bytes that it took altogether.
    pub size: usize,
}

/// Appends a client's text frame.
pub fn text(payload: &[u8], out: &mut Vec<u8>) {
    client(TEXT, payload, out);
}

/// Appends the answer to a ping.
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    client(PONG, payload, out);
}

/// The mask is zero, which is as legal as any other 32 bits (RFC 6455 §5.3) and costs the generator nothing. The
/// server cannot tell and unmasks as usual.
fn client(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(FINAL | opcode);
    match payload.len() {
        length @ 0..126 => out.push(MASKED | length as u8),
        length @ 126..65_536 => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The first whole server frame in `bytes`; `None` while it is incomplete.
pub fn server(bytes: &[u8]) -> Option<ServerFrame<'_>> {
    let (header, length) = header(bytes, 0)?;
    let size = header.checked_add(length)?;
    Some(ServerFrame {
        opcode: bytes[0] & 15,
        deflated: bytes[0] & DEFLATED != 0,
        payload: bytes.get(header..size)?,
        size,
    })
}

/// Header size and payload length of the frame that `bytes` begin with; `mask` is what the mask takes.
fn header(bytes: &[u8], mask: usize) -> Option<(usize, usize)> {
    Some(match bytes.get(1)? & 127 {
        126 => (4 + mask, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10 + mask, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2 + mask, usize::from(length)),
    })
}

/// Rewrites every whole, zero-masked client frame in `bytes` as a server frame and says how many bytes were used.
pub fn relay(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    while let Some((header, length)) = header(&bytes[used..], 4)
        && let Some(payload) = bytes[used..].get(header..header + length)
    {
        out.push(bytes[used]);
        // Without the mask bit, the length is written as it came.
        out.push(bytes[used + 1] & 127);
        out.extend_from_slice(&bytes[used + 2..used + header - 4]);
        out.extend_from_slice(payload);
        used += header + length;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relayed_frame_is_the_client_frame_without_its_mask() {
        for size in [0, 1, 125, 126, 16_384, 65_535, 65_536] {
            let payload = vec![b'x'; size];
            let (mut sent, mut relayed) = (Vec::new(), Vec::new());
            text(&payload, &mut sent);
            assert_eq!(relay(&sent, &mut relayed), sent.len());
            let frame = server(&relayed).expect("a whole frame");
            assert_eq!((frame.opcode, frame.payload, frame.size), (TEXT, &payload[..], sent.len() - 4));
        }
    }

    #[test]
    fn an_incomplete_frame_is_left_alone() {
        let mut sent = Vec::new();
        text(&[b'x'; 300], &mut sent);
        for cut in 0..sent.len() {
            let mut relayed = Vec::new();
            assert_eq!(relay(&sent[..cut], &mut relayed), 0);
            assert!(relayed.is_empty());
        }
    }
}
