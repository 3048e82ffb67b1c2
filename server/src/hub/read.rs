//! Reading histories: for subscribers that are behind, and for whoever asks.

use std::ops::RangeInclusive;
use std::sync::Arc;

use realtime_protocol::{Mode, Position, Since, push};

use std::hash::BuildHasher;

use super::entry::{Entry, Jump, Keep};
use super::history::History;
use super::{Exclusion, Hub, Incoming, Kept, Publication, Stream};

/// What a subscriber that is behind gets next.
#[derive(Debug)]
pub enum Pull {
    /// Nothing more: it is live from now on.
    Live,
    /// These.
    Frames(Vec<Arc<Publication>>),
    /// Nothing of the stream up to this offset is for it.
    Nothing {
        /// The last offset of what is skipped.
        to: u64,
    },
    /// What is not kept any more.
    Missed {
        /// The first offset.
        from: u64,
        /// The last one.
        to: u64,
        /// The life of the store.
        epoch: Arc<str>,
    },
    /// This part, which the store has.
    OnDisk(RangeInclusive<u64>),
    /// The stream keeps nothing.
    Unkept,
}

/// A part of a history that was asked for.
#[derive(Debug)]
pub enum Page {
    /// All of it.
    Whole(push::History),
    /// This part, which the store has; the answer but for its publications.
    OnDisk {
        /// From where to where.
        range: RangeInclusive<u64>,
        /// Whether the last ones are asked for, not the first.
        newest: bool,
        /// Everything else.
        answer: push::History,
    },
}

/// How much is pulled at once.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// Publications.
    pub most: usize,
    /// Bytes of their frames; one publication may be longer.
    pub bytes: usize,
}

impl Portion {
    fn of<'h>(self, history: &'h History, next: u64) -> Vec<Arc<Publication>> {
        let mut bytes = 0;
        let fits = |publication: &&'h Arc<Publication>| {
            let is_first = bytes == 0;
            bytes += publication.frame().len();
            is_first || bytes <= self.bytes
        };
        history.from(next).take(self.most).take_while(fits).cloned().collect()
    }

    /// In ascending order; what does not fit is left out at the end, or (`newest`) at the beginning.
    fn of_page(self, history: &History, first: u64, newest: bool) -> Vec<Arc<Publication>> {
        let mut bytes = 0;
        let fits = |publication: &&Arc<Publication>| {
            let is_first = bytes == 0;
            bytes += publication.size();
            is_first || bytes <= self.bytes
        };
        let items = history.from(first).take(self.most);
        if !newest {
            return items.take_while(fits).cloned().collect();
        }
        let mut kept: Vec<_> = items.collect::<Vec<_>>().into_iter().rev().take_while(fits).cloned().collect();
        kept.reverse();
        kept
    }
}

/// Answers to questions about histories.
pub trait Answer {
    /// The answer with these publications; `goes_on`: what is newer than they are can be asked for.
    fn with(self, publications: &[Arc<Publication>], goes_on: bool) -> Self;
}

impl Answer for push::History {
    fn with(self, publications: &[Arc<Publication>], goes_on: bool) -> Self {
        let next = publications.last().map(|last| last.offset).filter(|last| goes_on && *last < self.top);
        let items = publications.iter().filter_map(|publication| publication.history_item());
        Self { publications: items.collect(), next, ..self }
    }
}

impl Hub {
    /// What a subscriber gets that has everything before `next`. When that is all there is, `go_live` registers it for
    /// what comes from the given offset on, while the lock is held.
    pub fn pull(&self, stream: &Stream, next: u64, mode: Mode, portion: Portion, go_live: impl FnOnce(u64)) -> Pull {
        let hash = self.hasher.hash_one(stream);
        let mut stripe = self.stripe(hash);
        let Some(entry) = stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) else { return Pull::Unkept };
        self.trim(entry);
        let top = entry.offset;
        if next > top {
            go_live(next);
            return Pull::Live;
        }
        let Some(extent) = self.extent(entry) else { return Pull::Unkept };
        let jump = entry.jump.filter(|jump| next <= jump.to);
        if let Some(Jump { to, .. }) = jump.filter(|jump| next > jump.after) {
            Pull::Nothing { to }
        } else if mode == Mode::Latest && next < top && extent.first <= top {
            Pull::Nothing { to: top - 1 }
        } else if next < extent.first {
            let to = jump.map_or(extent.first - 1, |jump| jump.after.min(extent.first - 1));
            Pull::Missed { from: next, to, epoch: extent.epoch.into() }
        } else {
            match &entry.keep {
                Keep::InMemory(history) => Pull::Frames(portion.of(history, next)),
                Keep::OnDisk { .. } => Pull::OnDisk(next..=top),
                Keep::Nothing => Pull::Unkept,
            }
        }
    }

    /// The part of a stream's history after `since`, or its newest publications.
    pub fn page(&self, stream: &Stream, since: Option<&Since>, portion: Portion) -> Page {
        self.look(stream, |entry| {
            let Some(extent) = self.extent(entry) else { return Page::Whole(push::History::default()) };
            let count = portion.most as u64;
            let first = match since {
                None => extent.first.max((extent.top + 1).saturating_sub(count)),
                Some(Since::At(at)) if *at.epoch == *extent.epoch => extent.first.max(at.offset + 1),
                Some(_) => extent.first,
            };
            let last = extent.top.min(first.saturating_add(count - 1));
            let answer = push::History {
                epoch: Some(extent.epoch.into()),
                publications: Vec::new(),
                oldest: extent.first,
                top: extent.top,
                next: None,
            };
            match &entry.keep {
                Keep::InMemory(history) => {
                    let kept = portion.of_page(history, first, since.is_none());
                    Page::Whole(answer.with(&kept, since.is_some()))
                }
                _ if first > last => Page::Whole(answer),
                _ => Page::OnDisk { range: first..=last, newest: since.is_none(), answer },
            }
        })
    }

    /// Where a stream stands; `None`: it has no history.
    pub fn position(&self, stream: &Stream) -> Option<Position> {
        self.look(stream, |entry| {
            self.extent(entry).map(|extent| Position { epoch: extent.epoch.into(), offset: extent.top })
        })
    }

    /// One look at a stream, whether it is in use or not.
    fn look<T>(&self, stream: &Stream, look: impl FnOnce(&Entry) -> T) -> T {
        let hash = self.hasher.hash_one(stream);
        let mut stripe = self.stripe(hash);
        let entry = self.enter(&mut stripe, hash, stream.clone());
        self.trim(entry);
        let seen = look(entry);
        self.free_if_unused(&mut stripe, hash, stream);
        seen
    }

    /// A publication as the store has it.
    pub fn restore(stream: &Arc<Stream>, offset: u64, at: u64, incoming: Incoming) -> Arc<Publication> {
        let exclude = incoming.exclude.map(|id| Exclusion { id, place: None });
        let kept = Some(Kept { at, prev: None });
        Arc::new(Publication::new(stream.clone(), offset, exclude, incoming, kept))
    }
}
