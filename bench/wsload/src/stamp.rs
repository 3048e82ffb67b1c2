//! Publications carry the time at which they were sent, so that every delivery tells its own latency.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Instant;

use hdrhistogram::Histogram;
use memchr::memmem::Finder;

use crate::LoadError;
use crate::inflate::Inflater;

/// Bytes of the stamp, `T=<19 digits>;`: the least payload.
pub const STAMP: usize = 22;
const DIGITS: usize = 19;

/// Nanoseconds since this process first asked.
pub fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// A payload of `size` bytes (never less than [`STAMP`]), sent now.
pub fn payload(size: usize, out: &mut String) {
    out.clear();
    // Writing to a String cannot fail.
    let _ = write!(out, "T={:0DIGITS$};", now());
    out.extend(std::iter::repeat_n('x', size.saturating_sub(STAMP)));
}

/// Counts deliveries and their latencies, whatever protocol wraps the stamps.
pub struct Deliveries {
    finder: Finder<'static>,
    inflater: Inflater,
    /// Stamps seen.
    pub count: u64,
    /// Bytes that came with them, frames and all.
    pub bytes: u64,
    /// Nanoseconds from sending to delivery.
    pub latency: Histogram<u64>,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { finder: Finder::new(b"T="), inflater: Inflater::default(), count: 0, bytes: 0, latency: latencies() }
    }
}

impl Deliveries {
    /// Counts every stamp in what a subscriber received.
    pub fn see(&mut self, bytes: &[u8]) {
        for at in self.finder.find_iter(bytes) {
            if let Some(sent) = parse(&bytes[at + 2..]) {
                self.count += 1;
                self.latency.saturating_record(now().saturating_sub(sent).max(1));
            }
        }
    }

    /// The same for a compressed message, which every subscriber has to inflate.
    pub(crate) fn see_deflated(&mut self, message: &[u8]) -> Result<(), LoadError> {
        let mut inflater = std::mem::take(&mut self.inflater);
        let text = inflater.text(message).map_err(LoadError::io("inflate a message"))?;
        self.see(text);
        self.inflater = inflater;
        Ok(())
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes = 0;
        self.latency.reset();
    }
}

/// An empty histogram for nanoseconds up to a minute.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds and precision are valid constants")
}

fn parse(digits: &[u8]) -> Option<u64> {
    let (digits, rest) = digits.split_at_checked(DIGITS)?;
    if rest.first() != Some(&b';') {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stamp_in_a_joined_buffer_counts() {
        let mut payload_text = String::new();
        payload(128, &mut payload_text);
        assert_eq!(payload_text.len(), 128);
        let mut deliveries = Deliveries::default();
        deliveries.see(format!("{{\"data\":\"{payload_text}\"}}..{payload_text}").as_bytes());
        assert_eq!((deliveries.count, deliveries.latency.len()), (2, 2));
    }

    #[test]
    fn what_only_looks_like_a_stamp_does_not_count() {
        let mut deliveries = Deliveries::default();
        deliveries.see(b"T=12;T=aaaaaaaaaaaaaaaaaaa;T=0000000000000000001");
        assert_eq!(deliveries.count, 0);
    }
}
