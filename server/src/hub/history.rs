//! What memory keeps of one stream, and from where a subscriber goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use realtime_protocol::{Mode, Since};

use super::{Jump, Publication};
use crate::rules::HistoryRule;

/// A stream's last publications, without holes: offset by offset.
#[derive(Debug)]
pub struct History {
    items: VecDeque<Arc<Publication>>,
    bytes: usize,
    rule: HistoryRule,
}

impl History {
    /// Nothing kept yet.
    pub fn new(rule: HistoryRule) -> Self {
        Self { items: VecDeque::new(), bytes: 0, rule }
    }

    /// Bytes that it occupies, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps one more, whose offset follows the last one's, and drops what is one too many.
    pub fn push(&mut self, publication: Arc<Publication>) {
        debug_assert!(self.items.back().is_none_or(|last| last.offset + 1 == publication.offset));
        self.bytes += publication.size();
        self.items.push_back(publication);
        while self.items.len() > self.rule.size {
            self.drop_first();
        }
    }

    /// Drops what is too old at `now`, ms since 1970.
    pub fn trim(&mut self, now: u64) {
        let ttl = u64::try_from(self.rule.ttl.as_millis()).unwrap_or(u64::MAX);
        let is_old = |item: &Arc<Publication>| item.kept().is_some_and(|kept| kept.at.saturating_add(ttl) <= now);
        while self.items.front().is_some_and(is_old) {
            self.drop_first();
        }
        if self.items.len() < self.items.capacity() / 4 {
            self.items.shrink_to(self.items.len() * 2);
        }
    }

    fn drop_first(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.bytes -= item.size();
        }
    }

    /// Whether as much is kept as may be: one more takes the place of the oldest.
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.rule.size
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The oldest offset that is kept; `top + 1` when none is.
    pub fn first(&self, top: u64) -> u64 {
        self.items.front().map_or(top + 1, |item| item.offset)
    }

    /// What is kept from offset `next` on, in order.
    pub fn from(&self, next: u64) -> impl Iterator<Item = &Arc<Publication>> {
        let skip = self.items.front().map_or(0, |first| next.saturating_sub(first.offset));
        self.items.range(usize::try_from(skip).unwrap_or(usize::MAX).min(self.items.len())..)
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent<'a> {
    /// The life of the store.
    pub epoch: &'a str,
    /// The offset before the stream's first publication in this life of the stream.
    pub base: u64,
    /// The oldest offset that is kept; `top + 1` when none is.
    pub first: u64,
    /// The newest offset.
    pub top: u64,
    /// The last jump in the numbering.
    pub jump: Option<Jump>,
}

/// From where a subscriber goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The offset that it is told to be at.
    pub offset: u64,
    /// Whether everything since the position that it named follows, else why not; `None`: it named none.
    pub recovered: Option<Result<(), Lost>>,
}

/// Why a subscriber cannot go on from its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is of another life of the store.
    Epoch,
    /// It is ahead of the stream: what it has seen, the store has forgotten.
    Ahead,
    /// What came after it is not kept any more.
    Trimmed,
}

impl Lost {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Ahead => "ahead",
            Self::Trimmed => "trimmed",
        }
    }
}

impl Extent<'_> {
    /// Decides where a subscriber goes on. Made from one look at the stream, in the section that registers it.
    pub fn start(&self, since: Option<&Since>, mode: Mode) -> Start {
        let now = Start { offset: self.top, recovered: None };
        let Some(since) = since else { return now };
        if mode == Mode::Latest {
            return self.latest(since);
        }
        match since {
            // What was trimmed away is told as missed on the way.
            Since::Earliest => Start { offset: self.base, recovered: Some(Ok(())) },
            Since::At(at) => match self.judge(&at.epoch, at.offset) {
                Ok(()) => Start { offset: at.offset, recovered: Some(Ok(())) },
                Err(lost) => Start { recovered: Some(Err(lost)), ..now },
            },
        }
    }

    fn judge(&self, epoch: &str, offset: u64) -> Result<(), Lost> {
        if epoch != self.epoch {
            Err(Lost::Epoch)
        } else if offset > self.top {
            Err(Lost::Ahead)
        } else if offset == self.top || self.first <= self.reached(offset) + 1 {
            Ok(())
        } else {
            Err(Lost::Trimmed)
        }
    }

    /// The last offset before which nothing is missed by who stands at `offset`: those in a jump have no publication.
    fn reached(&self, offset: u64) -> u64 {
        self.jump.filter(|jump| (jump.after..jump.to).contains(&offset)).map_or(offset, |jump| jump.to)
    }

    /// The newest publication carries the whole state, so nothing else is needed.
    fn latest(&self, since: &Since) -> Start {
        let has_newest = matches!(since, Since::At(at) if *at.epoch == *self.epoch && at.offset == self.top);
        if has_newest || self.first > self.top {
            let known = has_newest || self.top == self.base;
            return Start { offset: self.top, recovered: Some(if known { Ok(()) } else { Err(Lost::Trimmed) }) };
        }
        Start { offset: self.top - 1, recovered: Some(Ok(())) }
    }
}

#[cfg(test)]
mod tests {
    use realtime_protocol::Position;

    use super::*;

    const EXTENT: Extent<'_> = Extent { epoch: "e", base: 10, first: 14, top: 17, jump: None };

    fn at(epoch: &str, offset: u64) -> Since {
        Since::At(Position { epoch: epoch.into(), offset })
    }

    #[test]
    fn recovery_needs_the_epoch_and_every_publication_in_between() {
        let start = |since| EXTENT.start(Some(&since), Mode::Stream);
        for offset in 13..=17 {
            assert_eq!(start(at("e", offset)), Start { offset, recovered: Some(Ok(())) });
        }
        for (since, lost) in [
            (at("e", 12), Lost::Trimmed),
            (at("e", 0), Lost::Trimmed),
            (at("e", 18), Lost::Ahead),
            (at("x", 17), Lost::Epoch),
        ] {
            assert_eq!(start(since), Start { offset: 17, recovered: Some(Err(lost)) });
        }
        assert_eq!(EXTENT.start(None, Mode::Stream), Start { offset: 17, recovered: None });
    }

    #[test]
    fn offsets_that_no_publication_has_are_not_lost() {
        let jumped = Extent { jump: Some(Jump { after: 12, to: 13 }), ..EXTENT };
        let recovered = |extent: Extent<'_>, offset| extent.start(Some(&at("e", offset)), Mode::Stream).recovered;
        for offset in 12..=17 {
            assert_eq!(recovered(jumped, offset), Some(Ok(())), "{offset}");
        }
        assert_eq!(recovered(jumped, 11), Some(Err(Lost::Trimmed)), "the twelfth is gone");
        let trimmed = Extent { first: 15, ..jumped };
        assert_eq!(recovered(trimmed, 12), Some(Err(Lost::Trimmed)), "the fourteenth is gone");
    }

    #[test]
    fn earliest_begins_where_the_stream_began() {
        let begin = Start { offset: 10, recovered: Some(Ok(())) };
        assert_eq!(EXTENT.start(Some(&Since::Earliest), Mode::Stream), begin);
        let empty = Extent { base: 10, first: 11, top: 10, ..EXTENT };
        assert_eq!(empty.start(Some(&Since::Earliest), Mode::Stream), begin);
    }

    #[test]
    fn who_wants_the_latest_gets_the_newest_unless_it_has_it() {
        let start = |extent: Extent<'_>, since| extent.start(Some(&since), Mode::Latest);
        for since in [at("e", 3), at("x", 17), Since::Earliest] {
            assert_eq!(start(EXTENT, since), Start { offset: 16, recovered: Some(Ok(())) });
        }
        assert_eq!(start(EXTENT, at("e", 17)), Start { offset: 17, recovered: Some(Ok(())) });
        let expired = Extent { first: 18, ..EXTENT };
        assert_eq!(start(expired, at("e", 3)), Start { offset: 17, recovered: Some(Err(Lost::Trimmed)) });
        let empty = Extent { base: 10, first: 11, top: 10, ..EXTENT };
        assert_eq!(start(empty, Since::Earliest), Start { offset: 10, recovered: Some(Ok(())) });
    }
}
