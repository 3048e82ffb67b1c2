//! What `interval` has committed since the last sync.
//!
//! The database keeps commits that are not synced in the memory of the process, where `kill -9` takes them. So they
//! are written here first, without a sync: the kernel keeps that when the process dies. A power loss may keep any part
//! of it, which is why the journal counts only within one run of the machine.

use super::changes::{self, Changes};
use super::database;
use super::environment::Storage;
use super::failure::Failure;

/// Frames of (length u32, checksum u64, changes), each of one group.
pub(super) struct Journal {
    file: Box<dyn Storage>,
    /// The run of the store that it belongs to. A journal that another file was left beside must not be applied to it.
    life: u64,
    length: u64,
}

impl Journal {
    /// Longest journal, bytes; beyond it the database is synced before its time.
    pub(super) const MOST: u64 = 64 << 20;
    const HEAD: usize = 12;

    /// An empty one.
    pub(super) fn new(file: Box<dyn Storage>, life: u64) -> Result<Self, Failure> {
        file.set_len(0)?;
        Ok(Self { file, life, length: 0 })
    }

    /// Adds one group.
    pub(super) fn append(&mut self, changes: &Changes) -> Result<(), Failure> {
        let bytes = changes.as_bytes();
        let mut frame = Vec::with_capacity(Self::HEAD + bytes.len());
        frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        frame.extend_from_slice(&checksum(self.life, bytes).to_le_bytes());
        frame.extend_from_slice(bytes);
        if let Err(error) = self.file.write(self.length, &frame) {
            // Part of the frame may be there.
            self.cut(self.length)?;
            return Err(error.into());
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Its length, bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Forgets what was added after it had this length.
    pub(super) fn cut(&mut self, length: u64) -> Result<(), Failure> {
        self.file.set_len(length).map_err(|error| {
            // Read again, it would publish what publishers were told has failed.
            Failure::Lost(format!("the journal cannot be taken back ({error})"))
        })?;
        self.length = length;
        Ok(())
    }

    /// Hands out every whole group of the run `life`, in order.
    pub(super) fn replay(
        file: &dyn Storage,
        life: u64,
        mut apply: impl FnMut(&Changes) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let length =
            usize::try_from(file.length()?).map_err(|_| Failure::Other("the journal is too long".to_owned()))?;
        let mut bytes = vec![0; length];
        file.read(0, &mut bytes)?;
        let mut rest = &bytes[..];
        while let Some((frame, after)) = split(rest, life) {
            apply(&database::collect(changes::parse(frame)))?;
            rest = after;
        }
        Ok(())
    }

    /// Applies it again to a database that was opened anew.
    pub(super) fn replay_own(&self, apply: impl FnMut(&Changes) -> Result<(), Failure>) -> Result<(), Failure> {
        Self::replay(&*self.file, self.life, apply)
    }
}

fn split(bytes: &[u8], life: u64) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (expected, rest) = rest.split_first_chunk()?;
    let (frame, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (checksum(life, frame) == u64::from_le_bytes(*expected)).then_some((frame, rest))
}

/// FNV-1a over eight bytes at a time: it tells a torn write, not an attacker, who could write to the database as well.
fn checksum(life: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ life;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // The product moves bits upwards only.
        sum ^= sum >> 32;
    }
    for byte in rest {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    sum ^ bytes.len() as u64
}
