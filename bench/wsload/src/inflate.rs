//! Compressed messages, without context takeover (RFC 7692).

use std::io;

use flate2::{Decompress, FlushDecompress};

/// What every message lacks at its end (RFC 7692 §7.2.2).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const STEP: usize = 64 << 10;

/// One inflater for all subscribers.
pub(crate) struct Inflater {
    decompress: Decompress,
    message: Vec<u8>,
    text: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { decompress: Decompress::new(false), message: Vec::new(), text: Vec::new() }
    }
}

impl Inflater {
    /// The message's text.
    pub(crate) fn text(&mut self, message: &[u8]) -> io::Result<&[u8]> {
        self.message.clear();
        self.message.extend_from_slice(message);
        self.message.extend_from_slice(&TAIL);
        self.text.clear();
        self.decompress.reset(false);
        loop {
            self.text.reserve(STEP);
            let read = self.decompress.total_in() as usize;
            self.decompress.decompress_vec(&self.message[read..], &mut self.text, FlushDecompress::Sync)?;
            // Room that is left over says that nothing more comes.
            if self.text.len() < self.text.capacity() {
                return Ok(&self.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    #[test]
    fn messages_of_any_length_come_out_whole_and_know_nothing_of_each_other() {
        let mut inflater = Inflater::default();
        for length in [0, 1, 4096, 3 * STEP] {
            let text: Vec<u8> = (0..length).map(|n| b'a' + (n * n % 23) as u8).collect();
            let mut message = Vec::with_capacity(length + 1024);
            let mut compress = Compress::new(Compression::fast(), false);
            compress.compress_vec(&text, &mut message, FlushCompress::Sync).expect("room enough");
            message.truncate(message.len() - TAIL.len());
            assert_eq!(inflater.text(&message).expect("a compressed message"), text);
        }
    }
}
