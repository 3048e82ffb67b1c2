//! permessage-deflate (RFC 7692) without context takeover in either direction, so that one compressed message serves
//! all receivers and no connection keeps a window.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::decode::{Kind, Violation};
use super::frame::deflated_frame;

/// What every message ends with before it is sent, and what its receiver puts back (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The extension's name.
pub const NAME: &str = "permessage-deflate";

/// The answer to the first offer in a `Sec-WebSocket-Extensions` value that can be accepted.
pub fn negotiate<'a>(offers: impl Iterator<Item = &'a str>) -> Option<String> {
    offers.flat_map(|value| value.split(',')).find_map(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        let mut seen: Vec<&str> = Vec::new();
        for parameter in parts {
            let (name, value) = parameter
                .split_once('=')
                .map_or((parameter, None), |(name, value)| (name.trim(), Some(value.trim().trim_matches('"'))));
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(bits)) if is_window(bits) => {}
                // The compressor's window is the largest; an offer that wants a smaller one is declined.
                ("server_max_window_bits", Some("15")) => answer.push_str("; server_max_window_bits=15"),
                _ => return None,
            }
        }
        Some(answer)
    })
}

fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

/// A shard's compressor (302 KB), made when it is first needed and reset between messages, and its inflater.
pub struct Deflate {
    level: u32,
    compress: Option<Box<Compress>>,
    decompress: Option<Box<Decompress>>,
}

impl Deflate {
    /// For messages compressed at this level.
    pub fn new(level: u32) -> Self {
        Self { level, compress: None, decompress: None }
    }

    /// A whole message, compressed; `None` when that saves nothing.
    pub fn frame(&mut self, kind: Kind, message: &[u8]) -> Option<Bytes> {
        let level = self.level;
        let compress = self.compress.get_or_insert_with(|| Box::new(Compress::new(Compression::new(level), false)));
        compress.reset();
        let mut out = Vec::with_capacity(message.len());
        // The vector's capacity is the bound: what does not fit is not worth it.
        let status = compress.compress_vec(message, &mut out, FlushCompress::Sync).ok()?;
        let is_whole = compress.total_in() == message.len() as u64 && out.ends_with(&TAIL);
        if status != Status::Ok || !is_whole {
            return None;
        }
        out.truncate(out.len() - TAIL.len());
        (out.len() < message.len()).then(|| deflated_frame(kind, &out))
    }

    /// Inflates a message of at most `max` bytes; the bound holds while inflating.
    pub fn inflate(&mut self, message: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
        const STEP: usize = 4096;
        let decompress = self.decompress.get_or_insert_with(|| Box::new(Decompress::new(false)));
        decompress.reset(false);
        let mut out = Vec::new();
        for part in [message, &TAIL] {
            let before = decompress.total_in();
            loop {
                let read = (decompress.total_in() - before) as usize;
                out.reserve(STEP);
                let len = out.len();
                let status = decompress
                    .decompress_vec(&part[read..], &mut out, FlushDecompress::Sync)
                    .map_err(|_| Violation::Protocol("a compressed message that cannot be inflated"))?;
                if out.len() > max {
                    return Err(Violation::TooBig);
                }
                let has_read_all = (decompress.total_in() - before) as usize == part.len();
                if status == Status::StreamEnd {
                    return Ok(out);
                }
                if has_read_all && out.len() < out.capacity() {
                    break;
                }
                if !has_read_all && out.len() == len && status == Status::BufError {
                    return Err(Violation::Protocol("a compressed message that cannot be inflated"));
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut compress = Compress::new(Compression::fast(), false);
        let mut out = Vec::with_capacity(text.len() + 1024);
        compress.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        assert_eq!(compress.total_in() as usize, text.len());
        out.truncate(out.len() - 4);
        out
    }

    #[test]
    fn messages_survive_compression_and_the_next_one_knows_nothing_of_the_last() {
        let mut deflate = Deflate::new(1);
        for text in ["{\"status\":\"ready\"}".repeat(200), "x".repeat(70_000), "abcdef".repeat(500)] {
            let frame = deflate.frame(Kind::Text, text.as_bytes()).unwrap();
            assert!(frame.len() < text.len() / 4);
            assert_eq!(frame[0], 0x80 | 0x40 | 1);
            let header = if frame[1] < 126 { 2 } else { 4 };
            let mut other = Deflate::new(1);
            assert_eq!(other.inflate(&frame[header..], 100_000).unwrap(), text.as_bytes());
        }
        assert_eq!(deflate.frame(Kind::Text, b"x"), None);
    }

    #[test]
    fn a_bomb_is_cut_off_while_it_inflates() {
        let bomb = compressed(&vec![0; 50 << 20]);
        assert!(bomb.len() < 300_000);
        assert_eq!(Deflate::new(1).inflate(&bomb, 64 << 10), Err(Violation::TooBig));
    }

    #[test]
    fn an_empty_message_and_garbage_are_told_apart() {
        let mut deflate = Deflate::new(1);
        assert_eq!(deflate.inflate(&[0], 100), Ok(Vec::new()));
        assert!(matches!(deflate.inflate(&[0xff; 40], 100), Err(Violation::Protocol(_))));
        assert_eq!(deflate.inflate(&compressed(b"after"), 100).unwrap(), b"after");
    }

    #[test]
    fn offers_are_answered_or_declined() {
        let answer = |offer: &str| negotiate(std::iter::once(offer));
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer("permessage-deflate; client_max_window_bits").as_deref(), Some(plain));
        assert_eq!(answer("x-other, PERMESSAGE-DEFLATE").as_deref(), Some(plain));
        assert_eq!(answer("permessage-deflate; server_max_window_bits=10, permessage-deflate").as_deref(), Some(plain));
        let with_bits = format!("{plain}; server_max_window_bits=15");
        assert_eq!(answer("permessage-deflate; server_max_window_bits=15"), Some(with_bits));
        for declined in [
            "",
            "x",
            "permessage-deflate; unknown",
            "permessage-deflate; client_max_window_bits=99",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ] {
            assert_eq!(answer(declined), None, "{declined:?}");
        }
    }
}
