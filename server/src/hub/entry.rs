//! What the hub knows of one stream.

use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::Stream;
use super::history::History;
use super::members::Members;
use crate::rules::{StoreKind, StreamRule};

/// Offsets that no publication has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The last offset before it.
    pub after: u64,
    /// The last one that is jumped over.
    pub to: u64,
}

/// What is kept of a stream.
#[derive(Debug)]
pub(super) enum Keep {
    Nothing,
    InMemory(History),
    /// The store has it; the oldest offset there.
    OnDisk {
        first: u64,
    },
}

impl Keep {
    fn of(rule: &StreamRule, offset: u64) -> Self {
        match rule.history {
            None => Self::Nothing,
            Some(history) => match history.store {
                StoreKind::Memory => Self::InMemory(History::new(history)),
                StoreKind::Disk => Self::OnDisk { first: offset + 1 },
            },
        }
    }

    pub(super) fn is_empty(&self, top: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::InMemory(history) => history.is_empty(),
            Self::OnDisk { first } => *first > top,
        }
    }
}

pub(super) struct Entry {
    pub(super) stream: Arc<Stream>,
    pub(super) rule: StreamRule,
    /// The last offset given out.
    pub(super) offset: u64,
    /// The offset before the first one of this life of the stream.
    pub(super) base: u64,
    /// The last jump in the numbering, for a stream on disk that went on where others had left off.
    pub(super) jump: Option<Jump>,
    pub(super) keep: Keep,
    /// In a small stream one, which lies here.
    pub(super) interests: SmallVec<[Interest; 1]>,
    pub(super) members: Option<Box<Members>>,
}

pub(super) struct Interest {
    pub(super) shard: u16,
    pub(super) local: u32,
    pub(super) subscribers: u32,
}

impl Entry {
    pub(super) fn new(stream: Stream, rule: StreamRule, offset: u64) -> Self {
        let keep = Keep::of(&rule, offset);
        Self {
            stream: Arc::new(stream),
            rule,
            offset,
            base: offset,
            jump: None,
            keep,
            interests: SmallVec::new(),
            members: None,
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.interests.is_empty() && self.keep.is_empty(self.offset) && self.members.is_none()
    }

    pub(super) fn subscribers(&self) -> u64 {
        self.interests.iter().map(|interest| u64::from(interest.subscribers)).sum()
    }
}

#[derive(Default)]
pub(super) struct Stripe {
    /// No stream that was freed had an offset above this, so a stream's next life starts here: offsets never repeat, and
    /// what waits in an inbox for the former life cannot be taken for the new one's.
    pub(super) floor: u64,
    pub(super) entries: HashTable<Entry>,
}
